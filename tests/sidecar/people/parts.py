"""A people's door on a real unix socket over a ledger in memory, and processes that knock on it."""

import asyncio
import contextlib
import itertools
import json
import os
import pwd
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mesh7_core.audit.deeds import Deed
from mesh7_core.compiling import compiler
from mesh7_core.ledger import protocol
from mesh7_core.ledger.asked import Asking, Request
from mesh7_core.ledger.memory import MemoryLedger
from mesh7_core.policy import bundle, calls
from mesh7_sidecar.bundles.current import Current
from mesh7_sidecar.clock import Clock
from mesh7_sidecar.doors.control import Control
from mesh7_sidecar.doors.people import People
from mesh7_sidecar.doors.people_answers import Ground
from mesh7_sidecar.gate.standing import StandingGrants
from mesh7_sidecar.net import listener
from mesh7_sidecar.net.exchange import Exchange
from mesh7_sidecar.net.identity import always
from mesh7_sidecar.people.clients import Clients
from mesh7_sidecar.people.hurdles import Rules

PATIENCE_S = 30.0
START_MS = 1_795_248_000_000  # 2026-11-21T08:00:00Z
AGENT = calls.Agent(namespace="default", service_account="default", pod="laptop-1")
STEPS = Path(__file__).with_name("steps.py")
REQUEST = Request(
    id="r-" + "a" * 26,
    digest="sha256:" + "0" * 64,
    agent="default/coder",
    pod="laptop-1",
    tool="git.commit",
    arguments='{"message":"fix","n":12345678901234567890123}',
    definition="sha256:" + "1" * 64,
    asking=(Asking(rule="default/coding/commits", groups=(), count=1, text="look at it first"),),
    timeout_ms=600_000,
    use_within_ms=300_000,
    trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
)
Json = dict[str, Any]
ENDED: Json = {"ended": True}


@dataclass
class Time:
    """A clock that stands until it is moved."""

    ms: int = START_MS

    def clock(self) -> Clock:
        return Clock(
            wall_ns=lambda: self.ms * 1_000_000,
            monotonic_ns=lambda: self.ms * 1_000_000,
            monotonic_s=lambda: self.ms / 1000,
        )


@dataclass
class Reply:
    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def json(self) -> Json:
        found = json.loads(self.body)
        assert isinstance(found, dict)
        return found

    @property
    def detail(self) -> str:
        return str(self.json["detail"])


