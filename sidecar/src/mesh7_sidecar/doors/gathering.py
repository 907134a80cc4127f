"""What the aggregate asks of the sources: lists put together, calls sent to the one they name."""

import asyncio
import logging
import re
from typing import Final, Protocol

import orjson

from mesh7_core import errors
from mesh7_core.policy import calls
from mesh7_core.policy.decision import NO_BUNDLE, UNKNOWN_TOOL, Decision, Verdict
from mesh7_core.policy.reasons import Reason
from mesh7_core.telemetry.passage import Passage
from mesh7_core.telemetry.records import Outcome
from mesh7_sidecar.doors import asking, server_messages, traced
from mesh7_sidecar.doors.prepared import Prepared
from mesh7_sidecar.doors.resources import Shelves
from mesh7_sidecar.doors.state import McpState
from mesh7_sidecar.sources.conversation import Answer
from mesh7_sidecar.sources.registry import LIST_S, Served
from mesh7_sidecar.wire import answers, jsonrpc, lists, mcp, meta, names, splice

log = logging.getLogger("mesh7.doors")

DOOR: Final = "aggregate"
SEPARATOR: Final = "_"
RELIST_S: Final = 5.0
_FAMILIES: Final = {
    "prompts/list": calls.Family.PROMPTS, "resources/list": calls.Family.RESOURCES,
    "resources/templates/list": calls.Family.RESOURCES,
}  # fmt: skip
_OTHER = re.compile(r"[^a-z0-9_-]")
Answered = tuple[int, bytes]
"""HTTP status and JSON-RPC message."""


class Watcher(Protocol):
    """Sees what comes before an answer."""

    def notice(self, notice: bytes) -> None:
        """The source says something."""

    def wait(self) -> None:
        """People are asked."""


class _Listed:
    """One entry of a list.

    Attributes:
        key: what two entries must not have in common.
    """

    __slots__ = ("key", "raw")

    def __init__(self, key: str, raw: bytes) -> None:
        self.key = key
        self.raw = raw


