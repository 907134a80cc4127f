"""A million calls, all different: what a gateway keeps of them, in memory and in its ledger.

Every call is counted by three limits and a loop, every tenth comes in a session of its own. The
figures of each tenth of the run are printed; what still grows in the second half makes it fail.
"""

import argparse
import asyncio
import contextlib
import socket
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import children, upstream, valkey

_CALLS: Final = 1_000_000
_CONNECTIONS: Final = 16
_PARTS: Final = 10
_WARM_PARTS: Final = 5
_MOST_GROWTH: Final = 1.05
"""Of memory, over the second half."""
_MOST_KEPT: Final = 110_000
"""Of windows: 100,000 loops, 10,000 sessions; and in SQLite what came since the last sweep."""
_SWEPT_S: Final = 35.0
_READY_WITHIN_S: Final = 10.0
_ANSWER: Final = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok"
_MANIFESTS: Final = """\
apiVersion: mesh7.dev/v1alpha1
kind: ToolSource
metadata: {{name: api}}
spec:
  http: {{url: "http://127.0.0.1:{port}"}}
---
apiVersion: mesh7.dev/v1alpha1
kind: AgentPolicy
metadata: {{name: soak}}
spec:
  selector: {{}}
  defaultAction: Deny
  rules:
  - {{name: get, tools: ["api.get"], action: Allow, limits: [window, lifetime, session]}}
  limits:
  - {{name: window, per: Agent, max: 1000000000, window: 1m}}
  - {{name: lifetime, per: Pod, max: 1000000000}}
  - {{name: session, per: Session, max: 1000000, window: 1m}}
  loops: {{identical: 3, window: 2s}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The gateway after so many calls.

    Attributes:
        kept: windows that its ledger holds.
        rate: calls a second since the sample before.
    """

    calls: int
    rate: float
    resident_mb: float
    kept: int


class _Api(asyncio.Protocol):
    """A plain HTTP API: `ok` to every request without a body."""

    def __init__(self) -> None:
        self._rest = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # TCP gives a Transport

    def data_received(self, data: bytes) -> None:
        *whole, self._rest = (self._rest + data).split(b"\r\n\r\n")
        if whole and self._transport is not None:
            self._transport.write(_ANSWER * len(whole))


def main(argv: list[str]) -> int:
    """Soak a gateway with each home of the ledger; 1 when something grew."""
    parser = argparse.ArgumentParser(prog="python -m bench soak", description=__doc__)
    parser.add_argument("--calls", type=int, default=_CALLS, help="through each gateway")
    parser.add_argument("--home", choices=["sqlite", "redis"], help="one of them only")
    asked = parser.parse_args(argv)
    homes = [asked.home] if asked.home else ["sqlite", "redis"]
    return max(_soaked(home, asked.calls) for home in homes)


def _soaked(home: str, calls: int) -> int:
    print(f"\n{home}: {calls:,} calls\n\n| calls | calls/s | RSS MB | windows kept |")
    print("| ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory(prefix="mesh7-soak-") as name:
        samples = asyncio.run(_run(Path(name), home, calls))
    grown = samples[-1].resident_mb / samples[_WARM_PARTS - 1].resident_mb
    most = _MOST_KEPT + _SWEPT_S * max(sample.rate for sample in samples)
    print(f"\nmemory since {samples[_WARM_PARTS - 1].calls:,} calls: {grown - 1:+.1%}")
    return int(grown > _MOST_GROWTH or max(sample.kept for sample in samples) > most)


async def _run(folder: Path, home: str, calls: int) -> list[Sample]:
    cores = children.cores()
    server = await asyncio.get_running_loop().create_server(_Api, "127.0.0.1", 0)
    port = upstream.free_port()
    manifests = folder / "manifests"
    manifests.mkdir()
    behind = server.sockets[0].getsockname()[1]
    (manifests / "soak.yaml").write_text(_MANIFESTS.format(port=behind), encoding="utf-8")
    argv: list[str | Path] = [
        Path(sys.executable).with_name("mesh7"), "run", manifests, "--listen", f"127.0.0.1:{port}",
        "--admin", "off", "--state", folder / "state",
    ]  # fmt: skip
    with _store(home, cores.load, folder) as redis_port:
        if redis_port:
            argv += ["--redis", f"redis://127.0.0.1:{redis_port}"]
        with children.running("mesh7", argv, cores.measured, folder) as child:
            await _ready(port, child)
            samples = []
            for part in range(_PARTS):
                numbers = range(calls * part // _PARTS, calls * (part + 1) // _PARTS)
                started_s = time.monotonic()
                await _ask_all(port, numbers)
                rate = len(numbers) / (time.monotonic() - started_s)
                kept = _kept(redis_port, folder / "state" / "ledger.db")
                samples.append(Sample(
                    calls=numbers.stop, rate=rate, resident_mb=child.resident_mb(), kept=kept
                ))  # fmt: skip
                _show(samples[-1])
    server.close()
    return samples


def _show(sample: Sample) -> None:
    print(
        f"| {sample.calls:,} | {sample.rate:,.0f} | {sample.resident_mb:.1f} | {sample.kept:,} |",
        flush=True,
    )


@contextlib.contextmanager
def _store(home: str, core: int, folder: Path) -> Iterator[int]:
    """The port of a Valkey; 0 without one."""
    if home == "sqlite":
        yield 0
        return
    with valkey.serving(core, folder) as port:
        yield port


async def _ready(port: int, child: children.Child) -> None:
    deadline_s = time.monotonic() + _READY_WITHIN_S
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        if not child.is_alive or time.monotonic() > deadline_s:
            raise children.died(child)
        await asyncio.sleep(0.02)


async def _ask_all(port: int, numbers: range) -> None:
    await asyncio.gather(*(_ask(port, numbers[each::_CONNECTIONS]) for each in range(_CONNECTIONS)))


async def _ask(port: int, numbers: range) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for number in numbers:
        session = b"x-session-id: s%d\r\n" % number if number % 10 == 0 else b""
        head = b"GET /http/api/%d HTTP/1.1\r\nhost: 127.0.0.1\r\n%b\r\n"
        writer.write(head % (number, session))
        answer = await reader.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise SystemExit(f"soak: call {number} was answered {answer[:40]!r}")
        await reader.readexactly(2)
    writer.close()


def _kept(redis_port: int, ledger: Path) -> int:
    if redis_port:
        with socket.create_connection(("127.0.0.1", redis_port), 5.0) as link:
            link.sendall(b"DBSIZE\r\n")
            return int(link.recv(64)[1:])
    with contextlib.closing(sqlite3.connect(ledger)) as file:
        tables = "(select count(*) from windows) + (select count(*) from repeats)"
        return int(file.execute(f"select {tables}").fetchone()[0])
