"""npm's `server-filesystem` behind the gateway, asked by every client through every door."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from mcp import Client
from mcp.client import ClientRequestContext
from mcp_types import CallToolResult, ListRootsResult, Root, TextContent
from pydantic import FileUrl

from tests.peers import asking, npm
from tests.sidecar.foreign import parts
from tests.sidecar.foreign.parts import Door

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.promise("M10"),
    pytest.mark.promise("S1"),
]
CLIENTS = [
    asking.NEW_SDK, asking.OLD_SDK, asking.FASTMCP, asking.NEW_TYPESCRIPT, asking.OLD_TYPESCRIPT,
]  # fmt: skip
SERVER = "@modelcontextprotocol/server-filesystem"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the server serves; agents may write to its inbox alone."""
    place = tmp_path_factory.mktemp("filesystem").resolve()
    (place / "shared" / "inbox").mkdir(parents=True)
    (place / "shared" / "notes.txt").write_text("buy milk\n", encoding="utf-8")
    return place / "shared"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded(shared: Path) -> AsyncIterator[parts.Guarded]:
    """The gateway, with the server as its child."""
    program = npm.package(SERVER) / "dist" / "index.js"
    inbox = f'args.path.startsWith("{shared}/inbox/") && !args.path.contains("..")'
    rules: list[dict[str, object]] = [
        {"name": "look", "tools": ["files.read_text_file", "files.list_*"], "action": "Allow"},
        {"name": "inbox", "tools": ["files.write_file"], "when": inbox, "action": "Allow"},
    ]
    source = parts.stdio_source("files", npm.node(), program, shared)
    async with parts.guarding(shared.parent, source, parts.policy(rules)) as running:
        yield running


@pytest.mark.parametrize("door", Door)
@pytest.mark.parametrize("client", CLIENTS)
async def test_a_client_reads_everywhere_and_writes_where_the_policy_lets_it(
    guarded: parts.Guarded, shared: Path, client: str, door: Door, tmp_path: Path
) -> None:
    """Issue 1, "Tests with real parts": real clients, the real server, a `when` on `args.path`."""
    mine = f"{tmp_path.name}.txt"
    wanted = {"path": f"{shared}/inbox/{mine}", "content": "hello"}
    outside = {"path": f"{shared}/{mine}", "content": "hello"}
    around = {"path": f"{shared}/inbox/../{mine}", "content": "hello"}

    answered = await guarded.ask(
        client,
        door,
        "files",
        ("read_text_file", {"path": f"{shared}/notes.txt"}),
        ("write_file", wanted),
        ("write_file", outside),
        ("write_file", around),
        ("move_file", {"source": f"{shared}/notes.txt", "destination": f"{shared}/{mine}"}),
    )
    read, written, *refused = answered.calls

    prefix = "files_" if door in (Door.AGGREGATE, Door.STDIO_AGGREGATE) else ""
    assert set(answered.tools) == {
        prefix + "read_text_file",
        prefix + "write_file",
        prefix + "list_directory",
        prefix + "list_directory_with_sizes",
        prefix + "list_allowed_directories",
    }
    assert read == asking.Called(is_error=False, text="buy milk\n", meta={})
    assert written == asking.Called(
        is_error=False, text=f"Successfully wrote to {shared}/inbox/{mine}", meta={}
    )
    denied = ("Deny", "denied-by-default", "default/agents/default")
    assert [parts.decision(each) for each in refused] == [
        denied, denied, ("Deny", "unknown-tool", None),
    ]  # fmt: skip
    assert "ask the person you work for to change the policy" in refused[0].text
    assert (shared / "inbox" / mine).read_text(encoding="utf-8") == "hello"
    assert not (shared / mine).exists()
    assert (shared / "notes.txt").exists()


async def test_what_the_server_refuses_reaches_the_client_as_the_server_said_it(
    guarded: parts.Guarded,
) -> None:
    """Promise S5: the policy allows the read, the server does not, and it is the server's word."""
    answered = await guarded.ask(
        asking.NEW_TYPESCRIPT, Door.SOURCE, "files", ("read_text_file", {"path": "/etc/hostname"})
    )

    assert [(each.is_error, each.meta) for each in answered.calls] == [(True, {})]
    assert "Access denied - path outside allowed directories" in answered.calls[0].text


async def offer_everything(context: ClientRequestContext) -> ListRootsResult:
    del context
    return ListRootsResult(roots=[Root(uri=FileUrl("file:///"))])


@pytest.mark.promise("M5")
async def test_a_client_cannot_widen_what_the_server_serves_by_offering_roots(
    guarded: parts.Guarded, shared: Path
) -> None:
    """`serverRequests.roots` is Deny by default: this server would serve what a client offers."""
    url = f"{guarded.running.url}/mcp/files"
    async with Client(url, mode="legacy", list_roots_callback=offer_everything) as client:
        listed = await client.call_tool("list_allowed_directories", {})
        outside = await client.call_tool("read_text_file", {"path": "/etc/hostname"})

    assert isinstance(listed, CallToolResult)
    assert isinstance(outside, CallToolResult)
    assert listed.content == [TextContent(type="text", text=f"Allowed directories:\n{shared}")]
    assert outside.is_error
