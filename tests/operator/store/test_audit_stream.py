"""The audit in Redis: what a namespace's user can do to it, and what the operator reads of it."""

from dataclasses import replace
from pathlib import Path

import pytest

from mesh7_core.ledger import audit_entries, redis_layout
from mesh7_core.ledger.redis import RedisLedger
from mesh7_operator.cluster import furniture
from mesh7_operator.store.store import Store
from tests.core.ledger.redis_parts import EVERY_SERVER
from tests.operator.anchoring.streams import Writer
from tests.operator.store.parts import (
    LIBRARY,
    NOW,
    is_refused,
    link_of,
    storing,
    until_well,
    user_of,
)
from tests.peers import redis_servers

INBOX = "m7a:{shop}:inbox"
STREAM = "m7a:{shop}:audit"


async def _ready(server: redis_servers.Server, store: Store) -> None:
    await until_well(store, ["shop", "evil"], NOW)
    with link_of(server, "shop") as link:
        for segment in _segments():
            link.ask("RPUSH", INBOX, audit_entries.written(segment))


def _segments() -> list[audit_entries.Segment]:
    writer = Writer()
    return [writer.blocks(1), writer.withheld(2), writer.blocks(3), writer.end()]


_ATTACKS: list[tuple[str | int, ...]] = [
    ("LRANGE", INBOX, 0, -1), ("LINDEX", INBOX, 0), ("LTRIM", INBOX, 1, 0), ("LSET", INBOX, 0, "x"),
    ("LPOP", INBOX), ("LLEN", INBOX), ("DEL", INBOX), ("UNLINK", INBOX), ("SET", INBOX, "x"),
    ("PEXPIRE", INBOX, 1), ("RENAME", INBOX, "m7:{shop}:x"), ("LPUSH", INBOX, "x"),
    ("RPOPLPUSH", INBOX, "m7:{shop}:x"), ("GETRANGE", INBOX, 0, 9), ("TYPE", INBOX),
    ("COPY", "m7:{shop}:x", INBOX), ("RESTORE", INBOX, 0, "x"), ("DUMP", INBOX),
    ("XADD", STREAM, "*", "x", 1), ("XADD", STREAM, "MAXLEN", 0, "*", "x", 1), ("XLEN", STREAM),
    ("XRANGE", STREAM, "-", "+"), ("XTRIM", STREAM, "MAXLEN", 0), ("XDEL", STREAM, "1-0"),
    ("XSETID", STREAM, "9-9"), ("DEL", STREAM), ("RPUSH", STREAM, "x"), ("SET", STREAM, "x"),
    ("XREAD", "STREAMS", STREAM, "0"), ("XGROUP", "CREATE", STREAM, "g", "0"),
]  # fmt: skip


@pytest.mark.promise("T5", "K14")
@pytest.mark.parametrize("who", ["shop", "evil"])
@EVERY_SERVER
async def test_no_sidecar_reads_changes_trims_or_deletes_an_audit(
    program: Path, tmp_path: Path, who: str
) -> None:
    """Issue 8's brief: append and nothing else; of another namespace not even that."""
    with redis_servers.running(program, tmp_path) as server:
        async with storing(server) as store:
            await _ready(server, store)
            before = server.tell("LRANGE", INBOX, 0, -1)
            assert await store.audit.gather("shop") == 0
            await _ready(server, store)
            calls = [
                ("FCALL", f"{LIBRARY}_gather", 2, INBOX, STREAM, 100, 10**6),
                ("FCALL", f"{LIBRARY}_segments", 1, STREAM, "-", "+", 0, 10, 10**6),
                ("FCALL", f"{LIBRARY}_forget_empty", 2, INBOX, STREAM),
                ("FCALL", f"{LIBRARY}_report", 2, INBOX, STREAM, "uid", "text"),
                ("FCALL", f"{LIBRARY}_forget", 3, INBOX, INBOX, INBOX),
            ]
            with link_of(server, who) as link:
                for attack in [*_ATTACKS, *calls]:
                    assert is_refused(link.ask(*attack)), attack
                if who == "evil":
                    assert is_refused(link.ask("RPUSH", INBOX, "x"))
            assert server.tell("LRANGE", INBOX, 0, -1) == before
            assert server.tell("XLEN", STREAM) == 4


