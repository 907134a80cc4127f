"""`GET /control/tools`: every tool that sources define, those that are hidden from agents too.

For people, who accept definitions by what they see here; on the unix socket alone.
"""

import asyncio
from collections.abc import Iterator

import orjson

from mesh7_core.policy import calls
from mesh7_sidecar.doors.state import McpState
from mesh7_sidecar.doors.work import Work
from mesh7_sidecar.net.exchange import Exchange
from mesh7_sidecar.sources.registry import LIST_S, Served
from mesh7_sidecar.wire import headers, lists


class DefinitionsDoor:
    """Answers with tools and how each stands to what was accepted."""

    def __init__(self, state: McpState, work: Work) -> None:
        self._state = state
        self._work = work

    def open(self, exchange: Exchange) -> None:
        """Answer, once the sources were asked again."""
        self._work.run(exchange, self._answer(exchange))

    async def _answer(self, exchange: Exchange) -> None:
        sources = self._state.registry.all_of(calls.SourceKind.MCP)
        await asyncio.gather(
            *(
                served.catalog.read_within(LIST_S)
                for served in sources
                if not served.problem and served.catalog.needs_reading("")
            )
        )
        body = {
            "sources": [_source(served) for served in sources],
            "tools": [
                tool for served in sources for tool in self._tools(exchange.identity, served)
            ],
        }
        exchange.respond(200, [headers.JSON], orjson.dumps(body))

    def _tools(self, agent: calls.Agent, served: Served) -> Iterator[dict[str, object]]:
        catalog, source = served.catalog, served.source.name
        for tool in sorted(_listed(served), key=lambda tool: tool.name):
            before = catalog.pins.before(tool)
            yield {
                "source": source,
                "name": tool.name,
                "state": catalog.pins.state(tool),
                "isServed": catalog.knows(tool.name),
                "mayCall": self._state.gate.may_call(agent, calls.Family.TOOLS, source, tool.name),
                "digest": tool.digest,
                "expected": catalog.pins.expected(tool.name),
                "definition": orjson.Fragment(tool.text),
                "before": orjson.Fragment(before) if before else None,
            }


def _source(served: Served) -> dict[str, object]:
    return {
        "name": served.source.name,
        "pinning": served.source.pinning.value,
        "error": served.problem or served.catalog.error,
    }


def _listed(served: Served) -> list[lists.ToolDefinition]:
    catalog = served.catalog
    return [*catalog.definitions.values(), *catalog.hidden.values()]
