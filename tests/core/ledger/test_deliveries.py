"""What the operator delivers through Redis: told of, found, and by nobody else written; reports."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import hiredis
import pytest

from mesh7_core.delivery import decisions, envelopes
from mesh7_core.ledger import functions
from mesh7_core.ledger.deliveries import Versions
from mesh7_core.ledger.protocol import LOST, Seen
from mesh7_core.ledger.redis import RedisLedger
from mesh7_core.ledger.redis_url import RedisServer
from tests.conftest import Eventually
from tests.core.ledger.contract import PATIENCE_S
from tests.core.ledger.redis_homes import START_MS, server, standing_library
from tests.core.ledger.redis_parts import (
    EVERY_SERVER,
    NAMESPACE,
    SECRET,
    WRONG,
    comes_back,
    connected,
    seen,
)
from tests.peers import redis_servers

BUNDLE, OVERLAY = envelopes.Kind.BUNDLE, envelopes.Kind.OVERLAY
MINE = ("m7:{shop}:reports", "m7:{shop}:seen")


def call(behind: redis_servers.Server, name: str, keys: tuple[str, ...], *words: object) -> object:
    """A function of our library, as the operator calls it."""
    library = functions.library_of(functions.written()).name
    texts = [word if isinstance(word, bytes) else str(word) for word in words]
    return behind.tell("FCALL", f"{library}_{name}", len(keys), *keys, *texts)


def deliver(
    behind: redis_servers.Server,
    version: int,
    text: bytes = b"envelope",
    *,
    kind: str = "bundle",
    force: int = 0,
) -> object:
    keys = (f"m7b:{{shop}}:{kind}",)
    return call(behind, "deliver", keys, version, text, "m7b:{shop}:delivered", force)


def make_user(behind: redis_servers.Server, name: str, password: str) -> None:
    behind.tell(
        "ACL", "SETUSER", name, "on", f">{password}", "~m7:{shop}:*", "%R~m7b:{shop}:*",
        "resetchannels", "&m7:{shop}:*", "&m7b:{shop}:delivered", "+@all", "-function",
    )  # fmt: skip


@asynccontextmanager
async def pod(behind: redis_servers.Server, user: str = "") -> AsyncIterator[RedisLedger]:
    """A sidecar's ledger: one that listens to deliveries."""
    where = RedisServer(
        host="127.0.0.1", port=behind.port, user=user, password=SECRET if user else ""
    )
    ledger = RedisLedger(where, NAMESPACE, load=not user, delivers=True)
    await ledger.start()
    try:
        yield ledger
    finally:
        await ledger.close()