class Gathering:
    """Asks the sources on behalf of the aggregate's agents."""

    def __init__(self, state: McpState) -> None:
        self._state = state
        self._shelves = Shelves()
        self._shelved_at_s = float("-inf")

    async def answer(
        self,
        agent: calls.Agent,
        prepared: Prepared,
        asked: mcp.Asked,
        watcher: Watcher,
    ) -> Answered:
        """The answer to a list, a call, a prompt or a read."""
        if asked.kind is mcp.Kind.LIST:
            return await self._list(agent, asked)
        if asked.kind is mcp.Kind.READ:
            return await self._read(agent, prepared, asked, watcher)
        source, separator, name = asked.name.partition(SEPARATOR)
        served = self._state.registry.find(source, calls.SourceKind.MCP)
        if served is None or not separator or not name:
            missing = self._state.gate.not_served(UNKNOWN_TOOL)
            return self._unknown(agent, prepared, asked, missing)
        return await self._ask(agent, prepared, asked, served, name, watcher)

    async def _ask(
        self,
        agent: calls.Agent,
        prepared: Prepared,
        asked: mcp.Asked,
        served: Served,
        name: str,
        watcher: Watcher,
    ) -> Answered:
        call = calls.Call(
            agent, asked.family or calls.Family.TOOLS, served.source.name, name, asked.arguments,
            calls.SourceKind.MCP, served.source.host, None, prepared.counted_session,
            source_digest=served.digest,
        )  # fmt: skip

        passage = self._passage(prepared, asked, served)

        def heard(notice: jsonrpc.Message) -> None:
            if server_messages.may_pass(served, None, notice):
                watcher.notice(meta.without_ours(notice))

        found = await asking.ask(
            self._state.gate, served, served.client, call, asked.message.method,
            _params(asked, name), passage, heard, watcher.wait,
        )  # fmt: skip
        if isinstance(found, asking.Refusal):
            status, _, body = answers.refusal(found.decision, asked, asked.name)
            return status, body
        if isinstance(found, asking.Failure):
            status, _, body = answers.source_failure(asked, found.message)
            return status, body
        if isinstance(found, asking.Replayed):
            status, _, body = answers.replayed(found.result, asked, found.request_id)
            return status, body
        return 200, _translated(asked, found)

    async def _read(
        self,
        agent: calls.Agent,
        prepared: Prepared,
        asked: mcp.Asked,
        watcher: Watcher,
    ) -> Answered:
        candidates = self._shelves.candidates(asked.name)
        now_s = self._state.clock_s()
        # Made-up URIs must not make the gateway list all day.
        if not candidates and now_s - self._shelved_at_s > RELIST_S:
            self._shelved_at_s = now_s
            await self._gather(agent, "resources/list")
            await self._gather(agent, "resources/templates/list")
            candidates = self._shelves.candidates(asked.name)
        served = self._reader(agent, asked.name, candidates)
        if served is None:
            unlisted = Decision(Verdict.DENY, Reason.NOT_LISTED_BY_POLICY)
            missing = self._state.gate.not_served(unlisted)
            return self._unknown(agent, prepared, asked, missing)
        return await self._ask(agent, prepared, asked, served, asked.name, watcher)

    def _reader(self, agent: calls.Agent, uri: str, candidates: list[str]) -> Served | None:
        """Where the agent may read a URI; where nowhere, the first, whose refusal is recorded."""
        find, may_call = self._state.registry.find, self._state.gate.may_call
        found = [served for name in candidates if (served := find(name, calls.SourceKind.MCP))]
        for served in found:
            if may_call(agent, calls.Family.RESOURCES, served.source.name, uri):
                return served
        return found[0] if found else None

    def _unknown(
        self, agent: calls.Agent, prepared: Prepared, asked: mcp.Asked, decision: Decision
    ) -> Answered:
        """Answer, and record, what belongs to no source."""
        call = calls.Call(
            agent, asked.family or calls.Family.TOOLS, "", asked.name, asked.arguments,
            session=prepared.counted_session, body=asked.message.raw,
        )  # fmt: skip
        passage = self._passage(prepared, asked, None)
        self._state.gate.record(call, decision, Outcome.REFUSED, passage)
        status, _, body = answers.refusal(decision, asked, asked.name)
        return status, body

    def _passage(self, prepared: Prepared, asked: mcp.Asked, served: Served | None) -> Passage:
        gate = self._state.gate
        named = asked.message.params.get("_meta")
        passage = gate.traces.begin(DOOR, gate.monotonic_ns(), prepared.caller, named)
        if passage.sampled is not None:
            traced.describe(passage.sampled, asked, served)
        return passage

    async def _list(self, agent: calls.Agent, asked: mcp.Asked) -> Answered:
        """All sources' entries in the order of their names, in one page.

        A source that cannot be reached is left out: the others must not suffer for it. When none
        can be reached the list is an error, for an empty one would be believed.
        """
        if self._state.gate.current.bundle is None:
            status, _, body = answers.refusal(NO_BUNDLE, asked, asked.name)
            return status, body
        listed, failures = await self._gather(agent, asked.message.method)
        if failures and not listed:
            status, _, body = answers.source_failure(asked, failures[0])
            return status, body
        entries = [entry.raw for entry in _distinct(listed)]
        body = lists.build_list(
            asked.message.id, asked.message.method, entries, is_modern=asked.is_modern
        )
        return 200, body

    async def _gather(self, agent: calls.Agent, method: str) -> tuple[list[_Listed], list[str]]:
        sources = self._state.registry.all_of(calls.SourceKind.MCP)
        found = await asyncio.gather(
            *(self._in_time(agent, served, method) for served in sources), return_exceptions=True
        )
        entries: list[_Listed] = []
        failures: list[str] = []
        for each in found:
            if isinstance(each, errors.Mesh7Error):
                failures.append(each.message)
            elif isinstance(each, BaseException):
                raise each
            else:
                entries += each
        return entries, failures

    async def _in_time(self, agent: calls.Agent, served: Served, method: str) -> list[_Listed]:
        """One source's entries that the agent may use, renamed.

        Raises:
            UpstreamError: the source could not be asked, or kept the others waiting.
        """
        if served.problem:
            raise errors.UpstreamError(served.problem)
        try:
            async with asyncio.timeout(LIST_S):
                if method == "tools/list":
                    return await self._tools(agent, served)
                return await self._entries(agent, served, method)
        except TimeoutError:
            message = f"source `{served.source.name}` did not list in time"
            raise errors.UpstreamError(message) from None

    async def _entries(self, agent: calls.Agent, served: Served, method: str) -> list[_Listed]:
        family, source = _FAMILIES[method], served.source.name
        found: list[lists.Entry] = []
        for answer in await served.client.list_pages(method):
            page = lists.read_page(answer.body, method)
            if isinstance(page, jsonrpc.Malformed):
                raise errors.UpstreamError(f"source `{source}` sent a list that cannot be read")
            found += page.entries
        if method == "resources/list":
            self._shelves.put_uris(source, (entry.judged for entry in found))
        elif method == "resources/templates/list":
            self._shelves.put_templates(source, (entry.name for entry in found))
        may_call = self._state.gate.may_call
        kept = [entry for entry in found if may_call(agent, family, source, entry.judged)]
        if family is calls.Family.PROMPTS:
            return [_renamed(source, entry.name, entry.raw) for entry in kept]
        return [_Listed(entry.judged, entry.raw) for entry in kept]

    async def _tools(self, agent: calls.Agent, served: Served) -> list[_Listed]:
        catalog, source = served.catalog, served.source.name
        if catalog.needs_reading("") and not await catalog.read_within(LIST_S):
            raise errors.UpstreamError(f"source `{source}` did not list in time")
        if not catalog.was_read:
            raise errors.UpstreamError(catalog.error)
        may_call = self._state.gate.may_call
        return [
            _renamed(source, tool.name, tool.raw)
            for tool in catalog.definitions.values()
            if may_call(agent, calls.Family.TOOLS, source, tool.name)
        ]


