"""PyPI's `mcp-server-git` and `mcp-server-time` behind the gateway, asked by every client."""

import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.peers import asking
from tests.sidecar.foreign import parts
from tests.sidecar.foreign.parts import Door

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.promise("M10"),
    pytest.mark.promise("S1"),
]
RULES: list[dict[str, object]] = [
    {"name": "look", "tools": ["git.git_log", "git.git_status"], "action": "Allow"},
    {
        "name": "signed",
        "tools": ["git.git_commit"],
        "when": 'args.message.startsWith("agent: ")',
        "action": "Allow",
    },
    {"name": "stage", "tools": ["git.git_add"], "action": "Allow"},
    {"name": "no-reset", "tools": ["git.git_reset"], "action": "Deny"},
    {
        "name": "clock",
        "tools": ["time.*"],
        "when": '!has(args.timezone) || args.timezone == "UTC"',
        "action": "Allow",
    },
]
NOBODY = ["-c", "user.name=Nobody", "-c", "user.email=nobody@example.invalid"]


def git(repository: Path, *words: str) -> str:
    command = ["git", "-C", str(repository), *NOBODY, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one commit."""
    place = tmp_path_factory.mktemp("git").resolve() / "repository"
    place.mkdir()
    git(place, "init", "-q", ".")
    git(place, "config", "user.name", "Agent")
    git(place, "config", "user.email", "agent@example.invalid")
    git(place, "commit", "-q", "--allow-empty", "-m", "the first")
    return place


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded(repository: Path) -> AsyncIterator[parts.Guarded]:
    """The gateway, with both servers as its children, found beside its own programs."""
    sources = [
        parts.stdio_source("git", "mcp-server-git", "--repository", repository),
        parts.stdio_source("time", "mcp-server-time"),
    ]
    async with parts.guarding(repository.parent, *sources, parts.policy(RULES)) as running:
        yield running


@pytest.mark.parametrize(
    ("client", "door"),
    [
        (asking.NEW_SDK, Door.SOURCE),
        (asking.OLD_SDK, Door.STDIO),
        (asking.FASTMCP, Door.AGGREGATE),
        (asking.NEW_TYPESCRIPT, Door.STDIO_AGGREGATE),
        (asking.OLD_TYPESCRIPT, Door.SOURCE),
    ],
)
async def test_a_client_commits_as_the_policy_wants_it_and_never_resets(
    guarded: parts.Guarded, repository: Path, client: str, door: Door, tmp_path: Path
) -> None:
    """Issue 1, the quickstart's policy; the repository itself says what ran."""
    name = tmp_path.name
    (repository / name).write_text("new\n", encoding="utf-8")
    where: dict[str, object] = {"repo_path": str(repository)}

    answered = await guarded.ask(
        client,
        door,
        "git",
        ("git_add", {**where, "files": [name]}),
        ("git_commit", {**where, "message": f"wip {name}"}),
        ("git_reset", where),
        ("git_commit", {**where, "message": f"agent: add {name}"}),
        ("git_log", {**where, "max_count": 1}),
    )
    staged, unsigned, reset, signed, log = answered.calls

    found = {tool.removeprefix("git_git_").removeprefix("git_") for tool in answered.tools}
    assert {"log", "status", "add", "commit"} <= found
    assert not {"reset", "checkout"} & found
    assert [each.is_error for each in (staged, signed, log)] == [False] * 3
    denied = ("Deny", "denied-by-default", "default/agents/default")
    assert parts.decision(unsigned) == denied
    assert parts.decision(reset) == ("Deny", "unknown-tool", None)
    assert f"agent: add {name}" in log.text
    subjects = git(repository, "log", "--format=%s", "--", name).splitlines()
    assert subjects == [f"agent: add {name}"]


@pytest.mark.parametrize("client", [asking.NEW_SDK, asking.OLD_SDK])
@pytest.mark.parametrize("door", [Door.SOURCE, Door.AGGREGATE])
async def test_a_client_asks_for_the_time_where_the_policy_lets_it(
    guarded: parts.Guarded, client: str, door: Door
) -> None:
    """Issue 1, "Tests with real parts"."""
    answered = await guarded.ask(
        client,
        door,
        "time",
        ("get_current_time", {"timezone": "UTC"}),
        ("get_current_time", {"timezone": "Asia/Tokyo"}),
        ("get_current_time", {"timezone": ["UTC"]}),
    )
    utc, *refused = answered.calls

    assert not utc.is_error
    assert parts.META_DECISION not in utc.meta
    assert '"timezone": "UTC"' in utc.text
    assert [parts.decision(each)[:2] for each in refused] == [("Deny", "denied-by-default")] * 2
