"""A node's own network and mounts: namespaces that a sleeping process holds open.

The host keeps its routes, files and kernel settings: whatever the node writes outside its folder
goes into layers that vanish with the namespaces, and those vanish with their last process.
"""

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network
from pathlib import Path

from e2e.cluster import cgroups, processes
from e2e.cluster.waiting import ClusterError, until

_PATIENCE_S = 20.0
_SLOTS = range(8)
_LONGEST = 85  # a socket's path has at most 107 bytes
_VEILED = ("/opt", "/run", "/var")
# The kubelet wants these and would set them for the whole machine: it reads them from our files.
_KERNEL = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
_JOIN = 'echo $$ > "$0" && exec "$@"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Addresses of one node, all within one /16 that the host reaches by one route.

    Attributes:
        slot: which /16; also names the link.
        host: the host's end of the link; the API server listens there.
        node: the node's end.
    """

    slot: int

    @property
    def whole(self) -> str:
        return f"10.{210 + self.slot}.0.0/16"

    @property
    def link(self) -> str:
        return f"m7-{self.slot}"

    @property
    def host(self) -> str:
        return f"10.{210 + self.slot}.0.1"

    @property
    def node(self) -> str:
        return f"10.{210 + self.slot}.0.2"

    @property
    def pods(self) -> str:
        return f"10.{210 + self.slot}.1.0/24"

    @property
    def services(self) -> str:
        return f"10.{210 + self.slot}.16.0/20"

    @property
    def dns(self) -> str:
        """Where pods look for a name server."""
        return f"10.{210 + self.slot}.16.10"


class Room:
    """The namespaces of one node.

    Attributes:
        plan: its addresses.
    """

    def __init__(self, home: Path) -> None:
        """Take up what `make` has made."""
        written = json.loads((home / "room.json").read_text())
        self.plan = Plan(slot=written["slot"])
        self._home = home
        self._group: str = written["group"]
        [holder] = [p for p in processes.recorded(home) if p.name == "room"]
        self._pid = holder.pid

    def start(self, name: str, *argv: str) -> processes.Process:
        """Start a daemon in there."""
        return processes.start(self._home, name, self._argv(argv))

    def run(self, *argv: str, patience_s: float = _PATIENCE_S) -> str:
        """Run a program in there to its end, and answer its stdout.

        Raises:
            ClusterError: it failed; with its stderr.
        """
        return _run(*self._argv(argv), patience_s=patience_s)

    def _argv(self, argv: Sequence[str]) -> list[str]:
        inside = [_found("nsenter"), f"--target={self._pid}", "--net", "--mount", "--"]
        return [*_joining(self._group), *inside, *argv]


def make(home: Path, group: str) -> Room:
    """Make namespaces, their link to the host and their layers; the group too.

    Raises:
        ClusterError: a step failed; what was done is undone by `remove`.
    """
    if len(str(home)) > _LONGEST:
        raise ClusterError(f"{home}: too long for the sockets in it; set XDG_STATE_HOME")
    (home / "room.json").write_text(json.dumps({"slot": -1, "group": group}))
    cgroups.make(group)
    unshare = [_found("unshare"), "--net", "--mount", "--propagation", "private", "--"]
    sleep = [_found("sleep"), "infinity"]
    holder = processes.start(home, "room", [*_joining(group), *unshare, *sleep])
    until(lambda: _program(holder.pid) == "sleep", "the namespaces stand", timeout_s=_PATIENCE_S)
    plan = _link(holder.pid)
    (home / "room.json").write_text(json.dumps({"slot": plan.slot, "group": group}))
    room = Room(home)
    _furnish(room, home)
    return room


def remove(home: Path) -> None:
    """Kill whoever is in there, and wait until the kernel has taken all of it down."""
    if not (home / "room.json").exists():
        return
    written = json.loads((home / "room.json").read_text())
    cgroups.remove(written["group"])
    link = Path("/sys/class/net") / Plan(slot=written["slot"]).link
    until(lambda: not link.exists(), f"the link {link.name} is gone", timeout_s=_PATIENCE_S)


def _link(pid: int) -> Plan:
    """Claim a slot by making its link, which nobody else can then."""
    taken = [ip_network(route["dst"]) for route in _routes() if route["dst"] != "default"]
    for plan in map(_plan, _SLOTS):
        if any(IPv4Network(plan.whole).overlaps(IPv4Network(net)) for net in taken):
            continue
        ends = ["type", "veth", "peer", "name", "eth0", "netns", str(pid)]
        try:
            _run("ip", "link", "add", plan.link, *ends)
        except ClusterError:
            if (Path("/sys/class/net") / plan.link).exists():
                continue
            raise
        _run("ip", "address", "add", f"{plan.host}/30", "dev", plan.link)
        _run("ip", "link", "set", plan.link, "up")
        _run("ip", "route", "add", plan.whole, "via", plan.node)
        return plan
    raise ClusterError("no network for a node; end others: python -m e2e.cluster status")


def _furnish(room: Room, home: Path) -> None:
    """Addresses and forwarding inside, layers over what daemons write outside their folder."""
    plan = room.plan
    for command in (
        "ip link set lo up",
        f"ip address add {plan.node}/30 dev eth0",
        "ip link set eth0 up",
        f"ip route add default via {plan.host}",
        f"ip address add {plan.dns}/32 dev lo",
        # A service without an endpoint is refused at once, instead of sent around in circles.
        f"ip route add unreachable {plan.services}",
        "mount --no-mtab --make-rshared /",
        f"mount --no-mtab -t tmpfs tmpfs {home / 'veil'}",
    ):
        (home / "veil").mkdir(exist_ok=True)
        room.run(*command.split())
    room.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
    for folder in _VEILED:
        if home.is_relative_to(folder):
            raise ClusterError(
                f"{home}: lies in {folder}; set XDG_STATE_HOME to a folder elsewhere"
            )
        upper, work = (home / "veil" / f"{kind}{folder}" for kind in ("upper", "work"))
        room.run("mkdir", "-p", str(upper), str(work))
        layers = f"lowerdir={folder},upperdir={upper},workdir={work}"
        room.run("mount", "--no-mtab", "-t", "overlay", "overlay", "-o", layers, folder)
    for key, value in _KERNEL.items():
        told = home / "kernel" / key.replace("/", ".")
        told.parent.mkdir(exist_ok=True)
        told.write_text(f"{value}\n")
        if Path("/proc/sys", key).exists():
            room.run("mount", "--no-mtab", "--bind", str(told), f"/proc/sys/{key}")


def _plan(slot: int) -> Plan:
    return Plan(slot=slot)


def _routes() -> list[dict[str, str]]:
    routes: list[dict[str, str]] = json.loads(
        _run("ip", "-4", "-json", "route", "show", "table", "all") or "[]"
    )
    return routes


def _joining(group: str) -> list[str]:
    return [_found("sh"), "-c", _JOIN, str(cgroups.doorway(group))]


def _program(pid: int) -> str:
    comm = Path(f"/proc/{pid}/comm")
    return comm.read_text().strip() if comm.exists() else ""


def _found(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise ClusterError(f"{program} is missing; install it by: e2e/cluster/prepare")
    return path


def _run(program: str, *arguments: str, patience_s: float = _PATIENCE_S) -> str:
    done = subprocess.run(
        [_found(program), *arguments],
        capture_output=True,
        text=True,
        timeout=patience_s,
        check=False,
    )
    if done.returncode != 0:
        shown = " ".join([Path(program).name, *arguments])
        raise ClusterError(f"{shown} – exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout
