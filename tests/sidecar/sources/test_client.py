"""The gateway's own client, its catalog and the registry, against scripted sources."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from types import MappingProxyType

import pytest
from aiohttp import web

from mesh7_core import errors
from mesh7_core.compiling import compiler
from mesh7_core.policy import bundle, calls
from mesh7_sidecar.net import origin, pool
from mesh7_sidecar.net.sweep import Sweep
from mesh7_sidecar.sources.baselines import Baselines
from mesh7_sidecar.sources.catalog import RETRY_S, STALE_S
from mesh7_sidecar.sources.credentials import Credentials
from mesh7_sidecar.sources.registry import Registry, Served, Ways
from mesh7_sidecar.wire import jsonrpc
from tests.sidecar.doors import parts
from tests.sidecar.doors.scripted_source import (
    LEGACY,
    MODERN,
    Script,
    Talk,
    event,
    json_response,
    serving,
    text_result,
    tool,
)

ERAS = pytest.mark.parametrize("era", [MODERN, LEGACY])
CALL = b'{"name":"t","arguments":{}}'


class Time:
    """Monotonic seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def source_of(url: str, more: str = "", name: str = "s") -> bundle.Source:
    """A compiled ToolSource."""
    text = parts.source(name, url, more)
    compiled = compiler.compile_files({"s.yaml": text.encode()}, environment={})
    assert compiled.bundle is not None, compiled.diagnostics
    return compiled.bundle.sources[name]


@contextlib.asynccontextmanager
async def registered(
    *sources: bundle.Source, clock: Callable[[], float] | None = None
) -> AsyncIterator[Registry]:
    """A registry that serves these."""
    sweep = Sweep(0.02)

    def connect(source: bundle.Source) -> Ways:
        way = pool.Pool(origin.origin_of(source.url), sweep)
        return Ways(calls=way, streams=way)

    registry = Registry(connect, clock or Time(), Baselines(None))
    apply(registry, *sources)
    try:
        yield registry
    finally:
        registry.close()


def apply(registry: Registry, *sources: bundle.Source) -> None:
    """Serve these and no others."""
    named = MappingProxyType({source.name: source for source in sources})
    registry.apply(named, Credentials(None, {}, {}))
    registry.tell_change()


def served(registry: Registry, name: str = "s") -> Served:
    """The source of that name."""
    found = registry.find(name, calls.SourceKind.MCP)
    assert found is not None
    return found


async def call(one: Served) -> jsonrpc.Message:
    """Call the tool `t`."""
    async with asyncio.timeout(parts.PATIENCE_S):
        answer = await one.client.request("tools/call", CALL)
    assert answer.message is not None
    return answer.message


@pytest.mark.promise("D33")
@ERAS
async def test_the_era_is_found_out_once_whoever_asks_at_the_same_time(era: str) -> None:
    script = Script(eras=(era,))
    async with serving(script) as source, registered(source_of(source.url)) as registry:
        answers = await asyncio.gather(*(call(served(registry)) for _ in range(8)))
        protocol = served(registry).client.protocol

    assert [answer.result for answer in answers] == [text_result("t")] * 8
    assert protocol == era
    assert len(script.asked("initialize")) == (0 if era == MODERN else 1)
    assert len(script.asked("server/discover")) == 1


@pytest.mark.promise("M7")
async def test_a_forgotten_session_is_opened_once_more_and_nothing_runs_twice() -> None:
    script = Script(eras=(LEGACY,))
    async with serving(script) as source, registered(source_of(source.url)) as registry:
        await call(served(registry))
        script.sessions.clear()
        await asyncio.gather(*(call(served(registry)) for _ in range(4)))

    assert script.minted == 2
    used = [talk.headers["mcp-session-id"] for talk in script.asked("tools/call")]
    assert used.count("session-2") == 4


@pytest.mark.promise("AG17")
async def test_a_question_with_an_endless_number_as_id_is_refused_with_that_very_id() -> None:
    async def asking(talk: Talk) -> web.StreamResponse:
        response = await talk.stream()
        question = b'{"jsonrpc":"2.0","id":123456789012345678901234567890,"method":"ping"}'
        await response.write(event(question))
        await response.write(event(talk.envelope(text_result("done"))))
        return response

    script = Script(eras=(LEGACY,), calls={"t": asking})
    async with serving(script) as source, registered(source_of(source.url)) as registry:
        assert (await call(served(registry))).result == text_result("done")
        async with asyncio.timeout(parts.PATIENCE_S), script.news:
            await script.news.wait_for(lambda: any("error" in each.message for each in script.seen))

    refusal = next(talk for talk in script.seen if "error" in talk.message)
    assert refusal.message["id"] == 123456789012345678901234567890


@pytest.mark.promise("S9")
@pytest.mark.parametrize(
    ("page", "says"),
    [
        (b'{"tools":[],"nextCursor":1e3}', "cursor of `tools/list` that is no string"),
        (b'{"tools":[],"nextCursor":99999999999999999999999}', "cursor"),
        (b'{"tools":[],"nextCursor":"again"}', "has more than 100 pages"),
        (b'{"tools":[7]}', "cannot be read"),
        (b'{"tools":{}}', "cannot be read"),
    ],
)
async def test_a_list_that_makes_no_sense_is_an_error_of_its_source(page: bytes, says: str) -> None:
    async def listing(talk: Talk) -> web.StreamResponse:
        return talk.answer(page)

    script = Script(methods={"tools/list": listing})
    async with serving(script) as source, registered(source_of(source.url)) as registry:
        catalog = served(registry).catalog
        await catalog.read()

    assert not catalog.was_read
    assert says in catalog.error


