"""Servers on `fastmcp` 4.x and on the old SDK behind the gateway, as children and over HTTP."""

import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.peers import asking, processes
from tests.sidecar.foreign import parts
from tests.sidecar.foreign.parts import Door

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.promise("S1"),
]
FASTMCP = "tests.peers.fastmcp_server"
OLD_SDK = "tests.peers.old_sdk_server"
RULES: list[dict[str, object]] = [
    {"name": "small-sums", "tools": ["*.add"], "when": "args.a < 10", "action": "Allow"},
    {"name": "failures", "tools": ["*.fail"], "action": "Allow"},
]


def child(name: str, module: str, python: str | Path) -> str:
    """The manifest of a server module as a child, which runs in the folder of the manifests."""
    root = {"PYTHONPATH": str(processes.ROOT)}
    return parts.stdio_source(name, python, "-m", module, "stdio", env=root)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[parts.Guarded]:
    """The gateway, with each server once as its child and once over HTTP."""
    async with contextlib.AsyncExitStack() as stack:
        fast = await stack.enter_async_context(processes.serving(FASTMCP))
        old = await stack.enter_async_context(
            processes.serving(OLD_SDK, python=processes.OLD_SDK_PYTHON)
        )
        manifests = [
            parts.http_source("fastmcp-http", f"{fast}/mcp"),
            parts.http_source("old-http", f"{old}/mcp"),
            child("fastmcp-stdio", FASTMCP, sys.executable),
            child("old-stdio", OLD_SDK, processes.OLD_SDK_PYTHON),
            parts.policy(RULES),
        ]
        place = tmp_path_factory.mktemp("python-servers")
        yield await stack.enter_async_context(parts.guarding(place, *manifests))


@pytest.mark.parametrize("source", ["fastmcp-http", "fastmcp-stdio", "old-http", "old-stdio"])
@pytest.mark.parametrize(
    ("client", "door"),
    [
        (asking.FASTMCP, Door.SOURCE),
        (asking.OLD_SDK, Door.AGGREGATE),
        (asking.NEW_TYPESCRIPT, Door.SOURCE),
    ],
)
@pytest.mark.promise("M10")
async def test_a_server_answers_what_the_policy_allows(
    guarded: parts.Guarded, source: str, client: str, door: Door
) -> None:
    """Issue 1, "Tests with real parts": servers of both eras, over both transports."""
    answered = await guarded.ask(
        client, door, source, ("add", {"a": 2, "b": 3}), ("add", {"a": 10, "b": 3}), ("fail", {})
    )
    small, large, failed = answered.calls

    assert (small.is_error, small.text) == (False, "5")
    assert parts.decision(large)[:2] == ("Deny", "denied-by-default")
    assert (failed.is_error, failed.raised) == (True, "")
    assert "this tool always fails" in failed.text
    assert parts.META_DECISION not in failed.meta
