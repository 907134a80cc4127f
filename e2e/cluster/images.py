"""Images for the node: the product's and the tests', built by `images/`; small ones packed here."""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.waiting import ClusterError
from images import building, places, recipes

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One that `NodeCluster.load` brings to the node.

    Attributes:
        name: as pods write it, with `imagePullPolicy: Never`.
        archive: of the kind docker-archive.
    """

    name: str
    archive: Path


def operator_image() -> Image:
    """`localhost/mesh7-operator:VERSION`, of this checkout; runs as 65532."""
    return _built("operator")


def sidecar_image() -> Image:
    """`localhost/mesh7-sidecar:VERSION`, of this checkout; runs as 77007."""
    return _built("sidecar")


def agent_image() -> Image:
    """`localhost/agent:1`: Python with `mcp`, aiohttp; curl, busybox, ip; runs as 10001."""
    return _built("agent")


def redis_image() -> Image:
    """`localhost/redis:7`: Debian's, as `redis-server`, with TLS and a shell; runs as 999."""
    return _built("redis")


def all_of_them() -> tuple[Image, ...]:
    """What stories need on their node."""
    return (operator_image(), sidecar_image(), agent_image(), redis_image())


def _built(program: str) -> Image:
    """Built anew when its sources have changed: seconds then, minutes on a fresh machine.

    Raises:
        ClusterError: it does not build.
    """
    [recipe] = [one for one in recipes.all_of_them() if one.program == program]
    try:
        return Image(name=recipe.image, archive=building.ready(recipe))
    except places.BuildError as error:
        raise ClusterError(str(error)) from error


def write_archive(
    path: Path, name: str, files: Mapping[str, bytes], entrypoint: Sequence[str]
) -> None:
    """Write a docker-archive with one layer, the same bytes for the same files.

    Args:
        path: where to.
        name: with host and tag, as pods write it: `localhost/pause:3`.
        files: absolute path → content; all executable.
        entrypoint: what runs.
    """
    layer = _tar({file.lstrip("/"): content for file, content in files.items()})
    config = {
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Entrypoint": list(entrypoint), "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_sha256(layer)}"]},
    }
    config_text = json.dumps(config).encode()
    manifest = [
        {"Config": f"{_sha256(config_text)}.json", "RepoTags": [name], "Layers": ["layer.tar"]}
    ]
    parts = {
        manifest[0]["Config"]: config_text,
        "layer.tar": layer,
        "manifest.json": json.dumps(manifest).encode(),
    }
    path.write_bytes(_tar({str(part): content for part, content in parts.items()}))


def _tar(files: Mapping[str, bytes]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o755
            tar.addfile(entry, io.BytesIO(content))
    return written.getvalue()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
