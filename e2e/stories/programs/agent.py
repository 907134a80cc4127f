"""An agent that knows nothing of mesh7: it calls its tools in a loop, and prints what came back.

    CALLS    JSON: [{"source": "files", "tool": "read", "arguments": {…}}, {"http": "shop/items"}]
    PERIOD   seconds between rounds; 0 = one round, then it is done
    ROUNDS   how many at most; without it for ever

Told to end, it finishes the call that it is in.
Its tools are where MESH7_MCP_<SOURCE>_URL and MESH7_HTTP_<SOURCE>_URL say when they are there, else
where FALLBACK_MCP and FALLBACK_HTTP say.
"""

import asyncio
import contextlib
import itertools
import json
import os
import signal
import sys
import time
from typing import Any

import aiohttp
from mcp import Client

Call = dict[str, Any]


def tell(**what: object) -> None:
    """One line of JSON; its moment comes with it."""
    print(json.dumps({"at": time.time(), **what}), flush=True)


def url_of(door: str, source: str) -> str:
    """Where a source is reached: through the sidecar if there is one."""
    name = f"MESH7_{door}_{source.upper().replace('-', '_')}_URL"
    return os.environ.get(name) or os.environ[f"FALLBACK_{door}"]


async def call(wanted: Call) -> None:
    """Make one call, and tell."""
    begun = time.monotonic()
    try:
        found = await (ask_http(wanted) if "http" in wanted else ask_tool(wanted))
    except Exception as error:
        found = {"failed": f"{type(error).__name__}: {innermost(error)}"[:400]}
    tell(call=wanted.get("http") or f"{wanted['source']}.{wanted['tool']}",
         took=round(time.monotonic() - begun, 4), **found)  # fmt: skip


def innermost(error: BaseException) -> BaseException:
    """The first of what a group of errors holds."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def ask_tool(wanted: Call) -> dict[str, object]:
    """Over MCP, with a client of its own, as a freshly started agent would."""
    async with Client(url_of("MCP", str(wanted["source"]))) as client:
        answer = await client.call_tool(str(wanted["tool"]), dict(wanted.get("arguments") or {}))
    text = next((part.text for part in answer.content if part.type == "text"), "")
    if not answer.is_error:
        return {"text": text}
    meta = answer.meta or {}
    return {
        "refused": text,
        "reason": meta.get("mesh7.dev/reason"),
        "rule": meta.get("mesh7.dev/rule"),
    }


async def ask_http(wanted: Call) -> dict[str, object]:
    """Over HTTP: `source/path`."""
    source, _, path = str(wanted["http"]).partition("/")
    url = f"{url_of('HTTP', source)}/{path}"
    method = str(wanted.get("method", "GET"))
    patience = aiohttp.ClientTimeout(total=10)
    async with (
        aiohttp.ClientSession(timeout=patience) as session,
        session.request(method, url, json=wanted.get("arguments")) as answer,
    ):
        return {"status": answer.status, "text": (await answer.text())[:400]}


async def main() -> None:
    """Loop."""
    calls: list[Call] = json.loads(os.environ["CALLS"])
    period, rounds = float(os.environ.get("PERIOD", "0")), os.environ.get("ROUNDS")
    if not period:
        rounds = "1"
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    tell(started=sys.argv[0])
    for _ in range(int(rounds)) if rounds else itertools.count():
        begun = time.monotonic()
        for wanted in calls:
            await call(wanted)
            if ended.is_set():
                return tell(done=True)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), max(0.0, period - (time.monotonic() - begun)))
    return tell(done=True)


asyncio.run(main())
