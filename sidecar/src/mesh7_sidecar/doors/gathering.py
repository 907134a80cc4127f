"""What the aggregate asks of the sources: lists put together, calls sent to the one they name."""

import asyncio
from collections.abc import Callable
from typing import Final

import orjson

from mesh7_core import errors
from mesh7_core.policy import calls
from mesh7_core.policy.decision import Decision, Verdict
from mesh7_core.policy.reasons import Reason
from mesh7_sidecar.doors import asking
from mesh7_sidecar.doors.prepared import Prepared
from mesh7_sidecar.doors.state import McpState
from mesh7_sidecar.sources.conversation import Answer
from mesh7_sidecar.sources.registry import Served
from mesh7_sidecar.wire import answers, jsonrpc, lists, mcp, splice, trace

DOOR: Final = "aggregate"
SEPARATOR: Final = "_"
MAXIMUM_URIS: Final = 10_000
NO_BUNDLE: Final = Decision(Verdict.DENY, Reason.NO_BUNDLE)
UNKNOWN_TOOL: Final = asking.UNKNOWN_TOOL
_FAMILIES: Final = {
    "prompts/list": calls.Family.PROMPTS, "resources/list": calls.Family.RESOURCES,
    "resources/templates/list": calls.Family.RESOURCES,
}  # fmt: skip
Answered = tuple[int, bytes]
"""HTTP status and JSON-RPC message."""


class Gathering:
    """Asks the sources on behalf of the aggregate's agents."""

    def __init__(self, state: McpState) -> None:
        self._state = state
        self._owners: dict[str, str] = {}

    async def answer(
        self,
        agent: calls.Agent,
        prepared: Prepared,
        asked: mcp.Asked,
        on_notice: Callable[[bytes], None],
    ) -> Answered:
        """The answer to a list, a call, a prompt or a read."""
        if asked.kind is mcp.Kind.LIST:
            return await self._list(agent, asked)
        if asked.kind is mcp.Kind.READ:
            return await self._read(agent, prepared, asked, on_notice)
        source, separator, name = asked.name.partition(SEPARATOR)
        served = self._state.registry.find(source, calls.SourceKind.MCP)
        if served is None or not separator or not name:
            status, _, body = answers.refusal(UNKNOWN_TOOL, asked, asked.name)
            return status, body
        return await self._ask(agent, prepared, asked, served, name, on_notice)

    async def _ask(
        self,
        agent: calls.Agent,
        prepared: Prepared,
        asked: mcp.Asked,
        served: Served,
        name: str,
        on_notice: Callable[[bytes], None],
    ) -> Answered:
        call = calls.Call(
            agent, asked.family or calls.Family.TOOLS, served.source.name, name, asked.arguments,
            calls.SourceKind.MCP, served.source.host, None, prepared.counted_session,
        )  # fmt: skip
        found = await asking.ask(
            self._state.gate, served, served.client, call, asked.message.method,
            _params(asked, name), DOOR, _trace(prepared, asked), on_notice,
        )  # fmt: skip
        if isinstance(found, asking.Refusal):
            status, _, body = answers.refusal(found.decision, asked, asked.name)
            return status, body
        if isinstance(found, asking.Failure):
            status, _, body = answers.source_failure(asked, found.message)
            return status, body
        return 200, _translated(asked, found)

    async def _read(
        self,
        agent: calls.Agent,
        prepared: Prepared,
        asked: mcp.Asked,
        on_notice: Callable[[bytes], None],
    ) -> Answered:
        if asked.name not in self._owners:
            await self._gather(agent, "resources/list")
        served = self._state.registry.find(self._owners.get(asked.name, ""), calls.SourceKind.MCP)
        if served is None:
            decision = Decision(Verdict.DENY, Reason.NOT_LISTED_BY_POLICY)
            status, _, body = answers.refusal(decision, asked, asked.name)
            return status, body
        return await self._ask(agent, prepared, asked, served, asked.name, on_notice)

    async def _list(self, agent: calls.Agent, asked: mcp.Asked) -> Answered:
        """All sources' entries in the order of their names, in one page.

        A source that cannot be reached is left out: the others must not suffer for it. When none
        can be reached the list is an error, for an empty one would be believed.
        """
        if self._state.gate.current.bundle is None:
            status, _, body = answers.refusal(NO_BUNDLE, asked, asked.name)
            return status, body
        entries, failures = await self._gather(agent, asked.message.method)
        if failures and not entries:
            status, _, body = answers.source_failure(asked, failures[0])
            return status, body
        body = lists.build_list(
            asked.message.id, asked.message.method, entries, is_modern=asked.is_modern
        )
        return 200, body

    async def _gather(self, agent: calls.Agent, method: str) -> tuple[list[bytes], list[str]]:
        sources = self._state.registry.all_of(calls.SourceKind.MCP)
        found = await asyncio.gather(
            *(self._entries(agent, served, method) for served in sources), return_exceptions=True
        )
        entries: list[bytes] = []
        failures: list[str] = []
        for each in found:
            if isinstance(each, errors.Mesh7Error):
                failures.append(each.message)
            elif isinstance(each, BaseException):
                raise each
            else:
                entries += each
        return entries, failures

    async def _entries(self, agent: calls.Agent, served: Served, method: str) -> list[bytes]:
        """One source's entries that the agent may use, renamed.

        Raises:
            UpstreamError: the source could not be asked.
        """
        if served.problem:
            raise errors.UpstreamError(served.problem)
        if method == "tools/list":
            return await self._tools(agent, served)
        family, source = _FAMILIES[method], served.source.name
        entries: list[bytes] = []
        for answer in await served.client.list_pages(method):
            page = lists.read_page(answer.body, method)
            if isinstance(page, jsonrpc.Malformed):
                raise errors.UpstreamError(f"source `{source}` sent a list that cannot be read")
            for entry in page.entries:
                if not self._state.gate.may_call(agent, family, source, entry.judged):
                    continue
                if family is calls.Family.PROMPTS:
                    entries.append(_renamed(source, entry.name, entry.raw))
                else:
                    entries.append(entry.raw)
                    self._own(entry.judged, source)
        return entries

    async def _tools(self, agent: calls.Agent, served: Served) -> list[bytes]:
        catalog, source = served.catalog, served.source.name
        if catalog.needs_reading(""):
            await catalog.read()
        if not catalog.was_read:
            raise errors.UpstreamError(catalog.error)
        may_call = self._state.gate.may_call
        return [
            _renamed(source, tool.name, tool.raw)
            for tool in catalog.definitions.values()
            if may_call(agent, calls.Family.TOOLS, source, tool.name)
        ]

    def _own(self, uri: str, source: str) -> None:
        """Remember who listed a URI first; a second source cannot take it over (M12)."""
        if len(self._owners) < MAXIMUM_URIS:
            self._owners.setdefault(uri, source)


