"""Held calls in Redis: read within bounds whatever a tenant writes, and settled decision first."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import ParamSpec, TypeVar

import hiredis
import pytest

from mesh7_core.ledger import redis_layout, resp
from mesh7_core.ledger.asked import Request, State
from mesh7_core.ledger.protocol import LOST, Lost
from mesh7_core.ledger.redis import RedisLedger
from mesh7_operator import settings
from mesh7_operator.approving.steps import Settle
from mesh7_operator.clock import Clock
from mesh7_operator.store import listening, requests
from mesh7_operator.store.node import Command, Manner, Node
from mesh7_operator.store.requests import Held, Requests
from mesh7_operator.store.store import Store
from tests.conftest import Eventually
from tests.core.ledger.redis_parts import EVERY_SERVER
from tests.operator.store import held
from tests.operator.store.parts import CLOCK, LIBRARY, NOW, is_refused, link_of, storing
from tests.operator.store.test_store_users import documented_rules
from tests.peers import redis_servers

SHOP = redis_layout.Layout("shop")
_PATIENCE_S = 30.0
P = ParamSpec("P")
R = TypeVar("R")
_FLOOD = "for _ = 1, ARGV[2] do redis.call('PUBLISH', ARGV[1], 'again') end return 0"


class _Standing(ThreadPoolExecutor):
    """A thread that is busy with something else until it is let go."""

    def __init__(self) -> None:
        super().__init__(1)
        self._free = threading.Event()
        super().submit(self._free.wait, _PATIENCE_S)
        self.has_some = asyncio.Event()

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Told of before it is done."""
        self.has_some.set()
        return super().submit(fn, *args, **kwargs)

    def let_go(self) -> None:
        """It turns to what was handed in meanwhile."""
        self._free.set()


class _Noting(Node):
    """Knows whether all that was asked was answered, and no error."""

    is_answered = True

    async def ask(self, commands: Sequence[Command]) -> list[resp.Reply | Lost]:
        """As it does."""
        replies = await super().ask(commands)
        if any(one is LOST or isinstance(one, hiredis.ReplyError) for one in replies):
            self.is_answered = False
        return replies


def _call(function: str, keys: Sequence[str], *words: bytes | str | int) -> Command:
    return ["FCALL", f"{LIBRARY}_{function}", len(keys), *keys, *words]


@asynccontextmanager
async def _node(server: redis_servers.Server) -> AsyncIterator[_Noting]:
    url = f"redis://127.0.0.1:{server.port}"
    chosen = settings.RedisSettings(url=url, nodes=(url,))
    node = _Noting(chosen, url, chosen.password, manner=Manner(longest=requests.LONGEST_ANSWER))
    await node.start(_PATIENCE_S)
    try:
        yield node
    finally:
        await node.close()


async def _answered(ask: Callable[[], Awaitable[R | None]]) -> R:
    """What is answered, as soon as the store does so in time."""
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            found = await ask()
            if found is not None:
                return found
            await asyncio.sleep(0.02)


async def _until_read(reading: Requests, namespace: str) -> Held:
    return await _answered(lambda: reading.read(namespace, ()))


async def _held(
    store: Store, *ids: str, namespace: str = "shop", mirrored: Collection[str] = ()
) -> Held:
    return await _answered(lambda: store.held(namespace, mirrored, ids))


async def _read(store: Store, *ids: str, namespace: str = "shop") -> dict[str, Request]:
    found = await _held(store, *ids, namespace=namespace)
    return {one: kept.request for one, kept in found.requests.items()}


async def _settled(
    store: Store, ledger: RedisLedger, settle: Settle, found: bytes = b""
) -> Request:
    """It is done, and read; a machine that was too slow for the store's patience does it again.

    What the store did and could not say in time is done, too.
    """

    async def settled() -> Request | None:
        await store.settle("shop", settle, found)
        read = await ledger.request(settle.after.id)
        return read if isinstance(read, Request) and read == settle.after else None

    return await _answered(settled)


async def _is_left_alone(server: redis_servers.Server, settle: Settle, found: bytes) -> None:
    """It is not done, and that is no matter of an answer that came too late."""
    async with _node(server) as node, asyncio.timeout(_PATIENCE_S):
        with ThreadPoolExecutor(1) as decoding:
            settling = Requests(node, [node], _call, decoding)
            while True:
                node.is_answered = True
                assert not await settling.settle("shop", settle, found)
                if node.is_answered:
                    return
                await asyncio.sleep(0.02)