def _distinct(listed: list[_Listed]) -> list[_Listed]:
    """Without entries that a client could take for an earlier one; they are reported (M12)."""
    kept: dict[str, _Listed] = {}
    for entry in listed:
        if entry.key in kept:
            log.warning("`%s` is listed once: another entry looks the same", names.shown(entry.key))
        else:
            kept[entry.key] = entry
    return list(kept.values())


def _renamed(source: str, name: str, raw: bytes) -> _Listed:
    """The entry under its name here; clients fold what is no letter, digit, `_` or `-`."""
    full = f"{source}{SEPARATOR}{name}"
    folded = _OTHER.sub("_", full.lower())
    return _Listed(folded, splice.replace(raw, ("name",), orjson.dumps(full)))


def _params(asked: mcp.Asked, name: str) -> bytes:
    """The request's `params` as they came, with the upstream's own name."""
    raw = asked.message.raw
    place = splice.span(raw, ("params",))
    params = raw[place[0] : place[1]] if place is not None else b"{}"
    params = splice.remove_own_meta(params, ("_meta",))
    if asked.kind is mcp.Kind.READ:
        return params
    return splice.replace(params, ("name",), orjson.dumps(name))


def _translated(asked: mcp.Asked, found: Answer) -> bytes:
    """The source's answer under the agent's id, with what the agent's era asks for."""
    body = splice.replace(found.body, ("id",), jsonrpc.encode_id(asked.message.id))
    body = splice.remove_own_meta(body, ("result", "_meta"))
    result = found.message.result if found.message is not None else None
    if asked.is_modern and result is not None and "resultType" not in result:
        return answers.completed(body, ("result",), asked.kind)
    return body
