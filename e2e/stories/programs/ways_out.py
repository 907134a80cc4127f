"""Ways out of a pod that a program in an agent's container may try: `ways_out.py ADDRESS`.

Prints JSON: of each way `OUT` when it got out, else what happened.
"""

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

PORT = 8000
PATIENCE_S = 3
# A question for the address of `a`.
QUESTION = bytes.fromhex("0001010000010000000000000161000001" + "0001")


def curl(address: str) -> None:
    """As people do."""
    asked = ["curl", "-sS", "-m", str(PATIENCE_S), "-o", "/dev/null", f"http://{address}:{PORT}/"]
    subprocess.run(asked, check=True)


def tcp(address: str) -> None:
    """A connection."""
    socket.create_connection((address, PORT), PATIENCE_S).close()


def tcp6(address: str) -> None:
    """A connection of a socket for IPv6, to the same address."""
    with socket.socket(socket.AF_INET6) as spoken:
        spoken.settimeout(PATIENCE_S)
        spoken.connect((f"::ffff:{address}", PORT))


def udp(_: str) -> None:
    """A question to the name server, and its answer."""
    told = Path("/etc/resolv.conf").read_text().splitlines()
    dns = next(line.split()[1] for line in told if line.startswith("nameserver"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as spoken:
        spoken.settimeout(PATIENCE_S)
        spoken.connect((dns, 53))
        spoken.send(QUESTION)
        spoken.recv(512)


def udp6(_: str) -> None:
    """A packet over IPv6, to everybody on the link: pods have an address there in any cluster."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as spoken:
        spoken.sendto(b"hello", ("ff02::1", PORT, 0, socket.if_nametoindex("eth0")))


def raw(_: str) -> None:
    """A socket below IP."""
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()


def name(_: str) -> None:
    """A name, as any program looks it up."""
    socket.getaddrinfo("kubernetes.default.svc.cluster.local", 443)


def bound(address: str) -> None:
    """A connection from the address of the pod, and a port that servers have."""
    with contextlib.closing(socket.socket()) as spoken:
        spoken.settimeout(PATIENCE_S)
        spoken.bind(("0.0.0.0", 8081))
        spoken.connect((address, PORT))


WAYS = (curl, tcp, tcp6, udp, udp6, raw, name, bound)


def tried(way: Callable[[str], None], address: str) -> str:
    """What comes of it."""
    try:
        way(address)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "OUT"


if __name__ == "__main__":
    print(json.dumps({way.__name__: tried(way, sys.argv[1]) for way in WAYS}))