@EVERY_SERVER
async def test_what_a_sidecar_opens_is_read_and_what_was_decided_about_it(
    program: Path, tmp_path: Path
) -> None:
    """Design 6.4: the controller mirrors pending requests."""
    with redis_servers.running(program, tmp_path) as server:
        async with storing(server) as store:
            await store.tend(["shop", "bank"], NOW)
            async with held.ledger_of(server, "shop") as ledger:
                first, second = await held.opened(ledger, 1), await held.opened(ledger, 2)
                closed = await held.withdrawn(ledger, second.id)
            server.tell("SET", SHOP.decision(first.id), b"decided")
            assert await _read(store) == {first.id: first}
            assert await _read(store, second.id) == {first.id: first, second.id: closed}
            found = await _held(store)
            assert found.requests[first.id].decision == b"decided"
            assert found.store_ms >= first.opened_at_ms
            waiting = await _answered(lambda: store.waiting(["shop", "bank"]))
            assert waiting == {"shop": 1, "bank": 0}


@EVERY_SERVER
async def test_the_documented_user_may_read_settle_and_listen(
    program: Path, tmp_path: Path, eventually: Eventually
) -> None:
    """docs/administrator/redis.md, The operator's user."""
    told: list[tuple[str, str]] = []
    with redis_servers.running(program, tmp_path) as server:
        server.tell("ACL", "SETUSER", "operator", "on", "nopass", *documented_rules())
        async with storing(server, user="operator") as store:
            store.listen(lambda *one: told.append(one), lambda: None)
            await store.tend(["shop"], NOW)
            await store.follow(["shop"])
            await eventually(lambda: server.tell("PUBLISH", SHOP.channel, "r") == 1)
            async with held.ledger_of(server, "shop") as ledger:
                before = await held.opened(ledger)
                await eventually(lambda: ("shop", before.id) in told)
                settle = held.approved(before, before.opened_at_ms + 1)
                assert await _settled(store, ledger, settle) == settle.after
            assert server.tell("GET", SHOP.decision(before.id)) == b"signed"
            kept_ms = server.tell("PTTL", SHOP.decision(before.id))
            assert isinstance(kept_ms, int)
            assert kept_ms > settle.after.use_within_ms


@EVERY_SERVER
@pytest.mark.promise("K9")
async def test_whoever_was_faster_wins_and_a_decision_that_stands_is_not_replaced(
    program: Path, tmp_path: Path
) -> None:
    """Issue 7: two leaders, and a crash between the decision and the request."""
    with redis_servers.running(program, tmp_path) as server:
        async with storing(server) as store:
            await store.tend(["shop"], NOW)
            async with held.ledger_of(server, "shop") as ledger:
                before = await held.opened(ledger)
                settle = held.approved(before, before.opened_at_ms + 1)
                server.tell("SET", SHOP.decision(before.id), b"another leader's")
                await _is_left_alone(server, settle, b"")
                assert server.tell("GET", SHOP.decision(before.id)) == b"another leader's"
                # A crash after the first of two steps: the second is done by whoever comes next.
                server.tell("SET", SHOP.decision(before.id), b"signed")
                done = await _settled(store, ledger, settle, b"signed")
                assert done.state is State.APPROVED
                await _is_left_alone(server, settle, b"signed")
                assert await held.read(ledger, before.id) == done


@EVERY_SERVER
async def test_what_was_withdrawn_meanwhile_is_not_settled(program: Path, tmp_path: Path) -> None:
    with redis_servers.running(program, tmp_path) as server:
        async with storing(server) as store:
            await store.tend(["shop"], NOW)
            async with held.ledger_of(server, "shop") as ledger:
                before = await held.opened(ledger)
                withdrawn = await held.withdrawn(ledger, before.id)
                settle = held.approved(before, before.opened_at_ms + 1)
                await _is_left_alone(server, settle, b"")
                assert await held.read(ledger, before.id) == withdrawn


@EVERY_SERVER
@pytest.mark.promise("A8")
async def test_large_arguments_of_one_pod_push_no_mirrored_request_of_another_out(
    program: Path, tmp_path: Path
) -> None:
    """Issue 7, found in review: what was left out of a look counted as forgotten by the ledger."""
    with redis_servers.running(program, tmp_path) as server:
        async with storing(server) as store:
            await store.tend(["shop"], NOW)
            async with held.ledger_of(server, "shop") as ledger:
                ours = [await held.opened(ledger, place) for place in range(40)]
            for one in ours:
                server.tell("HSET", SHOP.request(one.id), "a", "x" * 400_000)
            found = await _held(store, mirrored=[one.id for one in ours])
            assert found.requests.keys() == {one.id for one in ours}


