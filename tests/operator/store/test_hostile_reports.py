"""Reports that a hostile namespace writes: they cost a bounded share, and delay nobody's veto."""

from dataclasses import replace
from pathlib import Path

import pytest

from mesh7_core.delivery import envelopes, reports
from mesh7_operator.reconciling.plan import Publish
from mesh7_operator.store import reporting
from mesh7_operator.store.store import Store
from tests.core.ledger.redis_parts import EVERY_SERVER
from tests.operator.store.parts import LIBRARY, NOW, link_of, storing
from tests.operator.store.test_store_deliveries import REPORT
from tests.peers import redis_servers

LARGE = replace(
    REPORT,
    sources=tuple(
        reports.SourceReport(
            name=f"s{number}",
            is_ready=True,
            tools=tuple(
                reports.Tool(name=f"tool-{tool:04}", digest="sha256:" + "0" * 64)
                for tool in range(1000)
            ),
            tool_count=1000,
        )
        for number in range(4)
    ),
)


def writes(server: redis_servers.Server, namespace: str, count: int, one: reports.Report) -> None:
    """What a namespace's own user can put there, past the function that counts."""
    keys = (f"m7:{{{namespace}}}:reports", f"m7:{{{namespace}}}:seen")
    (at_s, _) = _list(server.tell("TIME"))
    with link_of(server, namespace) as link:
        for number in range(count):
            uid = f"uid-{number:05}"
            text = reports.encode(replace(one, uid=uid))
            assert link.ask("HSET", keys[0], uid, text) == 1
            assert link.ask("ZADD", keys[1], int(str(at_s, "ascii")) * 1000, uid) == 1


def _list(answer: object) -> list[bytes]:
    assert isinstance(answer, list)
    return answer


async def reported(store: Store, namespace: str) -> dict[str, reports.Report]:
    found = await store.published({namespace: []})
    assert found is not None
    return dict(found[namespace].reports)


@EVERY_SERVER
@pytest.mark.promise("K9")
async def test_a_namespaces_reports_are_read_up_to_a_mebibyte_and_the_same_ones_each_time(
    program: Path, tmp_path: Path
) -> None:
    """Review of issue 5: 16 MiB of each of a few namespaces took the controller seconds."""
    with redis_servers.running(program, tmp_path) as server:
        async with storing(server) as store:
            await store.tend(["evil"], NOW)
            writes(server, "evil", 8, LARGE)
            each = len(reports.encode(LARGE))
            first = await reported(store, "evil")
            assert len(first) == reporting.MOST_REPORTED_BYTES // (each + 3)
            assert await reported(store, "evil") == first
            assert list(first) == sorted(first)


@EVERY_SERVER
@pytest.mark.promise("K9")
async def test_a_namespace_has_a_thousand_reports_at_most(program: Path, tmp_path: Path) -> None:
    with redis_servers.running(program, tmp_path) as server:
        async with storing(server) as store:
            await store.tend(["evil"], NOW)
            writes(server, "evil", 1100, REPORT)
            assert len(await reported(store, "evil")) == 1000
            with link_of(server, "evil") as link:
                keys = ("2", "m7:{evil}:reports", "m7:{evil}:seen")
                assert link.ask("FCALL", f"{LIBRARY}_report", *keys, "uid-x", "{}") == 3


@EVERY_SERVER
@pytest.mark.promise("K9")
async def test_a_report_that_stays_as_it_was_is_decoded_once(program: Path, tmp_path: Path) -> None:
    with redis_servers.running(program, tmp_path) as server:
        async with storing(server) as store:
            await store.tend(["shop"], NOW)
            writes(server, "shop", 2, REPORT)
            first = await reported(store, "shop")
            other = reports.encode(replace(REPORT, uid="uid-00001", bundle=8))
            server.tell("HSET", "m7:{shop}:reports", "uid-00001", other)
            second = await reported(store, "shop")
            assert second["uid-00000"] is first["uid-00000"]
            assert second["uid-00001"].bundle == 8


@EVERY_SERVER
@pytest.mark.promise("K9")
async def test_a_veto_is_published_while_reports_cannot_be_read(
    program: Path, tmp_path: Path
) -> None:
    """Reports travel on a connection of their own; what was read last stands while it is away."""
    with redis_servers.running(program, tmp_path) as server:
        server.tell("ACL", "SETUSER", "operator", "on", "nopass", "~*", "&*", "+@all")
        async with storing(server, user="operator") as store:
            await store.tend(["shop"], NOW)
            beside = _unused(server, "operator")
            writes(server, "shop", 1, REPORT)
            before = await reported(store, "shop")
            for one in beside:
                server.tell("CLIENT", "KILL", "ID", one)
            veto = Publish(kind=envelopes.Kind.OVERLAY, version=2, content=b"veto")
            assert await store.publish("shop", veto)
            assert await reported(store, "shop") == before != {}


def _unused(server: redis_servers.Server, user: str) -> list[str]:
    """The connections of a user that have asked for nothing yet."""
    listed = server.tell("CLIENT", "LIST")
    assert isinstance(listed, bytes)
    each = [dict(pair.split("=", 1) for pair in line.split(" ")) for line in _lines(listed)]
    return [one["id"] for one in each if one["user"] == user and one["cmd"] == "hello"]


def _lines(listed: bytes) -> list[str]:
    return listed.decode().strip().splitlines()
