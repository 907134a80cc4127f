"""The images as pods run them: no root, nothing to write, no installer, and small."""

import hashlib
import json
import tarfile
from pathlib import Path

import pytest

from e2e.cluster import images
from e2e.cluster.clusters import Cluster
from images import buildah, building, places, recipes

_MEGABYTE = 1_000_000
_STRICT = """
      runAsNonRoot: true
      readOnlyRootFilesystem: true
      allowPrivilegeEscalation: false
      capabilities: {drop: [ALL]}
      seccompProfile: {type: RuntimeDefault}
"""


def _pod(name: str, image: str, more: str) -> str:
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  restartPolicy: Never
  containers:
  - name: {name}
    image: {image}
    imagePullPolicy: Never
    {more}
    securityContext: {_STRICT}
"""


def _said(cluster: Cluster, namespace: str, name: str, image: str, more: str) -> str:
    """What the pod's only container says until its end."""
    cluster.apply(_pod(name, image, more), namespace)
    ended = "jsonpath={.status.containerStatuses[0].state.terminated}"
    cluster.kubectl.wait(ended, f"pod/{name}", f"-n={namespace}")
    return cluster.kubectl("logs", name, "-n", namespace)


def test_the_sidecar_starts_without_rights_and_says_what_it_lacks(
    cluster: Cluster, namespace: str, product_images: dict[str, str]
) -> None:
    """docs/developer/images.md: the entry point is the sidecar; injection sets it up."""
    said = _said(cluster, namespace, "sidecar", product_images["sidecar"], "")
    assert said == (
        "mesh7-sidecar: MESH7_SERVICE_ACCOUNT is not set – the injector sets it; see "
        "docs/reference/pod-environment.md\n"
    )


def test_the_operator_starts_without_rights(
    cluster: Cluster, namespace: str, product_images: dict[str, str]
) -> None:
    """docs/developer/images.md: the entry point takes the words of `mesh7-operator`."""
    said = _said(cluster, namespace, "operator", product_images["operator"], "args: ['--version']")
    assert recipes.version() in said


_ASKED = """
import importlib.util, json, os, shutil, sys
import mesh7_core
print(json.dumps({
    "user": os.getuid(),
    "prefix": sys.prefix,
    "compiled": os.path.exists(mesh7_core.__cached__),
    "tools": [name for name in ("cc", "gcc", "pip", "nft") if shutil.which(name)],
    "installers": [name for name in ("pip", "setuptools") if importlib.util.find_spec(name)],
}))
"""


@pytest.mark.parametrize(
    ("program", "user", "tools"), [("sidecar", 77007, ["nft"]), ("operator", 65532, [])]
)
def test_nothing_is_in_an_image_that_builds_or_installs(
    *,
    cluster: Cluster,
    namespace: str,
    product_images: dict[str, str],
    program: str,
    user: int,
    tools: list[str],
) -> None:
    """Issue 6: non-root, no compiler left; compiled already, since the root cannot be written."""
    command = f"command: [python, -c, {json.dumps(_ASKED)}]"
    said = json.loads(_said(cluster, namespace, program, product_images[program], command))
    # The base of the tests is one for both programs, and has nft.
    assert {*said.pop("tools")} | {*tools} == {"nft"}
    assert said == {"user": user, "prefix": "/opt/mesh7", "compiled": True, "installers": []}


@pytest.mark.parametrize("program", ["sidecar", "operator"])
def test_an_image_adds_little_to_its_base(program: str) -> None:
    """Issue 6: the sidecar has 120 MB at most over its base; the operator is held to the same."""
    layers = _layers(_archive(program))
    assert sum(size for _, size in layers[1:]) < 120 * _MEGABYTE


@pytest.mark.parametrize("program", ["sidecar", "operator"])
def test_an_image_says_what_it_is(program: str) -> None:
    """OCI's annotations, for those who find it in a registry."""
    config = _config(_archive(program))
    labels = config["config"]["Labels"]
    prefix = "org.opencontainers.image."
    assert labels[f"{prefix}title"] == f"mesh7-{program}"
    assert labels[f"{prefix}version"] == recipes.version()
    assert labels[f"{prefix}licenses"] == "Apache-2.0"
    assert len(labels[f"{prefix}revision"].removesuffix("-dirty")) == 40


def test_two_builds_of_one_checkout_have_equal_layers(tmp_path: Path) -> None:
    """Issue 6: reproducible layers; the second build takes nothing over from the first."""
    [recipe] = [one for one in recipes.product() if one.program == "sidecar"]
    first = images.sidecar_image().archive
    builder = buildah.Buildah(places.cache() / "containers")
    again = tmp_path / "again.tar"
    name = f"{recipe.image}-again"
    with building.alone():
        builder.build_anew(name, recipe.dockerfile, {"PYTHON_IMAGE": recipe.base.image})
        builder.write(name, again)
        builder.run("rmi", name)
    assert _layers(again) == _layers(first)


_STAGES = """
FROM scratch AS one
ARG NUMBER
COPY images/inside.py /a
COPY images/inside.py /b-$NUMBER
FROM scratch
ARG NUMBER
COPY --from=one /b-$NUMBER /
"""


def test_a_storage_keeps_nothing_but_the_newest_build(tmp_path: Path) -> None:
    """docs/developer/images.md: it would only grow; what the next build takes over stays."""
    builder = buildah.Buildah(tmp_path / "storage")
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text(_STAGES)
    sizes = []
    for number in (1, 2, 3):
        builder.build("localhost/x:1", str(dockerfile), {"NUMBER": str(number)})
        builder.tidy()
        sizes.append(len(builder.run("images", "--all", "--quiet").split()))
    assert len(set(sizes)) == 1
    before = builder.run("images", "--all", "--quiet")
    builder.build("localhost/x:2", str(dockerfile), {"NUMBER": "3"})
    assert builder.run("images", "--all", "--quiet") == before
    builder.tidy()
    assert not builder.has("localhost/x:1")
    assert builder.has("localhost/x:2")


def _archive(program: str) -> Path:
    image = images.sidecar_image() if program == "sidecar" else images.operator_image()
    return image.archive


def _config(archive: Path) -> dict[str, dict[str, dict[str, str]]]:
    with tarfile.open(archive) as tar:
        [manifest] = json.loads(_content(tar, "manifest.json"))
        config: dict[str, dict[str, dict[str, str]]] = json.loads(_content(tar, manifest["Config"]))
    return config


def _layers(archive: Path) -> list[tuple[str, int]]:
    """Digest and size of each, the base's first."""
    with tarfile.open(archive) as tar:
        [manifest] = json.loads(_content(tar, "manifest.json"))
        contents = [_content(tar, layer) for layer in manifest["Layers"]]
    return [(hashlib.sha256(content).hexdigest(), len(content)) for content in contents]


def _content(tar: tarfile.TarFile, name: str) -> bytes:
    opened = tar.extractfile(name)
    assert opened is not None
    return opened.read()