class Told:
    """Counts what a listener is told."""

    def __init__(self) -> None:
        self.times = 0
        self._turn = asyncio.Event()

    def __call__(self) -> None:
        self.times += 1
        self._turn.set()

    async def once_more(self, than: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while self.times <= than:
                self._turn.clear()
                await self._turn.wait()


@EVERY_SERVER
@pytest.mark.promise("K4")
async def test_a_delivery_is_told_of_and_found(program: Path, tmp_path: Path) -> None:
    """Design 7: to Redis by key and publish."""
    with redis_servers.running(program, tmp_path) as behind:
        async with pod(behind) as ledger:
            told = Told()
            end = ledger.deliveries.subscribe(told)
            assert await ledger.deliveries.versions() == Versions()
            assert await ledger.deliveries.fetch(BUNDLE) is None
            assert deliver(behind, 7, b"one") == 1
            await told.once_more(than=0)
            assert deliver(behind, 9, b"two", kind="overlay") == 1
            await told.once_more(than=1)
            assert await ledger.deliveries.versions() == Versions(7, 9)
            assert await ledger.deliveries.fetch(BUNDLE) == b"one"
            assert await ledger.deliveries.fetch(OVERLAY) == b"two"
            end()
            assert told.times == 2


@EVERY_SERVER
@pytest.mark.promise("K9")
async def test_only_a_higher_version_takes_the_place_unless_it_is_forced(
    program: Path, tmp_path: Path
) -> None:
    """Issue 5, faults: a leader of old publishes after the new one; Redis forged."""
    with redis_servers.running(program, tmp_path) as behind:
        async with pod(behind) as ledger:
            steps = [deliver(behind, version) for version in (10, 9, 10, 11)]
            assert steps == [1, 0, 0, 1]
            behind.tell("HSET", "m7b:{shop}:bundle", "v", "999999999999999", "t", "forged")
            assert deliver(behind, 12, b"ours") == 0
            assert deliver(behind, 12, b"ours", force=1) == 1
            assert await ledger.deliveries.fetch(BUNDLE) == b"ours"
            for broken in ("junk", "-1", "1e99", "9" * 40, ""):
                behind.tell("HSET", "m7b:{shop}:bundle", "v", broken)
                assert (await ledger.deliveries.versions()) == Versions()
                assert deliver(behind, 12, b"ours") == 1, broken


@EVERY_SERVER
async def test_a_key_of_another_kind_is_replaced(program: Path, tmp_path: Path) -> None:
    with redis_servers.running(program, tmp_path) as behind:
        async with pod(behind) as ledger:
            behind.tell("SET", "m7b:{shop}:bundle", "a text")
            assert await ledger.deliveries.versions() is LOST
            assert await ledger.deliveries.fetch(BUNDLE) is LOST
            assert deliver(behind, 1, b"ours") == 1
            assert await ledger.deliveries.versions() == Versions(1, 0)
            assert ledger.trouble() == ""


@EVERY_SERVER
async def test_what_is_too_large_to_be_ours_is_not_fetched(program: Path, tmp_path: Path) -> None:
    """An endless answer would keep those of calls waiting behind it."""
    with redis_servers.running(program, tmp_path) as behind:
        async with pod(behind) as ledger:
            deliver(behind, 1, b"x" * envelopes.MAXIMUM_SEALED_BYTES)
            fetched = await ledger.deliveries.fetch(BUNDLE)
            assert isinstance(fetched, bytes)
            deliver(behind, 2, b"x" * (envelopes.MAXIMUM_SEALED_BYTES + 1))
            assert await ledger.deliveries.fetch(BUNDLE) is None


@EVERY_SERVER
@pytest.mark.promise("K8")
async def test_a_lost_store_is_lost_and_its_return_is_told(program: Path, tmp_path: Path) -> None:
    """What was delivered meanwhile is found by looking."""
    with redis_servers.running(program, tmp_path) as behind:
        async with pod(behind) as ledger:
            told = Told()
            ledger.deliveries.subscribe(told)
            behind.kill()
            assert await ledger.deliveries.versions() is LOST
            assert await ledger.deliveries.fetch(BUNDLE) is LOST
            assert await ledger.deliveries.report("uid", b"{}") is False
            behind.start()
            await told.once_more(than=1)


@EVERY_SERVER
async def test_a_gateway_that_asks_for_no_deliveries_is_held_to_no_right(
    program: Path, tmp_path: Path
) -> None:
    """Gateways of laptops share a Redis with users that know nothing of deliveries."""
    with redis_servers.running(program, tmp_path) as behind:
        async with connected(behind.port):
            behind.tell("ACL", "SETUSER", "laptop", "on", f">{SECRET}", "~m7:{shop}:*",
                        "resetchannels", "&m7:{shop}:*", "+@all", "-function")  # fmt: skip
        async with connected(behind.port, load=False, user="laptop", password=SECRET) as ledger:
            assert await seen(ledger) is Seen.ADMITTED
            assert ledger.trouble() == ""
            assert behind.tell("PUBSUB", "NUMSUB", "m7b:{shop}:delivered") == [
                b"m7b:{shop}:delivered", 0,
            ]  # fmt: skip


@EVERY_SERVER
@pytest.mark.promise("K14")
async def test_a_sidecar_may_not_write_what_is_delivered(program: Path, tmp_path: Path) -> None:
    with redis_servers.running(program, tmp_path) as behind:
        async with pod(behind):
            deliver(behind, 5, b"ours")
        make_user(behind, "pod", SECRET)
        library = functions.library_of(functions.written()).name
        with redis_servers.Link(behind.port) as link:
            assert link.ask("AUTH", "pod", SECRET) == b"OK"
            for command in (
                ("HSET", "m7b:{shop}:bundle", "v", "6"),
                ("DEL", "m7b:{shop}:bundle"),
                ("FCALL", f"{library}_deliver", "1", "m7b:{shop}:bundle", "6", "x", "c", "1"),
            ):
                answer = link.ask(*command)
                assert isinstance(answer, hiredis.ReplyError), command
                assert str(answer).startswith("NOPERM"), answer
            assert link.ask("HGET", "m7b:{shop}:bundle", "t") == b"ours"


@EVERY_SERVER
@pytest.mark.promise("A12")
async def test_a_decision_is_found_by_its_request_and_by_nothing_else(
    program: Path, tmp_path: Path
) -> None:
    """Issue 7: ids come from a store that others write to, and must not lead elsewhere."""
    identifier = "r-" + "a" * 26
    with redis_servers.running(program, tmp_path) as behind:
        async with pod(behind) as ledger:
            deliver(behind, 5, b"ours")
            assert await ledger.deliveries.decision(identifier) is None
            behind.tell("SET", f"m7b:{{shop}}:v:{identifier}", "signed")
            assert await ledger.deliveries.decision(identifier) == b"signed"
            for hostile in ("", "bundle", "../bundle", identifier + "\n", "r-" + "a" * 2**20):
                assert await ledger.deliveries.decision(hostile) is None
            large = "x" * (decisions.MAXIMUM_BYTES + 1)
            behind.tell("SET", f"m7b:{{shop}}:v:{identifier}", large + large)
            assert await ledger.deliveries.decision(identifier) == large.encode()
            behind.tell("DEL", f"m7b:{{shop}}:v:{identifier}")
            behind.tell("HSET", f"m7b:{{shop}}:v:{identifier}", "t", "a hash")
            assert await ledger.deliveries.decision(identifier) is LOST
            behind.kill()
            assert await ledger.deliveries.decision(identifier) is LOST


# Reports


@EVERY_SERVER
async def test_a_report_is_found_by_the_operator(program: Path, tmp_path: Path) -> None:
    with redis_servers.running(program, tmp_path) as behind:
        async with pod(behind) as ledger:
            assert await ledger.deliveries.report("uid-1", b'{"bundle":7}') is True
            assert await ledger.deliveries.report("uid-2", b'{"bundle":6}') is True
            assert await ledger.deliveries.report("uid-1", b'{"bundle":8}') is True
            answered = call(behind, "reports", MINE, 1 << 20)
            assert isinstance(answered, list)
            _, *pairs = answered
            found = dict(zip(pairs[::2], map(json.loads, pairs[1::2]), strict=True))
            assert found == {b"uid-1": {"bundle": 8}, b"uid-2": {"bundle": 6}}
            assert isinstance(behind.tell("PTTL", MINE[0]), int)


@EVERY_SERVER
async def test_reports_are_bounded(program: Path, tmp_path: Path) -> None:
    with redis_servers.running(program, tmp_path) as behind:
        async with pod(behind) as ledger:
            assert await ledger.deliveries.report("large", b"x" * 524_289) is False
            assert await ledger.deliveries.report("first", b"x" * 524_288) is True
            assert await ledger.deliveries.report("second", b"y" * 1000) is True
            enough = call(behind, "reports", MINE, 524_288)
            assert isinstance(enough, list)
            assert enough[1::2] == [b"first"]
            for start in range(0, 9_998, 2):
                call(behind, "report", MINE, f"uid-{start}", "{}")
                call(behind, "report", MINE, f"uid-{start + 1}", "{}")
            assert await ledger.deliveries.report("one-more", b"{}") is False
            assert await ledger.deliveries.report("second", b"{}") is True


@pytest.mark.parametrize("kind", sorted(redis_servers.programs()))
async def test_a_sidecar_that_reports_no_more_is_forgotten_after_90_seconds(kind: str) -> None:
    """By the server's clock, which stands still here but for what the test adds."""
    behind = server(kind)
    behind.tell("FLUSHALL")
    behind.tell("SET", "test:clock", START_MS)
    behind.tell("FUNCTION", "LOAD", "REPLACE", standing_library().text)
    keys = ("2", "m7:{left}:reports", "m7:{left}:seen")

    def told(name: str, *words: str) -> object:
        return behind.tell("FCALL", f"{standing_library().name}_{name}", *keys, *words)

    told("report", "one", "1")
    behind.tell("INCRBY", "test:clock", 60_000)
    told("report", "two", "2")
    behind.tell("INCRBY", "test:clock", 30_000)
    both = told("reports", "1000")
    assert both == [START_MS + 90_000, b"one", b"1", b"two", b"2"]
    behind.tell("INCRBY", "test:clock", 1)
    assert told("reports", "1000") == [START_MS + 90_001, b"two", b"2"]
    behind.tell("INCRBY", "test:clock", -3_600_000)
    assert told("reports", "1000") == [START_MS + 90_001 - 3_600_000], "the clock was set back"
    told("report", "three", "3")
    behind.tell("HSET", keys[1], "stray", "x")
    assert told("reports", "1000") == [START_MS + 90_001 - 3_600_000], "all report again"


# Other credentials


@EVERY_SERVER
@pytest.mark.promise("K14")
async def test_credentials_are_exchanged_without_losing_a_call(
    program: Path, tmp_path: Path, eventually: Eventually
) -> None:
    """Issue 5: short-lived credentials; the user of old may go once the new one is in use."""
    with redis_servers.running(program, tmp_path) as behind:
        async with connected(behind.port):
            pass
        for name in ("old", "new"):
            make_user(behind, name, SECRET)
        async with pod(behind, "old") as ledger:
            told = Told()
            ledger.deliveries.subscribe(told)
            calls = [asyncio.create_task(seen(ledger)) for _ in range(20)]
            await asyncio.sleep(0)
            ledger.use(_as("new", behind))
            calls += [asyncio.create_task(seen(ledger)) for _ in range(20)]
            answers = await asyncio.gather(*calls)
            assert answers == [Seen.ADMITTED] * 3 + [Seen.SPENT] * 37
            await eventually(_nobody_is(behind, "old"))
            behind.tell("ACL", "DELUSER", "old")
            assert await seen(ledger) is Seen.SPENT
            deliver(behind, 3)
            await told.once_more(than=0)
            assert ledger.trouble() == ""


@EVERY_SERVER
@pytest.mark.promise("K14")
async def test_a_connection_made_later_uses_the_new_credentials(
    program: Path, tmp_path: Path, eventually: Eventually
) -> None:
    with redis_servers.running(program, tmp_path) as behind:
        async with connected(behind.port):
            pass
        for name in ("old", "new"):
            make_user(behind, name, SECRET)
        async with pod(behind, "old") as ledger:
            behind.tell("ACL", "DELUSER", "old")
            ledger.use(_as("new", behind))
            assert (await comes_back(ledger)).seen is Seen.ADMITTED
            await eventually(lambda: ledger.trouble() == "")


@EVERY_SERVER
async def test_refused_credentials_leave_the_connection_as_it_is(
    program: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, eventually: Eventually
) -> None:
    """The operator may be late with the new user on this node; the old one still stands."""
    with redis_servers.running(program, tmp_path) as behind:
        async with connected(behind.port):
            pass
        make_user(behind, "old", SECRET)
        async with pod(behind, "old") as ledger:
            ledger.use(_as("new", behind, WRONG))
            assert await seen(ledger) is Seen.ADMITTED
            await eventually(lambda: "the new credentials are not taken" in caplog.text)
            make_user(behind, "new", WRONG)
            ledger.use(_as("new", behind, WRONG))
            await eventually(_nobody_is(behind, "old"))
            assert await seen(ledger) is Seen.ADMITTED


@EVERY_SERVER
async def test_another_place_is_moved_to(
    program: Path, tmp_path: Path, eventually: Eventually
) -> None:
    with (
        redis_servers.running(program, tmp_path / "first") as first,
        redis_servers.running(program, tmp_path / "second") as second,
    ):
        async with pod(first) as ledger:
            assert await seen(ledger) is Seen.ADMITTED
            ledger.use(RedisServer(host="127.0.0.1", port=second.port))
            first.kill()
            await eventually(lambda: ledger.trouble() == "")
            deliver(second, 4)
            assert await ledger.deliveries.versions() == Versions(4, 0)


def _as(name: str, behind: redis_servers.Server, password: str = SECRET) -> RedisServer:
    return RedisServer(host="127.0.0.1", port=behind.port, user=name, password=password)


def _nobody_is(behind: redis_servers.Server, name: str) -> Callable[[], bool]:
    def claim() -> bool:
        answered = behind.tell("CLIENT", "LIST")
        assert isinstance(answered, bytes)
        return f"user={name} ".encode() not in answered

    return claim