@EVERY_SERVER
@pytest.mark.promise("K9")
async def test_a_tenant_that_writes_long_or_odd_things_is_read_without_them(
    program: Path, tmp_path: Path
) -> None:
    """Issue 7: a Redis writer. Ids of any length, texts of any length, keys of another type."""
    with redis_servers.running(program, tmp_path) as server:
        async with storing(server) as store:
            await store.tend(["shop"], NOW)
            async with held.ledger_of(server, "shop") as ledger:
                good, long = await held.opened(ledger, 1), await held.opened(ledger, 2)
                odd, grown = await held.opened(ledger, 3), await held.opened(ledger, 4)
            with link_of(server, "shop") as link:
                link.ask("HSET", SHOP.request(long.id), "t", b"x" * 3_000_000)
                link.ask("HSET", SHOP.request(grown.id), "a", b"x" * 3_000_000)
                link.ask("DEL", SHOP.request(odd.id))
                link.ask("SET", SHOP.request(odd.id), "text")
                link.ask("ZADD", SHOP.pending, 1, b"../" + b"y" * 100_000, 2, b"\xff\x00")
                assert is_refused(link.ask("SET", SHOP.decision(good.id), "forged"))
            assert await _read(store, odd.id, "../../x") == {good.id: good}


@EVERY_SERVER
@pytest.mark.promise("K9")
async def test_texts_that_are_made_to_be_slow_to_read_are_few(
    program: Path, tmp_path: Path
) -> None:
    """Security review of issue 7, F1: half a megabyte each, and eight of all."""
    with redis_servers.running(program, tmp_path) as server:
        async with storing(server) as store:
            await store.tend(["shop"], NOW)
            async with held.ledger_of(server, "shop") as ledger:
                asked = [await held.opened(ledger, number) for number in range(60)]
            sizes = dict.fromkeys([one.id for one in asked], 100_000)
            sizes[asked[0].id] = redis_layout.LONGEST_TEXT + 1
            with link_of(server, "shop") as link:
                for one in asked:
                    plain = replace(one, arguments="", trace_id="")
                    short = sizes[one.id] - len(redis_layout.write_request(plain))
                    text = redis_layout.write_request(replace(plain, trace_id="x" * short))
                    link.ask("HSET", SHOP.request(one.id), "t", text)
            found = await _read(store)
            assert asked[0].id not in found
            assert len(found) == requests.MOST_TEXT_BYTES // 100_000
            mirrored = {one.id for one in asked[1:31]}
            now = await _held(store, mirrored=mirrored)
            # What is there and too much is told apart from what is forgotten.
            unread = mirrored - now.requests.keys()
            assert len(unread) == len(mirrored) - len(found)
            assert unread <= set(now.left_out)
            assert asked[0].id not in now.left_out


@EVERY_SERVER
@pytest.mark.promise("K9")
async def test_what_nobody_could_read_afterwards_is_not_settled(
    program: Path, tmp_path: Path
) -> None:
    """Review of issue 7: an approval beyond the bound of its readers was none to them."""
    with redis_servers.running(program, tmp_path) as server:
        async with storing(server) as store:
            await store.tend(["shop"], NOW)
            async with held.ledger_of(server, "shop") as ledger:
                before = await held.opened(ledger)
                settle = held.approved(before, before.opened_at_ms + 1)
                chatty = replace(held.JANE, name="y" * redis_layout.LONGEST_TEXT)
                long = replace(settle, after=replace(settle.after, votes=(chatty,)))
                assert not await store.settle("shop", long, b"")
                assert server.tell("EXISTS", SHOP.decision(before.id)) == 0
                assert await _settled(store, ledger, settle) == settle.after


@EVERY_SERVER
@pytest.mark.promise("K9")
async def test_while_requests_of_one_namespace_are_decoded_those_of_others_are_read(
    program: Path, tmp_path: Path
) -> None:
    """The same: whoever made all connections wait for its texts made all namespaces wait."""
    with _Standing() as standing, redis_servers.running(program, tmp_path) as server:
        async with storing(server) as store:
            await store.tend(["shop", "evil"], NOW)
            async with held.ledger_of(server, "shop") as ledger:
                good = await held.opened(ledger)
            async with held.ledger_of(server, "evil") as ledger:
                await held.opened(ledger, 2, '"' + "x" * 100_000 + '"')
        async with _node(server) as node:
            only = Requests(node, [node], _call, standing)
            slow = asyncio.ensure_future(_until_read(only, "evil"))
            await asyncio.wait_for(standing.has_some.wait(), _PATIENCE_S)
            assert list((await _until_read(only, "shop")).requests) == [good.id]
            assert not slow.done()
            standing.let_go()
            assert len((await slow).requests) == 1


