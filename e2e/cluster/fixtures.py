"""Fixtures of tests on a real API server; `e2e/conftest.py` gives them to every folder below.

    cluster: Cluster        one for the whole session (`e2e.cluster.clusters`), ours, or that of
                            MESH7_KUBECONFIG
        .url  .ca           `https://127.0.0.1:PORT`; a Path to the CA's PEM
        .kubectl(*arguments, stdin=None, timeout_s=60) -> str      as the administrator
        .kubectl.json(*arguments) -> dict   .kubectl.apply(Path | text, *arguments)
        .kubectl.wait("condition=Ready", "pod/x", "-n", namespace, timeout_s=60)
        .kubectl_of(user, groups=()) -> Kubectl                    the same as anybody else
        .kubeconfig(user, groups=()) -> Path                       a file for other clients
        .admin -> Path                                             the administrator's
        .apply(Path | text, namespace=None) -> str
        .token(namespace, service_account, audience=None, *, pod=None, lifetime_s=3600) -> str
        .new_namespace(prefix="t", labels=None) -> str
      A refusal is a `KubectlError` with `.stderr` and `.code` (`e2e.cluster.kubectl`).
    namespace: str          fresh per test, with its account `default`; deleted after, unawaited
    api_server: ApiServer   one that the test may break (`e2e.cluster.api_server`), always ours:
        .cluster .stop() .kill() .start() .restart() .is_ready() .audit() -> list[dict]
        .save(folder) .restore(folder)              etcd's data
    session_api_server: ApiServer | None    the one behind `cluster`, for `.audit()`; None: not ours
    raise_cluster(Settings(has_controllers=False)) -> ApiServer    more of them; end with the test
    own_root: Path          clusters raised from here on are nobody else's to see or to sweep
    node_cluster: NodeCluster   one with a node for the session (`e2e.cluster.node`); in e2e/node
                            `cluster` and `namespace` are its
        .cluster .api_server .load(archive)         images: pods use imagePullPolicy Never
        .room.run(program, *arguments) -> str       a program in the node's network

Binaries come from `make cluster-build`; without them tests skip, or fail where CI is set.
"""

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from e2e.cluster import api_server as api_servers
from e2e.cluster import binaries, clusters, endings, images, node
from e2e.cluster.api_server import ApiServer, Settings
from e2e.cluster.clusters import Cluster
from e2e.cluster.node import NodeCluster

RaiseCluster = Callable[..., ApiServer]


def need(level: str) -> None:
    """Skip where the level's programs are missing; fail where CI is set.

    Args:
        level: `api` or `node`.
    """
    text = _lack(level)
    if text is None:
        return
    if os.environ.get("CI") or "MESH7_K8S_BIN" in os.environ:
        pytest.fail(text)
    pytest.skip(text)


@pytest.fixture(scope="session")
def session_api_server() -> Iterator[ApiServer | None]:
    """The API server of the session; None when MESH7_KUBECONFIG names another one's."""
    if os.environ.get("MESH7_KUBECONFIG"):
        yield None
        return
    need("api")
    with api_servers.raised(_name()) as server:
        yield server


@pytest.fixture(scope="session")
def cluster(
    session_api_server: ApiServer | None, tmp_path_factory: pytest.TempPathFactory
) -> Cluster:
    """The cluster of the session."""
    if session_api_server is not None:
        return session_api_server.cluster
    kubeconfig = Path(os.environ["MESH7_KUBECONFIG"]).absolute()
    folder = tmp_path_factory.mktemp("elsewhere")
    ours = binaries.folder() / "kubectl"
    program = str(ours) if ours.exists() else shutil.which("kubectl")
    if program is None:
        pytest.fail(
            "no kubectl for the cluster of MESH7_KUBECONFIG; `make cluster-build` builds it"
        )
    return clusters.elsewhere(kubeconfig, folder, Path(program))


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of the test's own in the session's cluster."""
    name = cluster.new_namespace()
    yield name
    cluster.forget_namespace(name)


@pytest.fixture
def raise_cluster() -> Iterator[RaiseCluster]:
    """Raise further clusters; they end with the test."""
    need("api")
    with contextlib.ExitStack() as stack:

        def one_more(settings: Settings | None = None) -> ApiServer:
            return stack.enter_context(api_servers.raised(_name(), settings))

        yield one_more


@pytest.fixture
def api_server(raise_cluster: RaiseCluster) -> ApiServer:
    """An API server that the test may stop, kill and start again."""
    return raise_cluster()


@pytest.fixture
def own_root(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Another folder for the state of clusters; short, because sockets lie in it."""
    with tempfile.TemporaryDirectory(prefix="m7-") as folder:
        monkeypatch.setenv("XDG_STATE_HOME", folder)
        yield Path(folder)
        endings.end_all()


@pytest.fixture(scope="session")
def node_cluster() -> Iterator[NodeCluster]:
    """A cluster with a node, of the session."""
    need("node")
    with node.raised(_name()) as raised:
        yield raised


@pytest.fixture(scope="session")
def product_images(node_cluster: NodeCluster) -> dict[str, str]:
    """The images of `e2e.cluster.images` on the session's node: `sidecar` → its name, and so on."""
    found = {
        "operator": images.operator_image(),
        "sidecar": images.sidecar_image(),
        "agent": images.agent_image(),
        "redis": images.redis_image(),
    }
    for image in found.values():
        node_cluster.load(image.archive)
    return {program: image.name for program, image in found.items()}


def _lack(level: str) -> str | None:
    """What is missing and what to do; None when nothing."""
    if absent := binaries.missing(level):
        return f"no {', '.join(absent)} in {binaries.folder()}; `make cluster-build` builds them"
    if level == "node" and (absent := node.missing()):
        return f"a node lacks {', '.join(absent)}; `e2e/cluster/prepare` installs what it needs"
    return None


def _name() -> str:
    return f"test-{os.getpid()}-{secrets.token_hex(3)}"