def _renamed(source: str, name: str, raw: bytes) -> bytes:
    return splice.replace(raw, ("name",), orjson.dumps(f"{source}{SEPARATOR}{name}"))


def _params(asked: mcp.Asked, name: str) -> bytes:
    """The request's `params` as they came, with the upstream's own name."""
    raw = asked.message.raw
    place = splice.span(raw, ("params",))
    params = raw[place[0] : place[1]] if place is not None else b"{}"
    params = splice.remove_own_meta(params, ("_meta",))
    if asked.kind is mcp.Kind.READ:
        return params
    return splice.replace(params, ("name",), orjson.dumps(name))


def _trace(prepared: Prepared, asked: mcp.Asked) -> str:
    meta = asked.message.params.get("_meta")
    written = meta.get("traceparent") if isinstance(meta, dict) else None
    return trace.trace_id(written) if isinstance(written, str) else prepared.trace_id


def _translated(asked: mcp.Asked, found: Answer) -> bytes:
    """The source's answer under the agent's id, with what the agent's era asks for."""
    body = splice.replace(found.body, ("id",), jsonrpc.encode_id(asked.message.id))
    body = splice.remove_own_meta(body, ("result", "_meta"))
    result = found.message.result if found.message is not None else None
    if asked.is_modern and result is not None and "resultType" not in result:
        # A legacy source does not know the key that modern clients require.
        body = splice.insert_key(body, ("result",), "resultType", b'"complete"')
    return body
