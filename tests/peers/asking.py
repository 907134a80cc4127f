"""What every client peer is asked and answers, so that one test can ask them all.

    python -m tests.peers.CLIENT TARGET [TOOL ARGUMENTS]...
    node tests/peers/CLIENT.mjs TARGET [TOOL ARGUMENTS]...

TARGET is a URL, or a JSON array: the argv of a stdio server. The answer is one JSON object on
stdout. Runs in both venvs: the standard library only, no SDK.
"""

import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.peers import npm, processes

_TIMEOUT_S = 60.0
NEW_SDK = "tests.peers.new_sdk_client"
OLD_SDK = "tests.peers.old_sdk_client"
FASTMCP = "tests.peers.fastmcp_client"
NEW_TYPESCRIPT = "new_typescript_client.mjs"
OLD_TYPESCRIPT = "old_typescript_client.mjs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A client's command line.

    Attributes:
        argv: of the stdio server; empty when `url` says where.
        calls: (tool, arguments) in order.
    """

    url: str
    argv: tuple[str, ...]
    calls: tuple[tuple[str, dict[str, object]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """How one call went.

    Attributes:
        is_error: the result said so, or an exception came instead of a result.
        text: all text blocks, or the exception's message.
        meta: the result's `_meta`.
        raised: the exception's name; empty when there was a result.
    """

    is_error: bool
    text: str
    meta: dict[str, object]
    raised: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What a client found.

    Attributes:
        revision: the protocol revision it settled on.
        tools: names in the order in which they were listed.
    """

    revision: str
    tools: tuple[str, ...]
    calls: tuple[Called, ...]


async def ask(
    client: str, target: str | Sequence[str], *calls: tuple[str, dict[str, object]]
) -> Answered:
    """Run a client peer in its own venv to its end.

    Args:
        client: one of the constants above.
        target: a URL or the argv of a stdio server.
        calls: (tool, arguments) to make after listing, in order.
    """
    where = target if isinstance(target, str) else json.dumps(list(target))
    words = [word for tool, arguments in calls for word in (tool, json.dumps(arguments))]
    argv = [*_program(client), where, *words]
    finished = await processes.run(argv, timeout_s=_TIMEOUT_S)
    assert finished.code == 0, f"{client} failed with {finished.code}:\n{finished.err}"
    found = json.loads(finished.out)
    return Answered(
        revision=found["revision"],
        tools=tuple(found["tools"]),
        calls=tuple(Called(**each) for each in found["calls"]),
    )


def _program(client: str) -> list[str | Path]:
    if client.endswith(".mjs"):
        return [npm.node(), Path(__file__).with_name(client)]
    python = processes.OLD_SDK_PYTHON if client == OLD_SDK else sys.executable
    assert Path(python).exists(), f"{python} is missing; run `make test`"
    return [python, "-m", client]


def read() -> Asked:
    """The command line of the client peer that runs."""
    target, *words = sys.argv[1:]
    is_stdio = target.startswith("[")
    pairs = zip(words[::2], words[1::2], strict=True)
    return Asked(
        url="" if is_stdio else target,
        argv=tuple(json.loads(target)) if is_stdio else (),
        calls=tuple((tool, json.loads(arguments)) for tool, arguments in pairs),
    )


def answer(revision: str, tools: Sequence[str], calls: Sequence[dict[str, object]]) -> None:
    """Print what was found."""
    print(json.dumps({"revision": revision, "tools": list(tools), "calls": list(calls)}))  # noqa: T201


async def outcomes(
    asked: Asked, call: Callable[[str, dict[str, object]], Awaitable[object]]
) -> list[dict[str, object]]:
    """Make the calls one after the other; an exception is an outcome too."""
    found: list[dict[str, object]] = []
    for tool, arguments in asked.calls:
        try:
            result = await call(tool, arguments)
        except Exception as error:  # noqa: BLE001 - each SDK has its own; the test says which it wants
            raised = type(error).__name__
            found.append({"is_error": True, "text": str(error), "meta": {}, "raised": raised})
            continue
        blocks = getattr(result, "content", [])
        text = "\n".join(block.text for block in blocks if getattr(block, "text", None))
        is_error = getattr(result, "is_error", None) or getattr(result, "isError", None)
        meta = getattr(result, "meta", None) or {}
        found.append({"is_error": bool(is_error), "text": text, "meta": dict(meta)})
    return found
