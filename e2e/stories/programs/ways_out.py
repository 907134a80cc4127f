"""Ways out of a pod that a program in an agent's container may try: `ways_out.py WAY ADDRESS DNS`.

Prints OUT when it got out; whatever else happens is printed too.
"""

import contextlib
import socket
import subprocess
import sys

PORT = 8000
PATIENCE_S = 3
# A question for the address of `a`.
QUESTION = bytes.fromhex("0001010000010000000000000161000001" + "0001")


def curl(address: str, _: str) -> None:
    """As people do."""
    asked = ["curl", "-sS", "-m", str(PATIENCE_S), "-o", "/dev/null", f"http://{address}:{PORT}/"]
    subprocess.run(asked, check=True)


def tcp(address: str, _: str) -> None:
    """A connection."""
    socket.create_connection((address, PORT), PATIENCE_S).close()


def tcp6(address: str, _: str) -> None:
    """A connection of a socket for IPv6, to the same address."""
    with socket.socket(socket.AF_INET6) as spoken:
        spoken.settimeout(PATIENCE_S)
        spoken.connect((f"::ffff:{address}", PORT))


def udp(_: str, dns: str) -> None:
    """A question to the name server, and its answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as spoken:
        spoken.settimeout(PATIENCE_S)
        spoken.connect((dns, 53))
        spoken.send(QUESTION)
        spoken.recv(512)


def raw(_: str, __: str) -> None:
    """A socket below IP."""
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()


def name(_: str, __: str) -> None:
    """A name, as any program looks it up."""
    socket.getaddrinfo("kubernetes.default.svc.cluster.local", 443)


def bound(address: str, _: str) -> None:
    """A connection from the address of the pod, and a port that servers have."""
    with contextlib.closing(socket.socket()) as spoken:
        spoken.settimeout(PATIENCE_S)
        spoken.bind(("0.0.0.0", 8081))
        spoken.connect((address, PORT))


WAYS = {way.__name__: way for way in (curl, tcp, tcp6, udp, raw, name, bound)}

if __name__ == "__main__":
    try:
        WAYS[sys.argv[1]](*sys.argv[2:])
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
    else:
        print("OUT")
