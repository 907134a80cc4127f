"""One child process that speaks JSON lines: started, read, written, ended with its whole group.

The life cycle is the SDK's (`mcp.client.stdio`, MCP 2025-11-25 lifecycle): own session, stdin
closed, a grace, SIGTERM to the group, a grace, SIGKILL. It is written anew here for two measured
reasons: the SDK's transport reads every message into models and writes them out again, which
respells numbers and drops duplicate keys (M4: bytes pass unchanged), and importing any part of
`mcp` costs 1.2 s of CPU and 48 MB, more than all else in the gateway together.
"""

import asyncio
import os
import shutil
import signal
from collections import deque
from collections.abc import Mapping
from typing import Final, Protocol, cast

from typing_extensions import override

from mesh7_sidecar.wire.lines import Lines, Overlong

EXIT_GRACE_S: Final = 2.0
TERMINATE_GRACE_S: Final = 2.0
KILL_GRACE_S: Final = 2.0
INHERITED: Final = (
    "HOME", "LANG", "LANGUAGE", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER",
)  # fmt: skip

_STDERR_LINES = 50
_STDERR_LINE_BYTES = 500
_POLL_S = 0.01
# After the exit its last lines may still be in the pipe, and after the pipe's end the exit
# status may still be on its way; a grandchild that holds the pipe must not make us wait longer.
_LAST_WORDS_S = 0.2


class Owner(Protocol):
    """Whoever reads a child's lines."""

    def line(self, line: bytes) -> None:
        """One line of its stdout, not blank."""

    def overlong(self, line: Overlong) -> None:
        """A line beyond the bound."""

    def ended(self, ending: str) -> None:
        """Called once: nothing more will come. `ending` says why in a few words."""


class Stderr:
    """The last lines that a child wrote to stderr; for people, never for the agent."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=_STDERR_LINES)
        self._partial = b""

    def feed(self, chunk: bytes) -> None:
        """Keep the end of what came; a long line is cut."""
        *lines, partial = (self._partial + chunk).split(b"\n")
        for line in lines[-_STDERR_LINES:]:
            self._lines.append(line[:_STDERR_LINE_BYTES].decode("utf-8", "replace").rstrip())
        self._partial = partial[:_STDERR_LINE_BYTES]

    def lines(self) -> tuple[str, ...]:
        """Oldest first, at most 50 lines of at most 500 bytes."""
        partial = self._partial.decode("utf-8", "replace").rstrip()
        return (*self._lines, partial) if partial else tuple(self._lines)


class Child(asyncio.SubprocessProtocol):
    """A running process. Make it with `start`.

    Attributes:
        pid: also the id of its process group.
    """

    def __init__(self, owner: Owner, maximum_line_bytes: int, stderr: Stderr) -> None:
        self.pid = 0
        self._owner: Owner | None = owner
        self._lines = Lines(maximum_line_bytes)
        self._stderr = stderr
        self._exited = asyncio.Event()
        self._is_silent = False
        self._stopping: asyncio.Task[None] | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The process runs."""
        self._transport = cast(asyncio.SubprocessTransport, transport)
        self.pid = self._transport.get_pid()

    @override
    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Something on stdout or stderr."""
        if fd == 2:  # noqa: PLR2004 - stderr
            self._stderr.feed(data)
            return
        for line in self._lines.feed(data):
            if self._owner is None:
                return
            if isinstance(line, Overlong):
                self._owner.overlong(line)
            else:
                self._owner.line(line)

    @override
    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """A pipe was closed by the other side; without stdout there is no answer any more."""
        del exc
        if fd == 1:
            self._is_silent = True
            self._ends(self._exited.is_set())

    @override
    def process_exited(self) -> None:
        """The process is reaped; its group may live on."""
        self._exited.set()
        self._ends(self._is_silent)

    @property
    def unwritten_bytes(self) -> int:
        """What waits to be read by the child."""
        stdin = self._stdin()
        return 0 if stdin is None else stdin.get_write_buffer_size()

    def write(self, line: bytes) -> None:
        """Send one line; the line feed is added here. Never blocks."""
        stdin = self._stdin()
        if stdin is not None and not stdin.is_closing():
            stdin.write(line + b"\n")

    def stop(self) -> "asyncio.Task[None]":
        """End the process and its group; a second call returns the same task.

        The owner hears nothing more. The task never fails and is done within about six seconds.
        """
        self._owner = None
        if self._stopping is None:
            self._stopping = asyncio.get_running_loop().create_task(self._stop())
        return self._stopping

    def _stdin(self) -> asyncio.WriteTransport | None:
        return cast(asyncio.WriteTransport | None, self._transport.get_pipe_transport(0))

    def _ends(self, is_complete: bool) -> None:  # noqa: FBT001 - private, two callers
        if is_complete:
            self._tell_end()
        else:
            asyncio.get_running_loop().call_later(_LAST_WORDS_S, self._tell_end)

    def _tell_end(self) -> None:
        owner, self._owner = self._owner, None
        if owner is not None:
            self._stopping = self.stop()
            owner.ended(_ending(self._transport.get_returncode()))

    async def _stop(self) -> None:
        stdin = self._stdin()
        if stdin is not None:
            stdin.close()
        await self._wait_for_exit(EXIT_GRACE_S)
        # Also after an orderly exit: what it started itself must not outlive it.
        if _signal_group(self.pid, signal.SIGTERM):
            if not await _group_ends(self.pid, TERMINATE_GRACE_S):
                _signal_group(self.pid, signal.SIGKILL)
                await _group_ends(self.pid, KILL_GRACE_S)
            await self._wait_for_exit(KILL_GRACE_S)
        self._transport.close()

    async def _wait_for_exit(self, grace_s: float) -> None:
        try:
            async with asyncio.timeout(grace_s):
                await self._exited.wait()
        except TimeoutError:
            pass


async def start(command: tuple[str, ...], environment: Mapping[str, str], child: Child) -> None:
    """Run a program: fixed argv, no shell, exactly this environment, a session of its own.

    Raises:
        OSError: it cannot be run.
    """
    program = shutil.which(command[0], path=environment.get("PATH", os.defpath))
    if program is None:
        raise FileNotFoundError(2, "the program is not on the PATH")
    await asyncio.get_running_loop().subprocess_exec(
        lambda: child,
        program,
        *command[1:],
        env=dict(environment),
        start_new_session=True,
    )


def environment_of(own: Mapping[str, str], extra: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """What a child gets: an allow-list of our own variables, then what its ToolSource says.

    Exported shell functions (values that start with `()`) never pass.
    """
    passed = {
        name: value
        for name, value in own.items()
        if (name in INHERITED or name.startswith("LC_")) and not value.startswith("()")
    }
    return passed | dict(extra)


def _ending(return_code: int | None) -> str:
    if return_code is None:
        return "its program closed its output"
    if return_code < 0:
        return f"its program was ended by signal {-return_code}"
    return f"its program exited with code {return_code}"


def _signal_group(group: int, number: signal.Signals) -> bool:
    """Whether anybody was there to hear it. The group outlives its leader, so never ask for it."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        # macOS says so for zombies as well; somebody may be left, so go on.
        return True
    return True


async def _group_ends(group: int, grace_s: float) -> bool:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + grace_s
    while loop.time() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        await asyncio.sleep(_POLL_S)
    return False
