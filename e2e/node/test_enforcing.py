"""Level Enforced: nobody in a pod but the sidecar gets a packet out of it.

Two network namespaces, one link: a pod's inside, where the real enforcer has run as the init
container does, and an outside that answers everything and notes each packet that arrives.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from e2e.cluster.clusters import Cluster
from e2e.cluster.node import NodeCluster
from e2e.cluster.waiting import until
from e2e.node import attempts
from mesh7_core.injection import settings as injection_settings
from mesh7_core.injection import sidecar_container, volumes

_HERE = Path(__file__).parent
_SIDECAR = 77007
_AGENT = 10001
_OWN_V4 = "10.9.0.1"
_QUICKLY_S = 1.0
# Neighbour discovery and multicast listener reports: the kernel's, for every address.
_NEIGHBOURS = {"v6/58/133", "v6/58/135", "v6/58/136", "v6/58/143"}
_LINK = f"""
ip link set lo up
ip link add eth0 type veth peer name eth0 netns OUTSIDE
ip address add {_OWN_V4}/24 dev eth0
ip address add {attempts.OWN_V6}/64 dev eth0 nodad
ip link set eth0 up
ip route add default via {attempts.V4}
ip -6 route add default via {attempts.V6}
"""
_OUTSIDE = f"""
ip link set lo up
ip address add {attempts.V4}/24 dev eth0
ip address add {attempts.V6}/64 dev eth0 nodad
ip address add {attempts.FRIEND}/128 dev eth0 nodad
ip link set eth0 up
"""


class Pod:
    """A pod's network, and who is outside of it."""

    def __init__(self, inside: int, outside: int, world: subprocess.Popen[str]) -> None:
        self._inside = inside
        self._outside = outside
        self._world = world

    def entering(self) -> list[str]:
        """Words before a command that is to run inside."""
        return ["nsenter", f"--target={self._inside}", "--net", "--"]

    def run(self, *argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run something inside, as root."""
        return _in(self._inside, *argv, **environment)

    def enforce(self) -> str:
        """What the init container does, with the rights that it has."""
        only = ["setpriv", "--bounding-set=-all,+net_admin", "--inh-caps=-all,+net_admin"]
        enforcer = [sys.executable, "-m", "mesh7_sidecar.enforce"]
        done = self.run(*only, "--no-new-privs", *enforcer, MESH7_USER=str(_SIDECAR))
        return done.stdout + done.stderr

    def attempt(self, user: int, *names: str, **environment: str) -> dict[str, tuple[str, float]]:
        """What comes of the ways that this user tries, without a capability."""
        keeping = ["+setuid", "+setgid"] if user else []
        bounding = ",".join(["-all", *keeping])
        script = [sys.executable, str(_HERE / "attempts.py"), str(user), *names]
        stripped = ["setpriv", f"--bounding-set={bounding}", "--no-new-privs"]
        tried = self.run(*stripped, *script, **environment)
        assert tried.returncode == 0, tried.stderr
        outcomes: dict[str, tuple[str, float]] = json.loads(tried.stdout)
        return outcomes

    def heard(self) -> set[str]:
        """Protocols of the packets that have come out since the last time."""
        return {protocol for protocol, _ in self._ask("heard")["heard"]}

    def received(self) -> list[int]:
        """Bytes of each TCP connection that has ended."""
        counts: list[int] = self._ask("heard")["received"]
        return counts

    def call(self, address: str, port: int) -> list[str]:
        """What somebody outside is answered, over TCP and UDP."""
        answers: list[str] = self._ask(f"call {address} {port}")  # type: ignore[assignment]
        return answers

    def _ask(self, line: str) -> dict[str, list]:  # type: ignore[type-arg]
        told, asked = _pipes(self._world)
        asked.write(f"{line}\n")
        asked.flush()
        said: dict[str, list] = json.loads(told.readline())  # type: ignore[type-arg]
        return said


@pytest.fixture
def pod() -> Iterator[Pod]:
    """A network of one's own, without rules yet."""
    with contextlib.ExitStack() as stack:
        inside, outside = (stack.enter_context(_namespace()) for _ in range(2))
        _script(inside, _LINK.replace("OUTSIDE", str(outside)))
        _script(outside, _OUTSIDE)
        # As container runtimes do: everybody may ping.
        _in(inside, "sh", "-c", "echo 0 2147483647 > /proc/sys/net/ipv4/ping_group_range")
        entering = ["nsenter", f"--target={outside}", "--net", "--"]
        world = stack.enter_context(
            subprocess.Popen(
                [*entering, sys.executable, str(_HERE / "outside.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        told, asked = _pipes(world)
        stack.callback(asked.close)
        assert told.readline() == "up\n"
        yield Pod(inside, outside, world)


@pytest.fixture
def enforced(pod: Pod) -> Pod:
    """One whose init container has succeeded."""
    assert pod.enforce() == f"mesh7-enforce: nobody but user {_SIDECAR} leaves this pod\n"
    pod.heard()
    return pod


_REFUSED = {"EPERM", "EACCES", "ECONNREFUSED", "EHOSTUNREACH"}
# Protocols that a kernel need not have, and devices that lead nowhere: refused in another way.
_ABSENT = {"EPROTONOSUPPORT", "ESOCKTNOSUPPORT", "ENETUNREACH", "EADDRNOTAVAIL", "EINVAL"}
# Dropped as well, or never a packet of one's own, but the kernel tells no caller.
_SILENT = {
    *("forged-tcp", "forged-udp", "forged-answer", "ping6"),
    *("joined4", "joined6", "joined-source"),
}


def test_the_ways_out_lead_out_without_rules(pod: Pod) -> None:
    """Else the other tests would prove nothing."""
    ordinary = ("tcp4", "tcp6", "udp4", "udp6", "mapped", "dns", "ping4", "ping6", "curl")
    outcomes = pod.attempt(_AGENT, *ordinary)
    assert {name: outcome for name, (outcome, _) in outcomes.items() if outcome != "passed"} == {}
    forged = pod.attempt(_AGENT, "forged-udp", "forged-tcp")
    assert {"forged-udp", "forged-tcp"} == forged.keys()
    assert {"v6/17", "v6/6"} <= pod.heard()
    pod.attempt(_AGENT, "joined4", "joined6")
    assert {"v4/2", "v6/58/143/told"} <= pod.heard()
    pod.attempt(_AGENT, "joined-source")
    assert "v6/58/143/told" in pod.heard()
    assert _asking_while_forged(pod) == ("pong forged", "silence")


@pytest.mark.promise("K13")
@pytest.mark.parametrize("user", [_AGENT, 65534, 0], ids=["agent", "nobody", "root without rights"])
def test_no_way_leads_out_for_anybody_else(enforced: Pod, user: int) -> None:
    """docs/administrator/enforcement.md: every protocol, both families, every user but one."""
    ways = [name for name in attempts.WAYS if name != "orphaned"]
    outcomes = enforced.attempt(user, *ways)
    others = {name: said for name, (said, _) in outcomes.items() if said not in _REFUSED | _ABSENT}
    # curl has words of its own for a refusal.
    assert {name: said for name, said in others.items() if name not in _SILENT} == {
        "curl": "curl 7"
    }
    assert {said for name, said in others.items() if name in _SILENT} <= {"silence"}
    slow = {name for name, (_, took) in outcomes.items() if took > _QUICKLY_S}
    assert slow <= _SILENT
    assert enforced.heard() <= _NEIGHBOURS


@pytest.mark.promise("K13")
def test_nothing_is_told_by_the_groups_that_an_agent_joins(enforced: Pod) -> None:
    """The kernel reports them; one record of an address's group is what neighbours need."""
    assert enforced.attempt(_AGENT, "joined4", "joined6", "joined-source")
    assert enforced.heard() <= _NEIGHBOURS


def test_a_group_of_an_address_is_reported_still(enforced: Pod) -> None:
    """Switches and bridges that listen for it would let no neighbour ask for the pod."""
    assert enforced.run("ip", "address", "add", "fd09::5", "dev", "eth0").returncode == 0
    until(lambda: "v6/58/143" in enforced.heard(), "it is reported", timeout_s=60)
    assert enforced.heard() <= _NEIGHBOURS


@pytest.mark.promise("K13")
def test_nobody_answers_the_sidecar_in_the_name_of_whom_it_asked(enforced: Pod) -> None:
    """By loopback, from an address that is not the pod's: it would be the name server's word."""
    assert _asking_while_forged(enforced) == ("pong", "EPERM")


_ASKING = """
import os, socket, sys
os.setgroups([]); os.setgid(77007); os.setuid(77007)
one = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
one.settimeout(5)
one.connect((sys.argv[1], int(sys.argv[2])))
one.send(b"ping")
heard = [one.recv(16).decode()]
print(one.getsockname()[1], flush=True)
sys.stdin.readline()
one.settimeout(0.5)
try:
    heard.append(one.recv(16).decode())
except TimeoutError:
    pass
print(*heard, flush=True)
"""


def _asking_while_forged(pod: Pod) -> tuple[str, str]:
    """What the sidecar hears when it asks outside, and what becomes of the agent's answer."""
    asking = [*pod.entering(), sys.executable, "-c", _ASKING, attempts.V6, str(attempts.PORT)]
    with subprocess.Popen(
        asking, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as sidecar:
        told, asked = _pipes(sidecar)
        port = told.readline().strip()
        forged = pod.attempt(_AGENT, "forged-answer", ASKED_FROM=port)
        asked.write("go on\n")
        asked.flush()
        return told.readline().strip(), forged["forged-answer"][0]


@pytest.mark.promise("K13")
def test_the_sidecar_goes_where_it_wants(enforced: Pod) -> None:
    """docs/administrator/enforcement.md: its user alone, in both families."""
    ways = ("tcp4", "tcp6", "udp4", "udp6", "mapped", "dns", "ping4", "ping6", "curl")
    outcomes = enforced.attempt(_SIDECAR, *ways)
    assert {name: said for name, (said, _) in outcomes.items() if said != "passed"} == {}


def test_a_connection_of_the_sidecar_ends_as_it_should(enforced: Pod) -> None:
    """What a closed socket still sends has no owner: it passes because of who opened it."""
    outcomes = enforced.attempt(_SIDECAR, "orphaned")
    assert outcomes["orphaned"][0] == "passed"
    until(lambda: enforced.received() == [400_000], "all of it has arrived", timeout_s=60)


_SERVER = """
import os, socket, sys, threading
os.setgid(10001); os.setuid(10001)
def tcp(door):
    while True:
        one, _ = door.accept()
        one.recv(64); one.sendall(b"the agent over TCP"); one.close()
def udp(door):
    while True:
        _, caller = door.recvfrom(64)
        door.sendto(b"the agent over UDP", caller)
one = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
two = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
for door in (one, two):
    door.bind(("::", 8000))
one.listen()
threading.Thread(target=udp, args=(two,), daemon=True).start()
print("up", flush=True)
tcp(one)
"""


def test_who_calls_the_agent_is_answered(enforced: Pod) -> None:
    """Agents may be servers: probes and callers from outside get answers, in both families."""
    with _agent_serving(enforced):
        for address in (_OWN_V4, attempts.OWN_V6):
            answers = enforced.call(address, 8000)
            assert answers == ["the agent over TCP", "the agent over UDP"]


def test_the_agent_reaches_loopback(enforced: Pod) -> None:
    """That is where the sidecar listens; the pod's own address is as near."""
    with _agent_serving(enforced):
        for address in ("127.0.0.1", "::1", _OWN_V4, attempts.OWN_V6):
            asking = f"import socket; s = socket.create_connection(({address!r}, 8000), 5); "
            asking += "s.send(b'hello'); print(s.recv(64).decode())"
            said = enforced.run(sys.executable, "-c", asking)
            assert said.stdout == "the agent over TCP\n"


def test_a_second_run_changes_nothing(enforced: Pod) -> None:
    """An init container runs again when the node restarts it."""
    before = _rules(enforced)
    assert "nobody but user" in enforced.enforce()
    assert _rules(enforced) == before


def test_rules_of_somebody_else_stay_and_do_not_open_the_pod(pod: Pod) -> None:
    """Another table may accept what it likes: a packet has to pass every one."""
    open_all = (
        "add table inet other; add chain inet other out { type filter hook output priority 9 ; }"
    )
    assert pod.run("nft", f"{open_all}; add rule inet other out accept").returncode == 0
    assert "nobody but user" in pod.enforce()
    assert pod.attempt(_AGENT, "tcp4")["tcp4"][0] == "ECONNREFUSED"
    assert "table inet other" in pod.run("nft", "list", "tables").stdout


def test_a_pod_without_ipv6_is_closed_too(pod: Pod) -> None:
    """Clusters of one family are most."""
    pod.run("sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6")
    assert "nobody but user" in pod.enforce()
    assert pod.attempt(_AGENT, "tcp4")["tcp4"][0] == "ECONNREFUSED"
    assert pod.attempt(_SIDECAR, "tcp4")["tcp4"][0] == "passed"


def test_a_pod_that_may_forward_forwards_nothing(enforced: Pod) -> None:
    """Pods inherit the node's forwarding; it would be a door beside the one that is watched."""
    for family in ("ipv4", "ipv6"):
        enforced.run("sh", "-c", f"echo 1 > /proc/sys/net/{family}/conf/all/forwarding")
    outcomes = enforced.attempt(_AGENT, "by-loopback", "forged-udp", "forged-tcp")
    assert "passed" not in {said for said, _ in outcomes.values()}
    assert enforced.heard() <= _NEIGHBOURS


def test_without_the_capability_it_fails_and_says_so(pod: Pod) -> None:
    """The pod stays in Init, with the reason in the container's log."""
    enforcer = [sys.executable, "-m", "mesh7_sidecar.enforce"]
    done = pod.run("setpriv", "--bounding-set=-all", *enforcer, MESH7_USER=str(_SIDECAR))
    assert done.returncode == 1
    assert "NET_ADMIN: does a Pod Security level" in done.stderr


def _manifest(product_images: dict[str, str]) -> str:
    """What injection writes at Enforced, the sidecar's program left out."""
    settings = injection_settings.Settings(
        image=product_images["sidecar"], pull_policy="Never", user=_SIDECAR
    )
    sleeping = ["python", "-c", "import signal; signal.pause()"]
    strict = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    common = {"command": sleeping, "imagePullPolicy": "Never"}
    sidecar = {
        "name": "mesh7",
        "image": settings.image,
        "restartPolicy": "Always",
        "securityContext": {**strict, "runAsUser": _SIDECAR},
        **common,
    }
    agent = {
        "name": "agent",
        "image": product_images["agent"],
        "securityContext": {**strict, "runAsUser": _AGENT},
        **common,
    }
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "enforced"},
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "initContainers": [sidecar_container.enforcer(settings, {}), sidecar],
                "containers": [agent],
                "volumes": [{"name": volumes.PODINFO, "emptyDir": {}}],
            },
        }
    )


@pytest.mark.promise("K13")
def test_a_real_pod_is_closed_before_its_agent_starts(
    cluster: Cluster, namespace: str, node_cluster: NodeCluster, product_images: dict[str, str]
) -> None:
    """With the image, the rights and the order that injection writes, under a real kubelet."""
    kubectl = cluster.kubectl
    cluster.apply(_manifest(product_images), namespace)
    kubectl.wait("condition=Ready", "pod/enforced", f"-n={namespace}")
    said = kubectl("logs", "enforced", "-c", "mesh7-enforce", "-n", namespace)
    assert said == f"mesh7-enforce: nobody but user {_SIDECAR} leaves this pod\n"
    with _answering(node_cluster.room.plan.host) as (host, port):
        outcomes = {}
        for container, user in (("agent", _AGENT), ("mesh7", _SIDECAR)):
            within = ["exec", "-i", "enforced", "-c", container, "-n", namespace, "--", "env"]
            told = [f"OUTSIDE_V4={host}", f"OUTSIDE_PORT={port}", "python", "-", str(user)]
            script = (_HERE / "attempts.py").read_text()
            tried = json.loads(kubectl(*within, *told, "tcp4", "udp4", "mapped", stdin=script))
            outcomes[container] = {name: outcome for name, (outcome, _) in tried.items()}
    assert outcomes == {
        "agent": {"tcp4": "ECONNREFUSED", "udp4": "EPERM", "mapped": "ECONNREFUSED"},
        "mesh7": {"tcp4": "passed", "udp4": "passed", "mapped": "passed"},
    }


@contextlib.contextmanager
def _answering(host: str) -> Iterator[tuple[str, int]]:
    """A server on this host, over TCP and UDP at the same port."""
    with (
        socket.create_server((host, 0)) as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
    ):
        udp.bind(tcp.getsockname())
        for serving in (lambda: _serve_tcp(tcp), lambda: _serve_udp(udp)):
            threading.Thread(target=serving, daemon=True).start()
        try:
            yield tcp.getsockname()
        finally:
            for one in (tcp, udp):
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)


def _serve_tcp(door: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            with door.accept()[0] as one:
                one.sendall(b"pong")
                one.recv(16)


def _serve_udp(door: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            said, caller = door.recvfrom(16)
            if not said:
                return
            door.sendto(b"pong", caller)


def _rules(pod: Pod) -> str:
    return pod.run("nft", "--stateless", "list", "table", "inet", "mesh7").stdout


@contextlib.contextmanager
def _agent_serving(pod: Pod) -> Iterator[None]:
    """The agent listens on port 8000, over TCP and UDP, in both families."""
    with subprocess.Popen(
        [*pod.entering(), sys.executable, "-c", _SERVER], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "up\n"
        try:
            yield
        finally:
            server.kill()


@contextlib.contextmanager
def _namespace() -> Iterator[int]:
    """The number of a process that holds a network namespace open."""
    holding = ["unshare", "--net", "sh", "-c", "echo up; exec sleep infinity"]
    with subprocess.Popen(holding, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "up\n"
        try:
            yield holder.pid
        finally:
            holder.kill()


def _script(namespace: int, lines: str) -> None:
    for line in lines.strip().splitlines():
        done = _in(namespace, *line.split())
        assert done.returncode == 0, f"{line}: {done.stderr}"


def _in(namespace: int, *argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["nsenter", f"--target={namespace}", "--net", "--", *argv],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def _pipes(world: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    assert world.stdout is not None
    assert world.stdin is not None
    return world.stdout, world.stdin