@EVERY_SERVER
async def test_what_sidecars_append_is_read_as_they_meant_it(program: Path, tmp_path: Path) -> None:
    """By the ledger's own connection, and out of tenants' reach from then on."""
    with redis_servers.running(program, tmp_path) as server:
        async with storing(server) as store:
            await until_well(store, ["shop"], NOW)
            who = replace(user_of("shop"), port=server.port)
            ledger = RedisLedger(who, "shop", load=False)
            await ledger.start()
            try:
                sent = _segments()
                assert [await ledger.audit.append(one) for one in sent] == [1, 2, 3, 4]
            finally:
                await ledger.close()
            assert await store.audit.waiting(["shop", "bank"]) == {"shop": 4, "bank": 0}
            assert await store.audit.gather("shop") == 0
            found = await store.audit.read("shop")
            assert [one.segment for one in found or ()] == sent
            back = await store.audit.read_back("shop", limit=2)
            assert [one.segment for one in back or ()] == [sent[3], sent[2]]
            later = await store.audit.read("shop", after=(found or [])[1].id)
            assert [one.segment for one in later or ()] == sent[2:]
            earlier = await store.audit.read_back("shop", before=(found or [])[1].id)
            assert [one.segment for one in earlier or ()] == sent[:1]


@EVERY_SERVER
async def test_a_page_ends_when_it_has_bytes_enough(program: Path, tmp_path: Path) -> None:
    """A tenant that appends much costs neither the server nor us more than a page at a time."""
    with redis_servers.running(program, tmp_path) as server:
        async with storing(server) as store:
            await until_well(store, ["shop"], NOW)
            key = redis_layout.Layout("shop").audit_inbox
            with link_of(server, "shop") as link:
                line = audit_entries.written(Writer().blocks(1))
                for _ in range(8):
                    link.ask("RPUSH", key, line + b"x" * 900_000)
            assert await store.audit.gather("shop") == 5
            found = await store.audit.read("shop")
            assert len(found or ()) == 3


@EVERY_SERVER
async def test_trimming_takes_what_it_says_and_no_more(program: Path, tmp_path: Path) -> None:
    with redis_servers.running(program, tmp_path) as server:
        async with storing(server) as store:
            await _ready(server, store)
            await store.audit.gather("shop")
            found = await store.audit.read("shop") or []
            assert await store.audit.trim("shop", found[1].id)
            extent = await store.audit.extent("shop")
            assert extent is not None
            assert (extent.entries, extent.first, extent.last) == (2, found[2].id, found[3].id)


@EVERY_SERVER
async def test_an_audit_is_forgotten_where_nothing_lies_and_nothing_waits(
    program: Path, tmp_path: Path
) -> None:
    """What was appended since it was looked at went with it, and whoever wrote it was told `ok`."""
    with redis_servers.running(program, tmp_path) as server:
        async with storing(server) as store:
            assert await store.audit.forget_empty("shop"), "there never was one"
            await _ready(server, store)
            assert not await store.audit.forget_empty("shop")
            assert server.tell("LLEN", INBOX) == 4
            await store.audit.gather("shop")
            found = await store.audit.read("shop") or []
            assert await store.audit.trim("shop", found[2].id)
            assert not await store.audit.forget_empty("shop")
            assert [one.id for one in await store.audit.read("shop") or ()] == [found[3].id]
            assert await store.audit.trim("shop", found[3].id)
            assert await store.audit.forget_empty("shop")
            assert server.tell("EXISTS", INBOX, STREAM) == 0


@EVERY_SERVER
async def test_the_operators_user_may_do_all_that_is_done_to_an_audit(
    program: Path, tmp_path: Path
) -> None:
    """XDEL was refused: in a cluster nothing of a writer that wrote too much ever went."""
    with redis_servers.running(program, tmp_path) as server:
        server.tell("ACL", "SETUSER", "operator", "on", "nopass", *furniture.OPERATOR_RULES.split())
        async with storing(server, user="operator") as store:
            await _ready(server, store)
            assert await store.audit.waiting(["shop"]) == {"shop": 4}
            assert await store.audit.gather("shop") == 0
            assert await store.audit.append("shop", Writer(None, "-", "-").blocks(1))
            extent = await store.audit.extent("shop")
            back = await store.audit.read_back("shop", limit=1) or []
            assert extent is not None
            assert (extent.entries, extent.last) == (5, back[0].id)
            assert await store.audit.remove("shop", [back[0].id])
            (*_, last) = await store.audit.read("shop") or []
            assert await store.audit.trim("shop", last.id)
            assert await store.audit.forget_empty("shop")
            assert server.tell("EXISTS", INBOX, STREAM) == 0


async def test_a_redis_that_is_away_is_none_and_false(tmp_path: Path) -> None:
    program = redis_servers.programs()["valkey"]
    with redis_servers.running(program, tmp_path) as server:
        async with storing(server) as store:
            server.kill()
            assert await store.audit.waiting(["shop"]) is None
            assert await store.audit.gather("shop") is None
            assert await store.audit.read("shop") is None
            assert await store.audit.extent("shop") is None
            assert not await store.audit.trim("shop", "1-1")
            assert not await store.audit.append("shop", Writer().blocks(1))
            assert not await store.audit.forget_empty("shop")
