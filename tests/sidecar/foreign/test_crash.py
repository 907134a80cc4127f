"""A server is killed in the middle of a call, behind the real gateway."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Literal

import pytest
from mcp import Client
from mcp_types import CallToolResult, TextContent

from tests.conftest import Eventually
from tests.peers import npm
from tests.sidecar.foreign import parts

SERVER = "@modelcontextprotocol/server-filesystem"
ALL: list[dict[str, object]] = [{"name": "all", "tools": ["*"], "action": "Allow"}]
# Each child writes down its own number before it becomes the server.
NUMBERED = ("sh", "-c", 'echo $$ >> "$0"; exec "$@"')


class Served:
    """A folder that the server serves, with a file and a pipe that nobody writes to.

    Args:
        place: an empty folder, resolved, as the server does not follow links out of its own.
    """

    def __init__(self, place: Path) -> None:
        self.folder = place / "shared"
        self.file = self.folder / "notes.txt"
        self.pipe = self.folder / "pipe"
        self.folder.mkdir()
        self.file.write_text("buy milk\n", encoding="utf-8")
        os.mkfifo(self.pipe)
        self._numbers = place / "pids"

    def source(self) -> str:
        program = npm.package(SERVER) / "dist" / "index.js"
        return parts.stdio_source(
            "files", *NUMBERED, self._numbers, npm.node(), program, self.folder
        )

    def is_pipe_read(self) -> bool:
        """Whether the server is in the middle of reading the pipe; it goes on reading."""
        try:
            self._writer = os.open(self.pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return False
        return True

    def kill_children(self) -> None:
        for number in self._numbers.read_text(encoding="utf-8").split():
            os.kill(int(number), signal.SIGKILL)
        os.close(self._writer)


def text(result: object) -> str:
    assert isinstance(result, CallToolResult)
    assert isinstance(result.content[0], TextContent)
    return result.content[0].text


@pytest.fixture
def served(tmp_path: Path) -> Served:
    return Served(tmp_path.resolve())


@pytest.mark.promise("M8")
@pytest.mark.promise("D14")
@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize(("path", "prefix"), [("/mcp/files", ""), ("/mcp", "files_")])
async def test_a_call_whose_server_is_killed_fails_and_the_next_one_works(
    served: Served,
    eventually: Eventually,
    mode: Literal["auto", "legacy"],
    path: str,
    prefix: str,
) -> None:
    """Promised by M8: a server may crash; the client stays connected and sees one failed call."""
    read = f"{prefix}read_text_file"
    async with (
        parts.guarding(served.folder.parent, served.source(), parts.policy(ALL)) as guarded,
        Client(guarded.running.url + path, mode=mode) as client,
    ):
        before = await client.call_tool(read, {"path": str(served.file)})
        call = asyncio.create_task(client.call_tool(read, {"path": str(served.pipe)}))
        await eventually(served.is_pipe_read)
        served.kill_children()
        during = await call
        after = await client.call_tool(read, {"path": str(served.file)})

    assert isinstance(during, CallToolResult)
    assert during.is_error
    assert text(during) == "source `files` gave no answer: its program was ended by signal 9"
    assert (text(before), text(after)) == ("buy milk\n", "buy milk\n")
