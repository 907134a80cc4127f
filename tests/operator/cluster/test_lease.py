"""Who leads, and until when: one contender against a server, with clocks that the tests move."""

import asyncio
import copy
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from mesh7_core import errors
from mesh7_operator import metrics
from mesh7_operator.clock import Clock
from mesh7_operator.cluster import api_server, resources
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.cluster.connection import Connection
from mesh7_operator.cluster.lease import Elector, Times
from tests.fakes import api_server as fakes
from tests.fakes.api_objects import Object

NAMESPACE = "mesh7-system"
NAME = "mesh7-controller"
LEASE = resources.LEASES.path(NAMESPACE, NAME)
QUICK = Times(retry_s=0.01)
IN_TIME_S = 30.0


@dataclass(slots=True)
class _Time:
    now_s: float = 1_000.0

    @property
    def clock(self) -> Clock:
        return Clock(wall_ns=lambda: 1_795_258_936_000_000_000, monotonic_s=lambda: self.now_s)


@dataclass(slots=True)
class _Parts:
    """One API server, one clock, and as many contenders as are asked for."""

    server: fakes.ApiServer
    api: ApiServer
    time: _Time = field(default_factory=_Time)

    def elector(self, identity: str = "first") -> Elector:
        return Elector(
            self.api, NAMESPACE, NAME, identity=identity, clock=self.time.clock, times=QUICK
        )

    async def lease(self) -> Object:
        return copy.deepcopy(dict(await self.api.get(resources.LEASES, NAMESPACE, NAME)))

    async def holder(self) -> object:
        return (await self.lease())["spec"]["holderIdentity"]


@pytest.fixture
async def parts() -> AsyncIterator[_Parts]:
    measured = metrics.ApiMetrics(metrics.registry())
    async with fakes.serving() as server, ApiServer(server.connection, measured) as api:
        server.put(resources.NAMESPACES, {"metadata": {"name": NAMESPACE}})
        yield _Parts(server, api)


async def _until(claim: Callable[[], bool]) -> None:
    async with asyncio.timeout(IN_TIME_S):
        while not claim():  # noqa: ASYNC110 - what a task does meanwhile
            await asyncio.sleep(0)


def _leads(elector: Elector) -> bool:
    return elector.is_leader


async def _lost(keeping: Awaitable[None]) -> str:
    with pytest.raises(errors.ClusterError) as caught:
        async with asyncio.timeout(IN_TIME_S):
            await keeping
    return caught.value.message


@pytest.mark.promise("K8")
async def test_a_leader_acts_for_ten_seconds_after_its_last_renewal(parts: _Parts) -> None:
    """The deadline is five seconds before anybody else may begin."""
    elector = parts.elector()
    assert not _leads(elector)
    await elector.acquire()
    parts.time.now_s += 9.9
    assert _leads(elector)
    assert elector.left_s == pytest.approx(0.1)
    parts.time.now_s += 0.1
    assert not _leads(elector)
    assert elector.left_s == 0
    assert "lost to `first`" in await _lost(elector.keep())


@pytest.mark.promise("K8")
async def test_a_follower_waits_for_the_whole_duration_by_its_own_clock(parts: _Parts) -> None:
    await parts.elector("first").acquire()
    second = parts.elector("second")
    waiting = asyncio.create_task(second.acquire())
    asked = len(parts.server.asked)
    parts.time.now_s += 14.9
    await _until(lambda: len(parts.server.asked) > asked + 3)
    assert not waiting.done()
    # From when it first saw the Lease, which was after the clock was moved or before.
    parts.time.now_s += 15.0
    async with asyncio.timeout(IN_TIME_S):
        await waiting
    assert await parts.holder() == "second"
    assert (await parts.lease())["spec"]["leaseTransitions"] == 2


async def test_a_leader_whose_renewals_fail_gives_up_at_the_deadline(parts: _Parts) -> None:
    elector = parts.elector()
    await elector.acquire()
    parts.server.troubles = [(403, {})] * 1_000
    keeping = asyncio.create_task(elector.keep())
    await _until(lambda: len(parts.server.troubles) < 998)
    assert _leads(elector)
    parts.time.now_s += 10.0
    assert not _leads(elector)
    await _lost(keeping)


