"""The world outside of a pod: it answers on every protocol, and notes every packet that arrives.

`python outside.py` says `up`; then for each line on stdin what it has heard since, as JSON:
`heard` = packets (protocol, source), `received` = bytes of each TCP connection that ended;
`call ADDRESS PORT` = what a server there answers over TCP and over UDP.
"""

import contextlib
import json
import socket
import sys
import threading

PORTS = (53, 7700)
_ALL_PROTOCOLS = 3
_V4, _V6 = 0x0800, 0x86DD
_OUTGOING = 4
_REPORT, _FEW = 143, 3
_ADDRESSES = bytes(3) + socket.inet_pton(socket.AF_INET6, "ff02::1:ff00:0")[:13]
"""Of a record without sources: how each group begins by which neighbours find an address."""

heard: list[tuple[str, str]] = []
received: list[int] = []


def _wire() -> socket.socket:
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL_PROTOCOLS))
    wire.bind(("eth0", _ALL_PROTOCOLS))
    return wire


def _listen(wire: socket.socket) -> None:
    while True:
        packet, about = wire.recvfrom(65_535)
        if about[2] != _OUTGOING:
            _note(about[1], packet)


def _note(ethertype: int, packet: bytes) -> None:
    if ethertype == _V4:
        heard.append((f"v4/{packet[9]}", socket.inet_ntop(socket.AF_INET, packet[12:16])))
    elif ethertype == _V6:
        heard.append((_of_v6(packet), socket.inet_ntop(socket.AF_INET6, packet[8:24])))


def _of_v6(packet: bytes) -> str:
    """Protocol, past hop-by-hop options, with the type of ICMPv6."""
    protocol, at = packet[6], 40
    if protocol == 0:
        protocol, at = packet[40], 40 + 8 * (packet[41] + 1)
    if protocol != socket.IPPROTO_ICMPV6:
        return f"v6/{protocol}"
    return f"v6/{protocol}/{packet[at]}" + _of_groups(packet[at:])


def _of_groups(message: bytes) -> str:
    """`/told` where a multicast report says more than a few groups of addresses."""
    if message[0] not in (131, 132, 143):
        return ""
    records = [message[at : at + 20] for at in range(8, len(message), 20)]
    is_few = message[0] == _REPORT and message[7] == len(records) <= _FEW
    return "" if is_few and all(one[1:17] == _ADDRESSES for one in records) else "/told"


def _door(family: int, kind: int, number: int) -> socket.socket:
    door = socket.socket(family, kind)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        door.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    door.bind(("", number))
    return door


def _answer_tcp(door: socket.socket) -> None:
    while True:
        threading.Thread(target=_speak, args=(door.accept()[0],), daemon=True).start()


def _speak(one: socket.socket) -> None:
    count = 0
    with one, contextlib.suppress(OSError):
        one.settimeout(20)
        one.sendall(b"pong")
        while got := one.recv(65_536):
            count += len(got)
    received.append(count)


def _answer_udp(door: socket.socket) -> None:
    while True:
        _, caller = door.recvfrom(65_535)
        door.sendto(b"pong", caller)


def _call(address: str, port: int) -> list[str]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    answers = []
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(family, kind) as one:
            one.settimeout(5)
            one.connect((address, port))
            one.send(b"who is there")
            answers.append(one.recv(64).decode())
    return answers


def main() -> None:
    """Serve until stdin ends."""
    threading.Thread(target=_listen, args=(_wire(),), daemon=True).start()
    for family in (socket.AF_INET, socket.AF_INET6):
        for number in PORTS:
            tcp = _door(family, socket.SOCK_STREAM, number)
            tcp.listen(64)
            threading.Thread(target=_answer_tcp, args=(tcp,), daemon=True).start()
            udp = _door(family, socket.SOCK_DGRAM, number)
            threading.Thread(target=_answer_udp, args=(udp,), daemon=True).start()
    sys.stdout.write("up\n")
    sys.stdout.flush()
    for line in sys.stdin:
        match line.split():
            case ["call", address, door]:
                said: object = _call(address, int(door))
            case _:
                said = {"heard": heard[:], "received": received[:]}
                heard.clear()
        sys.stdout.write(f"{json.dumps(said)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