@EVERY_SERVER
@pytest.mark.promise("K9")
async def test_an_answer_without_end_costs_its_namespace_a_while_and_nobody_else(
    program: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Issue 7: a Redis writer. Members of a set have no bound of their own."""
    with redis_servers.running(program, tmp_path) as server:
        async with storing(server) as store:
            await store.tend(["shop", "bank"], NOW)
            async with held.ledger_of(server, "bank") as ledger:
                good = await held.opened(ledger)
            with link_of(server, "shop") as link:
                link.ask("ZADD", SHOP.pending, 1, b"y" * (2 * requests.LONGEST_ANSWER))
            async with asyncio.timeout(_PATIENCE_S):
                while "see who else may write there" not in caplog.text:
                    assert await store.held("shop", ()) is None
            for _ in range(10):
                assert await store.held("shop", ()) is None
                assert await _read(store, namespace="bank") == {good.id: good}


@EVERY_SERVER
@pytest.mark.promise("K9")
async def test_the_requests_of_a_namespace_are_read_up_to_a_bound(
    program: Path, tmp_path: Path
) -> None:
    arguments = '"' + "x" * 250_000 + '"'
    with redis_servers.running(program, tmp_path) as server:
        async with storing(server) as store:
            await store.tend(["shop"], NOW)
            async with held.ledger_of(server, "shop") as ledger:
                for number in range(40):
                    await held.opened(ledger, number, arguments)
            found = await _read(store)
            assert 30 <= len(found) < 40
            assert all(one.arguments == arguments for one in found.values())


@EVERY_SERVER
@pytest.mark.promise("K9")
async def test_a_namespace_that_publishes_without_end_is_not_listened_to(
    program: Path, tmp_path: Path, eventually: Eventually
) -> None:
    """Issue 7: a tenant that publishes in a loop costs bounded work, and the others are heard."""
    told: list[str] = []
    one_second = Clock(wall_ns=CLOCK.wall_ns, monotonic_s=lambda: 0.0)
    with redis_servers.running(program, tmp_path) as server:
        async with storing(server, clock=one_second) as store:
            store.listen(lambda namespace, _: told.append(namespace), lambda: None)
            await store.tend(["shop", "bank"], NOW)
            await store.follow(["shop", "bank"])
            bank = redis_layout.Layout("bank").channel
            await eventually(lambda: server.tell("PUBLISH", SHOP.channel, "r") == 1)
            await eventually(lambda: server.tell("PUBLISH", bank, "r") == 1)
            await eventually(lambda: {"shop", "bank"} <= set(told))
            server.tell("EVAL", _FLOOD, 0, SHOP.channel, 2 * listening.MOST_A_SECOND)
            await eventually(lambda: server.tell("PUBLISH", SHOP.channel, "more") == 0)
            told.remove("bank")
            server.tell("PUBLISH", bank, "r")
            await eventually(lambda: "bank" in told)
            assert told.count("shop") == listening.MOST_A_SECOND


@EVERY_SERVER
async def test_a_lost_redis_is_known_as_lost_and_all_is_looked_at_when_it_is_back(
    program: Path, tmp_path: Path, eventually: Eventually
) -> None:
    """Issue 7: lost Redis."""
    missed: list[bool] = []
    told: list[str] = []
    with redis_servers.running(program, tmp_path) as server:
        async with storing(server) as store:
            store.listen(lambda _, one: told.append(one), lambda: missed.append(True))
            await store.tend(["shop"], NOW)
            await store.follow(["shop"])
            async with held.ledger_of(server, "shop") as ledger:
                before = await held.opened(ledger)
                settle = held.approved(before, before.opened_at_ms + 1)
            server.kill()
            assert await store.held("shop", ()) is None
            assert await store.waiting(["shop"]) is None
            assert not await store.settle("shop", settle, b"")
            missed.clear()
            server.start()
            await eventually(lambda: bool(missed))
            server.tell("PUBLISH", SHOP.channel, before.id)
            await eventually(lambda: before.id in told)


async def test_an_id_that_is_none_is_told_as_no_id(tmp_path: Path, eventually: Eventually) -> None:
    told: list[tuple[str, str]] = []
    with redis_servers.running(redis_servers.programs()["valkey"], tmp_path) as server:
        async with storing(server) as store:
            store.listen(lambda *one: told.append(one), lambda: None)
            await store.follow(["shop"])
            await eventually(
                lambda: server.tell("PUBLISH", SHOP.channel, "r-" + "../" * 8 + "ab") == 1
            )
            await eventually(lambda: told == [("shop", "")])
            await store.follow([])
            await eventually(lambda: server.tell("PUBLISH", SHOP.channel, "x") == 0)
