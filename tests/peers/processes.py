"""Peers as processes: started, reached on a socket that never races, ended with their group.

Every wait is bounded. A server inherits a listening socket, so a client may connect at once: the
kernel queues it until the server accepts, and refuses it when the server has died.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
OLD_SDK_PYTHON = ROOT / ".venv-mcp1" / "bin" / "python"
"""The interpreter that has `mcp` 1.x; `make test` makes it."""
_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A process that ran to its end.

    Attributes:
        code: the exit code; negative = the signal that ended it.
    """

    code: int
    out: str
    err: str


async def run(
    argv: Sequence[str | Path],
    *,
    timeout_s: float,
    environment: Mapping[str, str] | None = None,
    stdin: bytes = b"",
) -> Finished:
    """Run a program from the repository's root to its end.

    Args:
        argv: the program and its arguments.
        timeout_s: after this its group is killed.
        environment: added to ours.
        stdin: what it reads before its input ends.

    Raises:
        TimeoutError: it did not end in time.
    """
    process = await _started(argv, environment, stdin=asyncio.subprocess.PIPE)
    try:
        out, err = await asyncio.wait_for(process.communicate(stdin), timeout_s)
    finally:
        await end(process)
    return Finished(code=process.returncode or 0, out=out.decode(), err=err.decode())


@contextlib.asynccontextmanager
async def running(
    argv: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    sockets: Sequence[socket.socket] = (),
    log: Path | None = None,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program that runs while the block does; its output is the caller's to read or to leave.

    Args:
        argv: the program and its arguments.
        environment: added to ours.
        sockets: handed over: the program has them under the same numbers, we close ours.
        log: where its stderr is appended; our own stderr when not given.
    """
    process = await _started(argv, environment, sockets=sockets, log=log)
    try:
        yield process
    finally:
        await end(process)


@contextlib.asynccontextmanager
async def serving(module: str, *, python: str | Path = sys.executable) -> AsyncIterator[str]:
    """A peer module that takes the number of a listening socket; answers its base URL.

    The URL has no path and no trailing slash.
    """
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    argv = [python, "-m", module, str(listening.fileno())]
    async with running(argv, sockets=[listening]):
        yield f"http://127.0.0.1:{port}"


async def end(process: asyncio.subprocess.Process) -> int:
    """Ask the process to stop, kill its group if it does not, and answer the exit code."""
    if process.returncode is None:
        _signal(process, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _PATIENCE_S)
    _signal(process, signal.SIGKILL)  # children that outlived it, or the process itself
    return await process.wait()


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


async def _started(
    argv: Sequence[str | Path],
    environment: Mapping[str, str] | None,
    *,
    sockets: Sequence[socket.socket] = (),
    stdin: int = asyncio.subprocess.DEVNULL,
    log: Path | None = None,
) -> asyncio.subprocess.Process:
    # Output that nobody reads would fill a pipe: what nobody captures goes to our own stderr.
    capture = asyncio.subprocess.PIPE
    file = log.open("ab") if log is not None else None
    try:
        return await asyncio.create_subprocess_exec(
            *argv,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdin=stdin,
            stdout=capture,
            stderr=capture if stdin == capture else file,
            pass_fds=[each.fileno() for each in sockets],
            start_new_session=True,
        )
    finally:
        for each in sockets:
            each.close()
        if file is not None:
            file.close()
