"""Nobody looks into a sidecar but who has the verb `debug`, and nobody changes one that runs."""

import json
import socketserver
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from e2e.api import asking, backstops
from e2e.api.backstops import Ground, Object, refusal, said
from e2e.cluster import keys
from e2e.cluster.kubectl import Kubectl
from mesh7_core import names

pytestmark = pytest.mark.promise("K15")
ROLES = ("edit", "admin")
OURS = (names.SIDECAR_CONTAINER, names.ENFORCER_CONTAINER)
_NEEDS = "needs the verb `debug`"


class Kubelet(socketserver.ThreadingTCPServer):
    """The part of a kubelet that is asked for a shell: it notes for which container."""

    daemon_threads = True

    def __init__(self, pair: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Asked)
        self.asked: list[str] = []
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(pair)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])


class _Asked(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        kubelet = self.server
        assert isinstance(kubelet, Kubelet)
        with kubelet.tls.wrap_socket(self.request, server_side=True) as spoken:
            line = spoken.recv(4096).split(b"\r\n")[0].decode()
            kubelet.asked.append(line.split("?")[0])
            spoken.sendall(b"HTTP/1.1 418 no\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


@pytest.fixture(scope="module")
def kubelet(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubelet]:
    """What node1 leads to."""
    pair = keys.server(keys.authority("kubelet"), ["127.0.0.1"])
    file = tmp_path_factory.mktemp("kubelet") / "pair.pem"
    file.write_bytes(pair.key + pair.certificate)
    with Kubelet(file) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        status = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": server.port}},
        }
        ground.cluster.kubectl(
            "patch", "node", backstops.NODE, "--subresource=status", "--type=merge",
            "-p", json.dumps({"status": status}),
        )  # fmt: skip
        yield server
        server.shutdown()
        thread.join()


def _enter(kubectl: Kubectl, namespace: str, *how: str) -> str:
    return said(kubectl, *how[:1], "agent", "-n", namespace, *how[1:])


WAYS = (("exec", "-c"), ("attach", "-c"))


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("container", OURS)
def test_nobody_enters_the_sidecar(
    ground: Ground, kubelet: Kubelet, role: str, container: str
) -> None:
    """Design 9: exec and attach; the agent's own container is the tenant's."""
    shop = ground.enrol("enabled", "Enforced")
    ground.run(shop, level="Enforced")
    tenant = ground.tenant(shop, role)
    assert _NEEDS in _enter(tenant, shop, "exec", "-c", container, "--", "id")
    assert _NEEDS in _enter(tenant, shop, "attach", "-c", container)
    # An older door to the same room, which needs no more than `get`.
    path = f"/api/v1/namespaces/{shop}/pods/agent/exec?command=id&stdout=1&container={container}"
    assert _NEEDS in said(tenant, "get", "--raw", path)
    assert _NEEDS in said(tenant, "create", "--raw", path, "-f", "-", stdin="{}")
    assert f"/exec/{shop}/agent/{container}" not in str(kubelet.asked)
    assert _NEEDS not in _enter(tenant, shop, "exec", "-c", "app", "--", "id")
    assert f"/exec/{shop}/agent/app" in str(kubelet.asked)


def test_where_no_container_is_named_it_is_the_agents(ground: Ground, kubelet: Kubelet) -> None:
    """The policy lets such a request pass, since the API server never takes an init container."""
    shop = ground.enrol()
    ground.run(shop)
    tenant = ground.tenant(shop, "edit")
    path = f"/api/v1/namespaces/{shop}/pods/%s/exec?command=id&stdout=1"
    _upgrade(ground, tenant, path % "agent")
    assert [one for one in kubelet.asked if shop in one] == [f"POST /exec/{shop}/agent/app"]
    two = backstops.guarded(shop, "two")
    two["spec"] |= {"nodeName": backstops.NODE}
    two["spec"]["containers"].append({"name": "more", "image": "mine:1"})
    ground.cluster.kubectl("create", "-f", "-", stdin=yaml.safe_dump(two))
    refused = _upgrade(ground, tenant, path % "two")
    assert "a container name must be specified" in refused


def _upgrade(ground: Ground, kubectl: Kubectl, path: str) -> str:
    """Ask for a shell as kubectl never does, without a container; the answer's body."""
    headers = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1"}
    return asking.ask(ground.cluster, kubectl.kubeconfig, "POST", path, headers=headers)[1]


def test_whoever_has_the_verb_enters(ground: Ground, kubelet: Kubelet) -> None:
    """ClusterRole `mesh7-admin` beside a stock role; in that namespace alone."""
    shop, other = ground.enrol(), ground.enrol()
    for place in (shop, other):
        ground.run(place)
    ada = ground.tenant(shop, "edit", f"ada-{shop}")
    ground.tenant(other, "edit", f"ada-{shop}")
    ground.bind(shop, f"ada-{shop}", "mesh7-admin")
    assert _NEEDS not in _enter(ada, shop, "exec", "-c", "mesh7", "--", "id")
    assert f"/exec/{shop}/agent/mesh7" in str(kubelet.asked)
    assert _NEEDS in _enter(ada, other, "exec", "-c", "mesh7", "--", "id")
    assert _debug(ada, shop, targetContainerName="mesh7") == ""
    assert _NEEDS in _debug(ada, other, targetContainerName="mesh7")


def test_a_container_of_that_name_elsewhere_is_nobodys_business(
    ground: Ground, kubelet: Kubelet
) -> None:
    other = ground.cluster.new_namespace("other")
    pod = backstops.guarded(other)
    pod["spec"]["nodeName"] = backstops.NODE
    tenant = ground.tenant(other, "edit")
    tenant("create", "-f", "-", stdin=yaml.safe_dump(pod))
    assert _NEEDS not in _enter(tenant, other, "exec", "-c", "mesh7", "--", "id")
    assert f"/exec/{other}/agent/mesh7" in str(kubelet.asked)


def _debug(kubectl: Kubectl, namespace: str, name: str = "debug", **fields: object) -> str:
    """Add a debug container."""
    container = {"name": name, "image": "mine:1", "securityContext": _CAREFUL, **fields}
    patch = json.dumps({"spec": {"ephemeralContainers": [container]}})
    return said(
        kubectl, "patch", "pod", "agent", "-n", namespace,
        "--subresource=ephemeralcontainers", "--type=strategic", "-p", patch,
    )  # fmt: skip


_CAREFUL: Object = {
    "runAsUser": 1000, "runAsNonRoot": True, "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
}  # fmt: skip
"""As `kubectl debug --profile=restricted` makes them."""
_SECRET = {"secretRef": {"name": names.CREDENTIALS_SECRET}}
DEBUGGED: dict[str, tuple[Object, str]] = {
    "target": ({"targetContainerName": "mesh7"}, _NEEDS),
    "target-enforcer": ({"targetContainerName": "mesh7-enforce"}, f"{_NEEDS}|Not found"),
    "credentials-mounted": (
        {"volumeMounts": [{"name": "mesh7-credentials", "mountPath": "/mine"}]},
        "mount them in no other container",
    ),
    "token-mounted": (
        {"volumeMounts": [{"name": "mesh7-token", "mountPath": "/mine"}]},
        "mount them in no other container",
    ),
    "secret-as-variables": ({"envFrom": [_SECRET]}, "take it out of env and envFrom"),
    "net-raw": (
        {"securityContext": {"runAsUser": 1000, "capabilities": {"add": ["NET_RAW"]}}},
        "adds a capability|drops NET_RAW|is root|gains privileges",
    ),
    "kubectl-debug-general": (
        {"securityContext": {"capabilities": {"add": ["SYS_PTRACE"]}}},
        "adds a capability|drops NET_RAW|is root|gains privileges",
    ),
    "sidecars-user": (
        {"securityContext": {**_CAREFUL, "runAsUser": backstops.SETTINGS.user}},
        "is who the sidecar runs as",
    ),
}  # fmt: skip


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("level", ["Guarded", "Enforced"])
def test_a_debug_container_gets_nothing_of_the_sidecars(
    ground: Ground, level: str, role: str
) -> None:
    """Issue 6; a stock role with ephemeral containers, which administrators often add."""
    shop = ground.enrol("enabled", level)
    ground.run(shop, level=level)
    tenant = ground.tenant(shop, role)
    for name, (fields, words) in DEBUGGED.items():
        refused = _debug(tenant, shop, **fields)
        assert any(one in refused for one in words.split("|")), (name, refused)
        assert refused, name
    assert _debug(tenant, shop) == ""
    assert _debug(tenant, shop, "second", targetContainerName="app") == ""


def test_one_that_was_led_there_with_the_verb_hinders_nobody(ground: Ground) -> None:
    """Debug containers stay in the pod for good."""
    shop = ground.enrol()
    ground.run(shop)
    assert _debug(ground.cluster.kubectl, shop, targetContainerName="mesh7") == ""
    tenant = ground.tenant(shop, "edit")
    assert _debug(tenant, shop, "second") == ""
    tenant("label", "pod", "agent", "-n", shop, "team=shop")


@pytest.mark.parametrize("role", ROLES)
def test_the_image_of_a_running_sidecar_stays(ground: Ground, role: str) -> None:
    """Tried first in design 9: the one field of a container that anybody may patch."""
    shop = ground.enrol("enabled", "Enforced")
    ground.run(shop, level="Enforced")
    tenant = ground.tenant(shop, role)
    for container in OURS:
        patch = json.dumps({"spec": {"initContainers": [{"name": container, "image": "mine:1"}]}})
        refused = said(tenant, "patch", "pod", "agent", "-n", shop, "-p", patch)
        assert "changes with the release alone" in refused
    free = json.dumps({"spec": {"containers": [{"name": "app", "image": "agent:2"}]}})
    assert said(tenant, "patch", "pod", "agent", "-n", shop, "-p", free) == ""


@pytest.mark.parametrize("role", ROLES)
def test_the_marks_of_a_pod_stay(ground: Ground, role: str) -> None:
    """What says that it is guarded, and how well, can be believed."""
    shop = ground.enrol()
    ground.run(shop)
    tenant = ground.tenant(shop, role)
    pod = ["pod", "agent", "-n", shop]
    for how in (
        ["label", *pod, f"{names.INJECTED_LABEL}-"],
        ["label", *pod, f"{names.INJECTED_LABEL}=no", "--overwrite"],
        ["annotate", *pod, f"{names.ENFORCEMENT}=Enforced", "--overwrite"],
        ["annotate", *pod, f"{names.ENFORCEMENT}-"],
        ["annotate", *pod, f"{names.INJECTION_ANNOTATION}-"],
    ):
        assert "say how the pod was made" in said(tenant, *how)
    # Who may write a pod's status may write its labels, too.
    patch = json.dumps({"metadata": {"labels": {names.INJECTED_LABEL: None}}})
    how = ["patch", *pod, "--subresource=status", "--type=merge", "-p", patch]
    assert "say how the pod was made" in said(ground.cluster.kubectl, *how)


def test_a_pod_that_nobody_guarded_cannot_say_so(ground: Ground) -> None:
    """Neither by its marks, nor by asking for what comes too late."""
    shop = ground.enrol("on-request")
    tenant = ground.tenant(shop, "edit")
    tenant("create", "-f", "-", stdin=yaml.safe_dump(backstops.plain(shop)))
    pod = ["pod", "agent", "-n", shop]
    assert "say how the pod was" in said(tenant, "label", *pod, f"{names.INJECTED_LABEL}=true")
    for verb in ("label", "annotate"):
        assert "guards no pod that is there" in said(tenant, verb, *pod, f"{names.INJECT}=true")
    other = backstops.guarded(shop, "other")
    assert "does not ask to be guarded" in refusal(tenant, other)
    other["metadata"]["labels"][names.INJECT] = "true"
    assert refusal(tenant, other) == ""