async def test_a_conflict_on_a_renewal_is_looked_at_again(parts: _Parts) -> None:
    """Somebody wrote the Lease between our look and our renewal, and did not take it."""
    elector = parts.elector()
    await elector.acquire()
    keeping = asyncio.create_task(elector.keep())
    for turn in range(3):
        lease = await parts.lease()
        parts.server.put(resources.LEASES, {**lease, "metadata": {
            **lease["metadata"], "labels": {"turn": str(turn)}
        }})  # fmt: skip
        parts.time.now_s += 4.0
        await _until(lambda: elector.left_s == 10.0)
    assert not keeping.done()
    keeping.cancel()


@pytest.mark.promise("K8")
async def test_a_conflict_with_one_who_took_it_ends_the_leader(parts: _Parts) -> None:
    elector = parts.elector()
    await elector.acquire()
    lease = await parts.lease()
    taken = {**lease, "spec": {**lease["spec"], "holderIdentity": "second"}}
    parts.server.put(resources.LEASES, taken)
    parts.server.troubles, parts.server.troubled_path = [(409, {})], LEASE
    assert "lost to `second`" in await _lost(elector.keep())
    assert not _leads(elector)
    await elector.release()
    assert await parts.holder() == "second"


async def test_who_slept_takes_nothing_back_when_it_is_told_to_end(parts: _Parts) -> None:
    """Its release names the version that it saw last: the server compares."""
    first, second = parts.elector("first"), parts.elector("second")
    await first.acquire()
    lease = await parts.lease()
    parts.server.put(resources.LEASES, {
        **lease, "spec": {**lease["spec"], "holderIdentity": ""}
    })  # fmt: skip
    await second.acquire()
    await first.release()
    assert await parts.holder() == "second"


async def test_a_lease_that_was_given_back_is_taken_at_once(parts: _Parts) -> None:
    first, second = parts.elector("first"), parts.elector("second")
    await first.acquire()
    await first.release()
    assert not first.is_leader
    async with asyncio.timeout(IN_TIME_S):
        await second.acquire()
    assert await parts.holder() == "second"


async def test_a_deleted_lease_has_one_leader_again(parts: _Parts) -> None:
    elector = parts.elector()
    await elector.acquire()
    parts.server.remove(resources.LEASES, NAMESPACE, NAME)
    parts.time.now_s += 4.0
    keeping = asyncio.create_task(elector.keep())
    await _until(lambda: elector.left_s == 10.0)
    keeping.cancel()
    assert await parts.holder() == "first"


