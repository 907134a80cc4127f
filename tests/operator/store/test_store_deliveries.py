"""Bundles out, reports and uses in; a server that is away is a state, not an exception."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from mesh7_core.delivery import envelopes, reports
from mesh7_core.ledger.deliveries import Versions
from mesh7_core.ledger.redis import RedisLedger
from mesh7_operator.reconciling.plan import Publish
from mesh7_operator.reconciling.world import Published, StoreState
from tests.conftest import Eventually
from tests.core.ledger.redis_parts import EVERY_SERVER
from tests.operator.store.parts import LIBRARY, NOW, libraries, link_of, storing, user_of
from tests.peers import redis_servers

REPORT = reports.Report(
    pod="web-1", uid="uid-1", agent="support", labels={"app": "support"}, release="0.1.0",
    bundle=7, overlay=3, origin=reports.Origin.REDIS,
)  # fmt: skip


def sha1(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


def bundle(version: int, content: bytes = b"bundle", *, force: bool = False) -> Publish:
    return Publish(kind=envelopes.Kind.BUNDLE, version=version, content=content, force=force)


def overlay(version: int, content: bytes = b"overlay") -> Publish:
    return Publish(kind=envelopes.Kind.OVERLAY, version=version, content=content)


@EVERY_SERVER
@pytest.mark.promise("K4")
async def test_what_the_operator_publishes_reaches_the_namespaces_sidecars(
    program: Path, tmp_path: Path
) -> None:
    with redis_servers.running(program, tmp_path) as server:
        async with storing(server) as store:
            await store.tend(["shop"], NOW)
            assert await store.publish("shop", overlay(5))
            assert await store.publish("shop", bundle(7))
            sidecar = RedisLedger(
                replace(user_of("shop"), port=server.port), "shop", load=False, delivers=True
            )
            await sidecar.start()
            assert await sidecar.deliveries.versions() == Versions(7, 5)
            assert await sidecar.deliveries.fetch(envelopes.Kind.OVERLAY) == b"overlay"
            assert await sidecar.deliveries.report("uid-1", reports.encode(REPORT))
            assert sidecar.trouble() == ""
            await sidecar.close()
            assert await store.published({"shop": [], "bank": []}) == {
                "shop": Published(
                    bundle=7,
                    overlay=5,
                    bundle_sha1=sha1(b"bundle"),
                    overlay_sha1=sha1(b"overlay"),
                    reports={"uid-1": REPORT},
                ),
                "bank": Published(),
            }


@EVERY_SERVER
@pytest.mark.promise("K9")
async def test_a_leader_of_old_does_not_overwrite_the_new_ones_bundle(
    program: Path, tmp_path: Path
) -> None:
    """Issue 5, faults: versions monotonic, no double publish."""
    with redis_servers.running(program, tmp_path) as server:
        async with storing(server) as new, storing(server) as old:
            await new.tend([], NOW)
            assert await new.publish("shop", bundle(12, b"new"))
            assert not await old.publish("shop", bundle(11, b"old"))
            assert server.tell("HGET", "m7b:{shop}:bundle", "t") == b"new"
            assert old.state is StoreState.CONNECTED


@EVERY_SERVER
@pytest.mark.promise("K9")
async def test_a_forged_bundle_is_seen_and_overwritten_when_forced(
    program: Path, tmp_path: Path
) -> None:
    """Issue 5, faults: Redis forged."""
    with redis_servers.running(program, tmp_path) as server:
        async with storing(server) as store:
            await store.tend([], NOW)
            await store.publish("shop", bundle(12))
            server.tell("HSET", "m7b:{shop}:bundle", "t", "forged")
            found = await store.published({"shop": []})
            assert found is not None
            assert found["shop"].bundle_sha1 == sha1(b"forged")
            server.tell("HSET", "m7b:{shop}:bundle", "v", "900000000000000")
            assert not await store.publish("shop", bundle(13))
            assert await store.publish("shop", bundle(13, force=True))
            found = await store.published({"shop": []})
            assert found is not None
            assert (found["shop"].bundle, found["shop"].bundle_sha1) == (
                13, sha1(b"bundle"),
            )  # fmt: skip


@EVERY_SERVER
@pytest.mark.promise("K9")
async def test_a_tenant_that_fills_the_memory_keeps_no_veto_from_travelling(
    program: Path, tmp_path: Path
) -> None:
    """Revocations travel first; the tenant itself can write no more, and may not use that way."""
    with redis_servers.running(program, tmp_path) as server:
        async with storing(server) as store:
            await store.tend(["shop"], NOW)
            server.tell("CONFIG", "SET", "maxmemory", "1")
            assert await store.publish("shop", overlay(5))
            assert await store.published({"shop": []}) is not None
            with link_of(server, "shop") as link:
                keys = ["2", "m7:{shop}:a", "m7:{shop}:b"]
                answer = link.ask("FCALL", f"{LIBRARY}_report", *keys, "uid", "{}")
                assert str(answer).startswith("OOM"), answer
                answer = link.ask("FCALL", f"{LIBRARY}_deliver", *keys, "9", "x", "c", "1")
                assert _may_not(answer), answer


def _may_not(answer: object) -> bool:
    """Refused for lack of rights, in the words of Redis and of Valkey."""
    return any(word in str(answer) for word in ("can't run this command", "NOPERM", "ACL"))


@EVERY_SERVER
async def test_uses_of_grants_are_counted_by_their_name(program: Path, tmp_path: Path) -> None:
    with redis_servers.running(program, tmp_path) as server:
        async with storing(server) as store:
            await store.tend([], NOW)
            server.tell("SET", "m7:{shop}:g:shop/refunds@17@18", "4")
            server.tell("SET", "m7:{shop}:g:shop/refunds@16@18", "9")
            found = await store.published({"shop": ["shop/refunds@17@18", "shop/other@1@2"]})
            assert found == {"shop": Published(uses={"shop/refunds": 4, "shop/other": 0})}


@EVERY_SERVER
@pytest.mark.promise("K9")
async def test_what_a_tenant_writes_harms_nobody_but_itself(program: Path, tmp_path: Path) -> None:
    with redis_servers.running(program, tmp_path) as server:
        async with storing(server) as store:
            await store.tend([], NOW)
            await store.publish("bank", bundle(1))
            server.tell("SET", "m7:{shop}:reports", "text")
            server.tell("HSET", "m7:{shop}:g:shop/a@1@2", "a", "b")
            server.tell("SET", "m7:{mall}:g:mall/a@1@2", "many")
            wanted = {"shop": ["shop/a@1@2"], "mall": ["mall/a@1@2"], "bank": []}
            found = await store.published(wanted)
            assert found is not None
            assert [found[name].bundle for name in ("shop", "mall", "bank")] == [0, 0, 1]
            assert found["shop"] == found["mall"] == Published()
            assert store.state is StoreState.CONNECTED
            assert server.tell("EXISTS", "m7:{shop}:reports") == 0, "sidecars can report again"


@EVERY_SERVER
async def test_reports_that_are_none_are_not_seen(program: Path, tmp_path: Path) -> None:
    with redis_servers.running(program, tmp_path) as server:
        async with storing(server) as store:
            await store.tend([], NOW)
            for uid, text in (
                ("uid-1", reports.encode(REPORT)),
                ("uid-2", reports.encode(REPORT)),
                ("uid-3", b"{}"),
                ("uid-4", b"\xff"),
            ):
                server.tell("FCALL", f"{LIBRARY}_report", 2, "m7:{shop}:reports",
                            "m7:{shop}:seen", uid, text)  # fmt: skip
            found = await store.published({"shop": []})
            assert found is not None
            assert found["shop"].reports == {"uid-1": REPORT}


@EVERY_SERVER
@pytest.mark.promise("K8")
async def test_a_lost_server_is_a_state_and_comes_back(
    program: Path, tmp_path: Path, eventually: Eventually
) -> None:
    """Issue 5, faults: Redis down, and empty afterwards."""
    with redis_servers.running(program, tmp_path) as server:
        async with storing(server) as store:
            await store.tend(["shop"], NOW)
            server.kill()
            assert await store.published({"shop": []}) is None
            assert not await store.publish("shop", bundle(1))
            assert not await store.forget("shop")
            assert not (await store.tend(["shop"], NOW)).is_kept
            assert store.state is StoreState.LOST
            assert f"redis at 127.0.0.1:{server.port}" in store.trouble
            server.start()
            await eventually(lambda: store.state is StoreState.CONNECTED)
            assert await store.published({"shop": []}) == {"shop": Published()}
            assert await store.publish("shop", bundle(1))
            assert LIBRARY in libraries(server), "it is loaded as soon as it is missed"


@EVERY_SERVER
async def test_a_server_that_never_answers_does_not_keep_the_controller(
    program: Path, tmp_path: Path
) -> None:
    with redis_servers.running(program, tmp_path) as server:
        async with storing(server) as store:
            await store.tend([], NOW)
            server.freeze()
            assert await store.published({f"ns-{number}": [] for number in range(500)}) is None


@EVERY_SERVER
async def test_five_hundred_namespaces_are_read_in_one_go(program: Path, tmp_path: Path) -> None:
    """Issue 5: 500 namespaces; what is asked of Redis for them is sent many at once."""
    wanted = {f"ns-{number}": [f"ns-{number}/g@1@2"] for number in range(500)}
    with redis_servers.running(program, tmp_path) as server:
        async with redis_servers.proxying(server.port) as proxy, storing(proxy) as store:
            report = await store.tend(wanted, NOW)
            assert report.nodes[0].made == 1500
            for namespace in wanted:
                assert await store.publish(namespace, bundle(1, b"x" * 10_000))
            proxy.writes.clear()
            found = await store.published(wanted)
            assert found is not None
            assert {one.bundle for one in found.values()} == {1}
            assert (await store.tend(wanted, NOW)).nodes[0].made == 0
            assert len(proxy.writes) < 150


@EVERY_SERVER
@pytest.mark.promise("K9")
async def test_what_lies_there_can_be_looked_at_unless_it_cannot_be_ours(
    program: Path, tmp_path: Path
) -> None:
    """R1, 11: a version from the future is ours if its envelope says so."""
    with redis_servers.running(program, tmp_path) as server:
        async with storing(server) as store:
            assert await store.envelope("shop", envelopes.Kind.BUNDLE) is None
            assert await store.publish("shop", bundle(7))
            assert await store.envelope("shop", envelopes.Kind.BUNDLE) == b"bundle"
            huge = bytes(envelopes.MAXIMUM_SEALED_BYTES + 1)
            assert await store.publish("shop", bundle(8, huge))
            assert await store.envelope("shop", envelopes.Kind.BUNDLE) is None