@pytest.mark.promise("S9")
async def test_a_stream_whose_event_never_ends_is_given_up() -> None:
    async def flood(talk: Talk) -> web.StreamResponse:
        response = await talk.stream()
        while True:
            await response.write(b"data: " + b"x" * 65_536)

    script = Script(calls={"t": flood})
    bounded = "bounds: {maxResponseSize: 256Ki}"
    async with serving(script) as source, registered(source_of(source.url, bounded)) as registry:
        with pytest.raises(errors.UpstreamError, match="an event that is too large"):
            await call(served(registry))
        async with asyncio.timeout(parts.PATIENCE_S):
            await script.asked("tools/call")[0].gone.wait()


@pytest.mark.promise("D14")
async def test_a_source_that_is_not_there_yet_is_found_when_it_comes() -> None:
    async with serving(Script(tools=[tool("t")])) as source:
        port = source.port
        await source.stop()
        async with registered(source_of(source.url)) as registry:
            one = served(registry)
            await one.catalog.read()
            assert (one.catalog.was_read, one.catalog.needs_reading("t")) == (False, True)
            assert one.catalog.error.startswith("source `s` ")
            await source.start(port)
            await one.catalog.read()
            assert (one.catalog.knows("t"), one.catalog.error) == (True, "")


@pytest.mark.promise("P11")
async def test_a_list_is_read_again_when_old_or_changed_and_not_for_every_made_up_name() -> None:
    clock = Time()
    async with (
        serving(Script(tools=[tool("t")])) as source,
        registered(source_of(source.url), clock=clock) as registry,
    ):
        catalog = served(registry).catalog
        assert catalog.needs_reading("t")
        await catalog.read()
        fresh = (catalog.needs_reading("t"), catalog.needs_reading("none"))
        clock.now_s += RETRY_S + 1
        later = (catalog.needs_reading("t"), catalog.needs_reading("none"))
        await catalog.read()
        clock.now_s += STALE_S + 1
        old = catalog.needs_reading("t")
        await catalog.read()
        catalog.invalidate()
        changed = catalog.needs_reading("t")

    assert fresh == (False, False)
    assert later == (False, True)
    assert (old, changed) == (True, True)


@pytest.mark.promise("D14")
async def test_an_older_list_stays_in_force_while_the_source_fails() -> None:
    script = Script(tools=[tool("t")])
    async with serving(script) as source, registered(source_of(source.url)) as registry:
        catalog = served(registry).catalog
        await catalog.read()

        async def fail(_: Talk) -> web.StreamResponse:
            return json_response(b"{}", 500)

        script.methods["tools/list"] = fail
        await catalog.read()

    assert catalog.knows("t")
    assert "HTTP 500" in catalog.error


@pytest.mark.promise("S9")
async def test_a_source_that_is_taken_away_leaves_nobody_waiting_for_its_list() -> None:
    async def silent(talk: Talk) -> web.StreamResponse:
        await talk.gone.wait()
        return web.Response()

    script = Script(methods={"tools/list": silent})
    async with serving(script) as source, registered(source_of(source.url)) as registry:
        catalog = served(registry).catalog
        reading = asyncio.ensure_future(catalog.read())
        await script.wait_for("tools/list")
        apply(registry)
        async with asyncio.timeout(parts.PATIENCE_S):
            await reading

    assert registry.find("s", calls.SourceKind.MCP) is None
    assert not catalog.was_read


@pytest.mark.promise("S9")
async def test_one_who_stops_waiting_for_a_list_stops_nobody_else() -> None:
    allowed = asyncio.Event()

    async def slow(talk: Talk) -> web.StreamResponse:
        await allowed.wait()
        return talk.answer(b'{"tools":[' + tool("t") + b"]}")

    script = Script(methods={"tools/list": slow})
    async with serving(script) as source, registered(source_of(source.url)) as registry:
        catalog = served(registry).catalog
        one, two = (asyncio.ensure_future(catalog.read()) for _ in range(2))
        await script.wait_for("tools/list")
        one.cancel()
        allowed.set()
        async with asyncio.timeout(parts.PATIENCE_S):
            await two

    assert one.cancelled()
    assert catalog.knows("t")
    assert len(script.asked("tools/list")) == 1


async def test_an_unchanged_source_keeps_its_connections_and_its_list_over_a_reload() -> None:
    script = Script(tools=[tool("t")])
    async with serving(script) as source, registered(source_of(source.url)) as registry:
        before = served(registry)
        await before.catalog.read()
        changes: list[str] = []
        registry.on_change.append(lambda: changes.append("told"))
        apply(registry, source_of(source.url), source_of(source.url, name="other"))
        kept = served(registry)
        apply(registry, source_of(source.url, "tools: {exclude: [t]}"))
        changed = served(registry)
        await changed.catalog.read()

    assert kept is before
    assert changed is not before
    assert not changed.catalog.knows("t")
    assert changes == ["told", "told"]


@pytest.mark.promise("M2")
async def test_a_list_that_became_another_is_told_and_one_that_did_not_is_not() -> None:
    script = Script(tools=[tool("t")])
    async with serving(script) as source, registered(source_of(source.url)) as registry:
        catalog = served(registry).catalog
        await catalog.read()
        changes: list[str] = []
        registry.on_change.append(lambda: changes.append("told"))
        await catalog.read()
        assert changes == []
        script.tools.append(tool("new"))
        await catalog.read()
        assert changes == ["told"]