class _Silent:
    """A server that takes a request and does not answer, until it is let."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answering = asyncio.Event()
        self.status = 200

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.method)
        await self.answering.wait()
        return web.json_response({"message": "in trouble"}, status=self.status)


@pytest.fixture
async def silent() -> AsyncIterator[tuple[_Silent, ApiServer]]:
    silent = _Silent()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", silent.answer)
    async with TestServer(app) as server:
        url = str(server.make_url("")).rstrip("/")
        connection = Connection(url=url, tls=None)
        async with ApiServer(connection, metrics.ApiMetrics(metrics.registry())) as api:
            yield silent, api
        silent.answering.set()


@pytest.mark.promise("K8")
async def test_a_dead_connection_costs_an_attempt_and_not_the_leadership(parts: _Parts) -> None:
    """A renewal that nobody answers ends soon enough for another one before the deadline."""
    times = Times()
    most_s = 2 * (times.retry_s * 1.2 + times.attempt_s)
    assert most_s + 1 > times.deadline_s > most_s - times.attempt_s
    hanging = asyncio.Event()

    async def first_hangs(request: web.Request) -> web.StreamResponse:
        if not hanging.is_set():
            hanging.set()
            await asyncio.Event().wait()
        return await parts.server.answer(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", first_hangs)
    measured = metrics.ApiMetrics(metrics.registry())
    async with TestServer(app) as server:
        url = str(server.make_url("")).rstrip("/")
        async with ApiServer(Connection(url=url, tls=None), measured) as api:
            elector = Elector(
                api, NAMESPACE, NAME, identity="first", clock=parts.time.clock,
                times=Times(retry_s=0.01, attempt_s=0.05),
            )  # fmt: skip
            async with asyncio.timeout(IN_TIME_S):
                await elector.acquire()
    assert hanging.is_set()
    assert _leads(elector)


@pytest.mark.promise("K8")
async def test_a_renewal_under_way_ends_with_the_leadership(
    silent: tuple[_Silent, ApiServer],
) -> None:
    """R2, 8: `keep` noticed up to seven seconds after the last moment of the leader."""
    server, api = silent
    server.answering.set()
    time = _Time()
    elector = Elector(
        api, NAMESPACE, NAME, identity="first", clock=time.clock,
        times=Times(retry_s=0.01, attempt_s=60.0),
    )  # fmt: skip
    await elector.acquire()
    server.answering.clear()
    asked = len(server.asked)
    # It thinks that it has a second left.
    time.now_s += 9.0
    keeping = asyncio.create_task(elector.keep())
    await _until(lambda: len(server.asked) > asked)
    time.now_s += 1.0
    await _lost(keeping)


@pytest.mark.promise("K8")
async def test_nothing_is_sent_again_once_leadership_is_lost(
    silent: tuple[_Silent, ApiServer],
) -> None:
    """R2, 8: one failing write was sent up to three times more by who led no longer."""
    server, api = silent
    left_s = 10.0
    fenced = api.while_left(lambda: left_s)
    writing = asyncio.create_task(fenced.merge(resources.NAMESPACES, "", "shop", {}))
    await _until(lambda: len(server.asked) == 1)
    left_s, server.status = 0.0, 500
    server.answering.set()
    with pytest.raises(api_server.TooLate, match=r"^apply Namespace `shop`: no longer leading$"):
        await writing
    with pytest.raises(api_server.TooLate):
        await fenced.merge(resources.NAMESPACES, "", "shop", {})
    assert server.asked == ["PATCH"]


@pytest.mark.promise("K8")
async def test_a_request_in_flight_is_given_up_when_leadership_ends(
    silent: tuple[_Silent, ApiServer],
) -> None:
    server, api = silent
    # A machine may be so slow that leadership is over before the request has begun.
    for left_s in (0.05, 1.0, 10.0):
        lefts = iter([left_s, left_s])
        fenced = api.while_left(lambda lefts=lefts: next(lefts, 0.0))  # type: ignore[misc]
        with pytest.raises(api_server.TooLate):
            async with asyncio.timeout(IN_TIME_S):
                await fenced.merge(resources.NAMESPACES, "", "shop", {})
        if server.asked:
            break
    assert server.asked == ["PATCH"]


@pytest.mark.promise("K8")
@pytest.mark.parametrize(
    "write",
    [
        lambda api: api.merge(resources.NAMESPACES, "", "shop", {}),
        lambda api: api.create(resources.EVENTS, "shop", {}),
        lambda api: api.replace(resources.CONFIG_MAPS, "shop", "one", {}),
        lambda api: api.delete(resources.CONFIG_MAPS, "shop", "one"),
    ],
    ids=["merge", "create", "replace", "delete"],
)
async def test_nothing_is_sent_by_who_was_stopped_between_looking_and_sending(
    silent: tuple[_Silent, ApiServer], write: Callable[[ApiServer], Awaitable[object]]
) -> None:
    """Found in e2e/api/test_leadership: it sent what it was about to send when it woke."""
    server, api = silent
    lefts = iter([10.0])
    with pytest.raises(api_server.TooLate):
        await write(api.while_left(lambda: next(lefts, 0.0)))
    assert server.asked == []


async def test_the_elector_itself_is_not_fenced(parts: _Parts) -> None:
    """It has to ask when it leads no longer: the fence is another view of the same server."""
    fenced = parts.api.while_left(lambda: 0.0)
    with pytest.raises(api_server.TooLate):
        await fenced.get(resources.LEASES, NAMESPACE, NAME)
    await parts.elector().acquire()
    assert await parts.holder() == "first"