class Place:
    """A people's door that serves, and all that it stands on.

    Attributes:
        deeds: what was noted.
        waiting: callers by request id.
        current: what calls would be judged by.
        agents: names of those who have called.
        ports: of the listeners that agents call.
    """

    def __init__(self, socket: Path, ledger: protocol.Ledger, time: Time, rules: Rules) -> None:
        self.socket = socket
        self.ledger = ledger
        self.time = time
        self.clients = Clients()
        self.deeds: list[Deed] = []
        self.is_noted = asyncio.Event()
        self.waiting: dict[str, int] = {}
        self.agents = {"default", "coder"}
        self.current = Current()
        self.standing = StandingGrants(ledger, self.current)
        self.ports: list[int] = []
        names = (f"n{number}" for number in itertools.count(1))
        self.ground = Ground(
            ledger=ledger,
            rules=rules,
            clients=self.clients,
            agent="default",
            standing=self.standing,
            bundle=lambda: self.current.bundle,
            may_know=lambda name: name in self.agents,
            waiting=lambda identifier: self.waiting.get(identifier, 0),
            note=self._note,
            clock=time.clock(),
            new_suffix=lambda: next(names),
            ports=lambda: self.ports,
        )

    def judge_by(self, text: str) -> None:
        """Put the policies of one file in force."""
        self.current.swap(compiled(text))

    async def _note(self, deed: Deed) -> None:
        self.deeds.append(deed)
        self.is_noted.set()

    async def ask(
        self,
        method: str,
        target: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """One request on a connection of its own, spelled exactly so."""
        sent = body if isinstance(body, bytes) else b"" if body is None else _dumped(body)
        fields = {"host": "localhost", "content-length": str(len(sent))}
        if body is not None:
            fields["content-type"] = "application/json"
        fields |= headers or {}
        head = f"{method} {target} HTTP/1.1\r\n" + "".join(
            f"{name}: {value}\r\n" for name, value in fields.items()
        )
        async with asyncio.timeout(PATIENCE_S), self.connection() as (reader, writer):
            writer.write(head.encode() + b"\r\n" + sent)
            return await read_reply(reader, method)

    @contextlib.asynccontextmanager
    async def connection(
        self,
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection of this process to the door."""
        reader, writer = await asyncio.open_unix_connection(str(self.socket), limit=1 << 24)
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def open(self, **changes: Any) -> Request:
        """A request that is pending."""
        wanted = replace(REQUEST, **changes)
        opened = await self.ledger.open(wanted, protocol.Caps(per_pod=1000, per_namespace=1000))
        assert isinstance(opened, protocol.Opened), opened
        found = await self.ledger.request(opened.request_id)
        assert isinstance(found, Request)
        return found

    def approve(self, **changes: object) -> Json:
        """What a process is told that is to approve `REQUEST`."""
        target = f"/control/requests/{REQUEST.id}/approve"
        return {"method": "POST", "target": target, "body": {"reason": ""}} | changes

    async def process(self, word: str, **step: object) -> Reply:
        """Run `steps.py` in a session without a terminal, and answer what it was answered."""
        step = {"socket": str(self.socket), **step}
        read, write = os.pipe()
        os.set_inheritable(write, True)  # noqa: FBT003 - the os module's signature
        if word == "ask":
            step["out"] = write
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", str(STEPS), word, json.dumps(step),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=None if word == "ask" else write,
            pass_fds=(write,),
            start_new_session=True,
        )  # fmt: skip
        os.close(write)
        async with asyncio.timeout(PATIENCE_S):
            line = await asyncio.to_thread(_first_line, read)
            await process.wait()
        found = json.loads(line)
        return Reply(found["status"], found["body"].encode())


@contextlib.asynccontextmanager
async def serving(
    *,
    rules: Rules | None = None,
    ledger: protocol.Ledger | None = None,
    time: Time | None = None,
    beat_s: float = 15.0,
) -> AsyncIterator[Place]:
    """A door for scripts, unless `rules` say something else, while the block runs."""
    time = time or Time()
    rules = rules or Rules(own_uid=os.geteuid(), allows_scripts=True)
    with _folder() as folder:
        ledger = ledger or MemoryLedger(lambda: time.ms)
        place = Place(folder / "gateway.sock", ledger, time, rules)
        people = People(place.ground, beat_s)
        control = Control(_nothing, _status, lambda _: None, people=people, clients=place.clients)
        bound = listener.unix_socket(place.socket)
        if os.geteuid() == 0:
            place.socket.chmod(0o666)
        server = await listener.serve(control, [bound], always(AGENT))
        try:
            yield place
        finally:
            control.dismiss()
            await server.close_gracefully(PATIENCE_S)
            await ledger.close()


@contextlib.asynccontextmanager
async def watching(place: Place) -> AsyncIterator[Callable[[], Awaitable[Json]]]:
    """Watch; each call answers the next line, or `ENDED`."""
    async with place.connection() as (reader, writer):
        writer.write(b"GET /control/watch HTTP/1.1\r\nhost: localhost\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head

        async def line() -> Json:
            async with asyncio.timeout(PATIENCE_S):
                size = int(await reader.readline(), 16)
                chunk = await reader.readexactly(size + 2)
            if not size:
                return ENDED
            found = json.loads(chunk)
            assert isinstance(found, dict)
            return found

        yield line


@contextlib.contextmanager
def terminal() -> Iterator[str]:
    """The path of a terminal that nobody uses yet."""
    ours, theirs = os.openpty()
    try:
        yield os.ttyname(theirs)
    finally:
        os.close(theirs)
        os.close(ours)


def compiled(text: str) -> bundle.Bundle:
    """The bundle of one file."""
    found = compiler.compile_files({"policy.yaml": text.encode()})
    assert found.bundle is not None, found.diagnostics
    return found.bundle


def somebody_else() -> pwd.struct_passwd:
    """Another user when we may become one (CI runs as root), else ourselves."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())


async def read_reply(reader: asyncio.StreamReader, method: str = "GET") -> Reply:
    """A whole answer with a `content-length`."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    status_line, *lines = head.strip().split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines)
    length = 0 if method == "HEAD" else int(fields.get("content-length", 0))
    return Reply(int(status_line.split()[1]), await reader.readexactly(length), fields)


def _first_line(descriptor: int) -> bytes:
    with open(descriptor, "rb") as answers:
        return answers.readline()


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """A folder that other users may pass, with a path short enough for a socket."""
    folder = Path(tempfile.mkdtemp(prefix="m7-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _dumped(body: object) -> bytes:
    return json.dumps(body).encode()


def _nothing(exchange: Exchange) -> None:
    exchange.respond(404, [], b"")


async def _status() -> dict[str, object]:
    return {"pid": 1}
