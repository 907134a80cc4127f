"""The audit of namespaces from Redis to signed anchors, with real servers of Redis."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from mesh7_core import errors
from mesh7_core.audit import deeds
from mesh7_core.audit.deeds import Act, Deed
from mesh7_core.delivery import keys
from mesh7_core.ledger import audit_entries, redis_layout
from mesh7_core.ledger.audit_entries import Entry, Segment
from mesh7_operator import metrics
from mesh7_operator.anchoring import evicting, writing
from mesh7_operator.anchoring.anchor import Anchor, Trouble
from mesh7_operator.anchoring.following import follow
from mesh7_operator.anchoring.trimming import Terms
from mesh7_operator.anchoring.verifying import Verified, Verifying
from mesh7_operator.clock import Clock
from mesh7_operator.cluster import api_server, resources, shapes
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.controller.auditing.anchoring import Auditing
from mesh7_operator.controller.auditing.anchors import Anchors, Kept
from mesh7_operator.controller.auditing.looking_up import Reader
from mesh7_operator.controller.auditing.making_room import MakingRoom, Room
from mesh7_operator.controller.auditing.recording import Begun, Recorder
from mesh7_operator.controller.posting import Poster
from mesh7_operator.reconciling.world import Keys, Written
from mesh7_operator.store.audit import Audit, Extent
from mesh7_operator.store.store import Store
from tests.core.ledger.redis_parts import EVERY_SERVER
from tests.fakes import api_server as fakes
from tests.operator.anchoring.streams import ONE, OTHER, OTHER_KEY, Writer, key_of
from tests.operator.store.parts import NOW, PATIENCE_S, link_of, storing, until_well
from tests.peers import redis_servers

RELEASE = "mesh7-system"
PLACE = (resources.CONFIG_MAPS, RELEASE, "mesh7-audit-shop")
INBOX = "m7a:{shop}:inbox"
STREAM = "m7a:{shop}:audit"
WEEK = Terms(retention=timedelta(days=7), most_bytes=32 * 1024 * 1024)
FIRST = keys.SigningKey(b"1" * 32)
SECOND = keys.SigningKey(b"2" * 32)


class _Ring:
    def __init__(self, signer: keys.SigningKey, *links: keys.Link) -> None:
        self.keys = Keys(signer=signer, links=links, stamps=())


class _Busy(Audit):
    """One to which the recorder of another term appends whenever its newest entry is asked for."""

    def __init__(self, audit: Audit) -> None:
        vars(self).update(vars(audit))
        self._other = Writer(None, "-", "-")

    async def read_back(
        self, namespace: str, *, before: str = "", limit: int = 1
    ) -> list[Entry] | None:
        assert await self.append(namespace, self._other.blocks(1))
        return await super().read_back(namespace, before=before, limit=limit)


class _Torn(Audit):
    """One that takes nothing away, as often as that."""

    def __init__(self, audit: Audit) -> None:
        vars(self).update(vars(audit))
        self.failures = 0

    async def trim(self, namespace: str, up_to: str) -> bool:
        return not self._is_torn() and await super().trim(namespace, up_to)

    async def remove(self, namespace: str, ids: Sequence[str]) -> bool:
        return not (ids and self._is_torn()) and await super().remove(namespace, ids)

    def _is_torn(self) -> bool:
        self.failures -= 1
        return self.failures >= 0


class _Overtaken(Audit):
    """One to which something comes once, in the middle of what its reader does.

    Attributes:
        after_extent: what comes once its extent is told.
        before_end: what comes when it is to be forgotten.
    """

    def __init__(self, audit: Audit) -> None:
        vars(self).update(vars(audit))
        self.after_extent: list[Callable[[], Awaitable[None]]] = []
        self.before_end: list[Callable[[], Awaitable[None]]] = []

    async def extent(self, namespace: str) -> Extent | None:
        found = await super().extent(namespace)
        while self.after_extent:
            await self.after_extent.pop()()
        return found

    async def forget_empty(self, namespace: str) -> bool:
        while self.before_end:
            await self.before_end.pop()()
        return await super().forget_empty(namespace)


class _Leader:
    """All that one term of leadership has of the audit; time begins with that of Redis."""

    def __init__(
        self, audit: Audit, api: ApiServer, terms: Terms, ring: _Ring, began_ns: int
    ) -> None:
        self.later_s = 0.0
        self._stopped_s = 0.0
        self.measured = metrics.ControllerMetrics(metrics.registry())
        self.ring = ring
        self.clock = clock = Clock(
            wall_ns=lambda: began_ns + int(self.later_s * 1e9),
            monotonic_s=self._monotonic_s,
        )
        begun = Begun(audit, lambda: self.auditing)
        self.recorder = Recorder(begun, secrets.token_bytes, clock)
        self.enrolled = ["shop"]
        self.auditing = Auditing(
            audit=audit,
            anchors=Anchors(
                api, RELEASE, ring, Poster(api, clock), clock=clock, may_write=lambda: True
            ),
            enrolled=lambda: self.enrolled,
            recorder=self.recorder,
            metrics=self.measured,
            clock=clock,
            terms=terms,
        )

    def _monotonic_s(self) -> float:
        if self._stopped_s:
            self.later_s += 6.0
        return (self._stopped_s or time.monotonic()) + self.later_s

    def hurry(self) -> None:
        """From now on a round has one turn, however fast or slow this machine is."""
        self._stopped_s = time.monotonic()

    async def look(self) -> None:
        """The next round, long after the one before."""
        self.later_s += 61.0
        await self.auditing.look()

    def found(self, namespace: str = "shop") -> dict[str, float]:
        """What was counted."""
        (family,) = self.measured.audit_findings.collect()
        return {
            one.labels["kind"]: one.value
            for one in family.samples
            if one.name.endswith("_total") and one.labels["namespace"] == namespace
        }


class _Scene:
    """A Redis, an API server, and the users of two namespaces."""

    def __init__(
        self,
        server: redis_servers.Server,
        store: Store,
        kept: fakes.ApiServer,
        api: ApiServer,
        terms: Terms,
    ) -> None:
        self.server = server
        self.kept = kept
        self.store = store
        self.api = api
        self._terms = terms

    def lead(self, ring: _Ring | None = None, audit: Audit | None = None) -> _Leader:
        """A new term."""
        told = self.server.tell("TIME")
        assert isinstance(told, list)
        began_ns = int(told[0]) * 1_000_000_000
        return _Leader(
            audit or self.store.audit, self.api, self._terms, ring or _Ring(FIRST), began_ns
        )

    def send(self, *segments: Segment, namespace: str = "shop") -> None:
        """As a sidecar of that namespace does."""
        key = redis_layout.Layout(namespace).audit_inbox
        with link_of(self.server, namespace) as link:
            for one in segments:
                assert isinstance(link.ask("RPUSH", key, audit_entries.written(one)), int)

    def put(self, *segments: Segment, days_ago: int) -> None:
        """The operator's, as they lie there after some days."""
        told = self.server.tell("TIME")
        assert isinstance(told, list)
        at_ms = (int(told[0]) - days_ago * 86_400) * 1000
        for number, one in enumerate(segments):
            fields = audit_entries.fields(one)
            self.server.tell("XADD", STREAM, f"{at_ms}-{number + 1}", *fields)

    def refuse_anchors(self, times: int) -> None:
        """The API server takes none, so many times."""
        self.kept.troubled_method, self.kept.troubled_path = "PUT", PLACE[2]
        self.kept.troubles = [(403, {})] * times

    async def config_map(self) -> dict[str, object]:
        return dict(await self.api.get(*PLACE))

    async def anchor(self, *roots: bytes) -> Anchor:
        """As somebody reads it who has the keys."""
        data = shapes.mapping(await self.config_map(), "data")
        found = writing.read(data, "shop", roots or (FIRST.public,))
        assert found is not None
        return found

    def ids(self) -> list[bytes]:
        """Of all that lies in the stream."""
        found = self.server.tell("XRANGE", STREAM, "-", "+")
        assert isinstance(found, list)
        return [one[0] for one in found]


async def _verified(scene: _Scene, leader: _Leader) -> Verified:
    async with leader.auditing.walk("shop") as anchor:
        assert anchor is not None
        walk, after = Verifying(anchor), ""
        while page := await scene.store.audit.read("shop", after=after):
            walk.take(page)
            after = page[-1].id
        return walk.end()


async def _waits(scene: _Scene) -> bool:
    return await scene.store.audit.waiting(["shop"]) == {"shop": 1}


async def _until(asked: Callable[[], Awaitable[bool]]) -> None:
    """Until the audit's own connection is there again, at most half a minute."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not await asked():
        if time.monotonic() > deadline_s:
            raise TimeoutError
        await asyncio.sleep(0.02)


@asynccontextmanager
async def _scene(
    program: Path, folder: Path, terms: Terms = WEEK
) -> AsyncIterator[tuple[_Scene, _Leader]]:
    measured = metrics.ApiMetrics(metrics.registry())
    with redis_servers.running(program, folder) as server:
        async with (
            storing(server) as store,
            fakes.serving() as kept,
            ApiServer(kept.connection, measured) as api,
        ):
            await until_well(store, ["shop", "bank"], NOW)
            kept.put(resources.NAMESPACES, {"metadata": {"name": RELEASE}})
            scene = _Scene(server, store, kept, api, terms)
            leader = scene.lead()
            await leader.look()
            yield scene, leader


@pytest.mark.promise("T5")
@EVERY_SERVER
async def test_what_sidecars_append_is_anchored_signed_and_verifies(
    program: Path, tmp_path: Path
) -> None:
    """Design 11: sidecars chain, the controller signs heads in an object."""
    async with _scene(program, tmp_path) as (scene, leader):
        one, other = Writer(), Writer(OTHER_KEY, "web-2")
        scene.send(one.blocks(2, 3), other.blocks(64), one.blocks(1), other.end())
        await leader.look()
        anchor = await scene.anchor()
        assert {name: each.head.hash for name, each in anchor.chains.items()} == {
            ONE: one.head.hash, OTHER: other.head.hash,
        }  # fmt: skip
        assert (anchor.entries, anchor.chains[OTHER].is_ended, leader.found()) == (4, True, {})
        found = await _verified(scene, leader)
        assert (found.findings, found.records, found.newer) == ((), 70, 0)
        assert scene.server.tell("LLEN", INBOX) == 0


@EVERY_SERVER
async def test_an_anchor_is_written_only_when_something_changed(
    program: Path, tmp_path: Path
) -> None:
    async with _scene(program, tmp_path) as (scene, leader):
        scene.send(Writer().blocks(1))
        await leader.look()
        before = await scene.config_map()
        await leader.look()
        assert await scene.config_map() == before


_ROBBERIES: dict[str, Callable[[list[bytes]], tuple[str | bytes | int, ...]]] = {
    "the tail": lambda ids: ("XDEL", STREAM, ids[-1]),
    "the middle": lambda ids: ("XDEL", STREAM, ids[1]),
    "the beginning": lambda _: ("XTRIM", STREAM, "MAXLEN", 2),
    "all": lambda _: ("DEL", STREAM),
}


@pytest.mark.promise("T5")
@pytest.mark.parametrize("what", _ROBBERIES)
@EVERY_SERVER
async def test_a_stream_that_somebody_with_all_rights_cut_is_found(
    program: Path, tmp_path: Path, what: str
) -> None:
    """Issue 8, faults: audit stream trimmed. No sidecar can; somebody with admin rights can."""
    async with _scene(program, tmp_path) as (scene, leader):
        writer = Writer()
        scene.send(*(writer.blocks(1) for _ in range(4)))
        await leader.look()
        scene.server.tell(*_ROBBERIES[what](scene.ids()))
        assert not (await _verified(scene, leader)).is_whole
        await leader.look()
        await leader.look()
        assert leader.found() == {"cut": 1.0}
        assert Trouble.CUT in {one.trouble for one in (await scene.anchor()).findings}
        scene.send(writer.blocks(1))
        await leader.look()
        assert leader.found() == {"cut": 1.0}, "what comes later continues the chain"


@EVERY_SERVER
async def test_what_is_appended_while_the_extent_is_asked_for_is_no_cut(
    program: Path, tmp_path: Path
) -> None:
    """It was counted before: one ordinary record of a person was the gravest finding."""
    async with _scene(program, tmp_path) as (scene, leader):
        scene.send(Writer().blocks(1))
        await leader.look()
        successor = scene.lead(audit=_Busy(scene.store.audit))
        for _ in range(3):
            await successor.look()
        assert successor.found() == {}
        assert (await _verified(scene, successor)).is_whole


@pytest.mark.promise("T5")
@EVERY_SERVER
async def test_entries_that_are_put_into_the_stream_are_found(
    program: Path, tmp_path: Path
) -> None:
    """Forged, and repeated, by whoever has the namespace's credentials."""
    async with _scene(program, tmp_path) as (scene, leader):
        writer, forger = Writer(), Writer()
        first, again = writer.blocks(1), forger.blocks(3)
        scene.send(first, again, writer.blocks(1))
        with link_of(scene.server, "shop") as link:
            link.ask("RPUSH", INBOX, "nothing of ours")
            link.ask("RPUSH", INBOX, b"x" * 2_000_000)
        await leader.look()
        assert leader.found() == {"repeated": 1.0, "forged": 2.0}
        assert (await scene.anchor()).chains[ONE].head.hash == writer.head.hash


@EVERY_SERVER
async def test_a_new_leader_goes_on_where_the_last_one_ended(program: Path, tmp_path: Path) -> None:
    """The brief of issue 8: operator restarted continues; with the next key, too."""
    async with _scene(program, tmp_path) as (scene, leader):
        writer = Writer()
        scene.send(writer.blocks(1), writer.blocks(2))
        await leader.look()
        scene.send(writer.blocks(1))
        rotated = scene.lead(_Ring(SECOND, keys.endorse(FIRST, SECOND.public)))
        await rotated.look()
        assert rotated.found() == {}
        anchor = await scene.anchor(SECOND.public)
        assert (anchor.chains[ONE].head.hash, anchor.entries) == (writer.head.hash, 3)
        assert (await _verified(scene, rotated)).findings == ()


@pytest.mark.promise("T5")
@EVERY_SERVER
async def test_an_anchor_that_somebody_changed_is_found_and_written_anew(
    program: Path, tmp_path: Path
) -> None:
    async with _scene(program, tmp_path) as (scene, leader):
        writer = Writer()
        scene.send(writer.blocks(1))
        await leader.look()
        await scene.api.merge(*PLACE, {"data": {"anchor": "{}"}})
        scene.send(writer.blocks(1))
        await leader.look()
        assert leader.found() == {"unanchored": 1.0}
        assert (await scene.anchor()).chains[ONE].head.hash == writer.head.hash


@pytest.mark.promise("T5")
@pytest.mark.parametrize("how", ["deleted", "changed"])
@EVERY_SERVER
async def test_an_anchor_that_is_lost_between_two_leaders_is_found(
    program: Path, tmp_path: Path, how: str
) -> None:
    async with _scene(program, tmp_path) as (scene, leader):
        writer = Writer()
        scene.send(writer.blocks(1))
        await leader.look()
        if how == "deleted":
            await scene.api.delete(*PLACE)
        else:
            await scene.api.merge(*PLACE, {"data": {"anchor": "{}"}})
        successor = scene.lead()
        await successor.look()
        assert successor.found() == {"unanchored": 1.0}
        assert (await scene.anchor()).chains[ONE].head.hash == writer.head.hash


@EVERY_SERVER
async def test_our_own_first_records_of_a_new_namespace_are_no_finding(
    program: Path, tmp_path: Path
) -> None:
    """They lay there before its first anchor: a leader that ended between left a finding."""
    async with _scene(program, tmp_path) as (scene, leader):
        leader.recorder.note("bank", b'{"bundle":{}}')
        assert await leader.recorder.flush()
        for one in (scene.lead(), scene.lead()):
            one.enrolled.append("bank")
            await one.look()
            assert one.found("bank") == {}
        successor = scene.lead()
        successor.enrolled.append("bank")
        await scene.api.delete(resources.CONFIG_MAPS, RELEASE, "mesh7-audit-bank")
        await successor.look()
        assert successor.found("bank") == {"unanchored": 1.0}


async def _asked(scene: _Scene, leader: _Leader, **spec: object) -> dict[str, object]:
    reader = Reader(scene.store.audit, leader.auditing, leader.recorder.note, leader.clock)
    value = {"metadata": {}, "spec": {"requestedBy": "jane", **spec}}
    query = Written(
        kind="AuditQuery", namespace="bank", name="q", uid="1", generation=1, value=value
    )
    try:
        return dict(await reader.answer(query))
    finally:
        reader.close()


@pytest.mark.parametrize("is_verify", [True, False])
@EVERY_SERVER
async def test_a_question_in_the_first_seconds_of_a_namespace_leaves_no_finding(
    program: Path, tmp_path: Path, *, is_verify: bool
) -> None:
    """It took in what sidecars had written before an anchor was there: as if one were lost."""
    async with _scene(program, tmp_path) as (scene, leader):
        leader.enrolled.append("bank")
        scene.send(Writer(namespace="bank").blocks(3), namespace="bank")
        status = await _asked(scene, leader, verify=is_verify)
        assert (status["phase"], status["scanned"]) == ("Done", 3)
        if is_verify:
            verified = status["verified"]
            assert isinstance(verified, dict)
            assert (verified["sound"], verified["findings"]) == (True, [])
        await leader.look()
        assert leader.found("bank") == {}


@pytest.mark.promise("T5")
@EVERY_SERVER
async def test_a_question_finds_that_the_anchor_was_deleted_before_this_term(
    program: Path, tmp_path: Path
) -> None:
    """A namespace that has records and no anchor is no new one, were they a second old."""
    async with _scene(program, tmp_path) as (scene, leader):
        leader.enrolled.append("bank")
        scene.send(Writer(namespace="bank").blocks(3), namespace="bank")
        await leader.look()
        await scene.api.delete(resources.CONFIG_MAPS, RELEASE, "mesh7-audit-bank")
        status = await _asked(scene, scene.lead(), verify=True)
        verified = status["verified"]
        assert isinstance(verified, dict)
        assert (verified["sound"], [one["kind"] for one in verified["findings"]]) == (
            False, ["unanchored"],
        )  # fmt: skip


@EVERY_SERVER
async def test_nothing_of_ours_is_written_while_no_anchor_can_be(
    program: Path, tmp_path: Path
) -> None:
    async with _scene(program, tmp_path) as (scene, leader):
        scene.kept.troubled_method, scene.kept.troubled_path = "POST", "configmaps"
        scene.kept.troubles = [(403, {})]
        leader.recorder.note("bank", b'{"bundle":{}}')
        assert not await leader.recorder.flush()
        assert scene.server.tell("EXISTS", "m7a:{bank}:audit") == 0
        assert await leader.recorder.flush()
        assert scene.server.tell("XLEN", "m7a:{bank}:audit") == 1


@pytest.mark.parametrize("is_first", [True, False])
@EVERY_SERVER
async def test_an_anchor_whose_answer_was_lost_is_nobody_elses(
    program: Path, tmp_path: Path, *, is_first: bool
) -> None:
    """The API server had written it; what came meanwhile made it look like somebody's change."""
    async with _scene(program, tmp_path) as (scene, before):
        leader, writer = before, Writer()
        if is_first:
            await scene.api.delete(*PLACE)
            leader = scene.lead()
        scene.send(writer.blocks(1))
        scene.kept.deaf_to = "POST" if is_first else "PUT"
        with pytest.raises(errors.ClusterError, match="in trouble"):
            await leader.look()
        assert scene.kept.deaf_to == ""
        scene.send(writer.blocks(1))
        await leader.look()
        assert leader.found() == {}
        assert (await scene.anchor()).chains[ONE].head.hash == writer.head.hash


def _evicted(found: Verified) -> list[str]:
    return [one.pod for one in found.findings if one.trouble is Trouble.EVICTED]


@pytest.mark.promise("T5")
@EVERY_SERVER
async def test_one_pods_flood_leaves_what_its_neighbours_and_people_did(
    program: Path, tmp_path: Path
) -> None:
    """docs/administrator/audit.md: `audit.maxBytes`; what went is said, and is no breach."""
    async with _scene(program, tmp_path, replace(WEEK, most_bytes=20_000)) as (scene, leader):
        neighbour, flood = Writer(OTHER_KEY, "web-2"), Writer()
        scene.send(neighbour.blocks(2))
        leader.recorder.note("shop", b'{"deed":"approve"}')
        assert await leader.recorder.flush()
        await leader.look()
        older = scene.ids()
        scene.send(*(flood.blocks(20) for _ in range(40)))
        await leader.look()
        await leader.recorder.flush()
        await leader.look()
        assert scene.ids()[:2] == older
        anchor = await scene.anchor()
        (gone,) = anchor.evicted
        assert (gone.pod, gone.uid, anchor.going) == ("web-1", "uid-of-web-1", ())
        assert len(scene.ids()) == anchor.entries
        assert leader.found() == {}
        (family,) = leader.measured.audit_evicted.collect()
        assert {one.value for one in family.samples if one.name.endswith("_total")} == {
            gone.records
        }
        found = await _verified(scene, leader)
        assert (found.is_whole, _evicted(found)) == (True, ["web-1"])
        last = (await scene.store.audit.read("shop") or [])[-1]
        assert last.segment is not None
        assert b'"trimmed":{"entries":0,"evicted":[{"pod":"web-1"' in last.segment.body


@EVERY_SERVER
async def test_a_leader_that_ends_while_entries_go_leaves_no_finding(
    program: Path, tmp_path: Path
) -> None:
    """They are named in the anchor first; the next leader takes them away."""
    async with _scene(program, tmp_path) as (scene, leader):
        flood = Writer()
        scene.send(*(flood.blocks(20) for _ in range(4)))
        await leader.look()
        anchor = await scene.anchor()
        census = evicting.Census(anchor)
        census.take(await scene.store.audit.read("shop") or [])
        found = evicting.excess(anchor, census.held, replace(WEEK, most_bytes=4000))
        going = tuple(one.id for one in found.gone)
        said = replace(evicting.evicted(anchor, found), going=going)
        made = writing.manifest(said, FIRST, (), release_namespace=RELEASE)
        await scene.api.merge(*PLACE, {"data": made["data"]})
        successor = scene.lead()
        await successor.look()
        assert successor.found() == {}
        assert len(scene.ids()) == (await scene.anchor()).entries == 4 - len(going)
        assert (await _verified(scene, successor)).is_whole


@asynccontextmanager
async def _due(
    program: Path, folder: Path, how: str
) -> AsyncIterator[tuple[_Scene, _Leader, _Torn]]:
    """Four entries; the older two are about to go, for they are old or too much."""
    terms = WEEK if how == "old" else replace(WEEK, most_bytes=4000)
    async with _scene(program, folder, terms) as (scene, _):
        writer, flood = Writer(None, "-", "-"), Writer()
        audit = _Torn(scene.store.audit)
        leader = scene.lead(audit=audit)
        if how == "old":
            scene.put(writer.blocks(1), writer.blocks(1), days_ago=6)
        else:
            scene.send(flood.blocks(64), flood.blocks(64))
            assert await scene.store.audit.gather("shop") == 0
        for _ in range(2):
            assert await scene.store.audit.append("shop", writer.blocks(1))
        yield scene, leader, audit


async def _look_on(leader: _Leader, how: str) -> None:
    leader.later_s += 2 * 86_400.0 if how == "old" else 0.0
    with contextlib.suppress(errors.ClusterError):
        await leader.look()


@pytest.mark.parametrize("how", ["old", "too much"])
@EVERY_SERVER
async def test_what_redis_did_not_take_away_goes_in_a_later_round_and_is_counted_once(
    program: Path, tmp_path: Path, how: str
) -> None:
    """It was subtracted from the anchor again each time, or stayed there as `repeated`."""
    async with _due(program, tmp_path, how) as (scene, leader, audit):
        audit.failures = 3
        await _look_on(leader, how)
        assert len(scene.ids()) == 4
        async with leader.auditing.walk("shop") as anchor:
            assert anchor is None, "what is half gone is not verified"
        for _ in range(3):
            await leader.look()
        assert len(scene.ids()) == (await scene.anchor()).entries == 2
        assert leader.found() == {}
        assert (await _verified(scene, leader)).is_whole
        scene.server.tell("XDEL", STREAM, *scene.ids())
        await leader.look()
        assert leader.found() == {"cut": 1.0}


@pytest.mark.parametrize("how", ["old", "too much"])
@EVERY_SERVER
async def test_nothing_goes_before_the_anchor_that_says_so_is_written(
    program: Path, tmp_path: Path, how: str
) -> None:
    """After one refusal the next round took away what no anchor named: a crash then was a cut."""
    async with _due(program, tmp_path, how) as (scene, leader, _):
        scene.refuse_anchors(50)
        another = Writer(OTHER_KEY, "web-2")
        before = scene.ids()
        for more in (0, 1):
            await _look_on(leader, how)
            assert len(scene.ids()) == 4 + more
            scene.send(another.blocks(64))
        scene.refuse_anchors(0)
        successor = scene.lead()
        successor.later_s = leader.later_s
        await successor.look()
        assert successor.found() == {}
        assert len(scene.ids()) == (await scene.anchor()).entries
        assert not {*before[:2]} & {*scene.ids()}
        assert {*before[2:]} <= {*scene.ids()}
        assert (await _verified(scene, successor)).is_whole


@EVERY_SERVER
async def test_what_is_ours_is_still_known_when_something_old_went(
    program: Path, tmp_path: Path
) -> None:
    """It was forgotten, and all that lies there read again to count it, at each trim."""
    async with _scene(program, tmp_path) as (scene, leader):
        writer = Writer(None, "-", "-")
        scene.put(writer.blocks(9), days_ago=9)
        assert await scene.store.audit.append("shop", writer.blocks(1))
        old, young = await scene.store.audit.read("shop") or []
        room = Room(own_bytes=old.size_bytes + young.size_bytes)
        kept = Kept(anchor=follow(Anchor(namespace="shop"), [old, young]).anchor)

        async def sign(_: str, kept: Kept) -> None:
            kept.signed = kept.anchor

        making = MakingRoom(
            scene.store.audit, sign, leader.recorder, enrolled=lambda: ["shop"],
            metrics=leader.measured, clock=leader.clock, terms=WEEK,
        )  # fmt: skip
        assert await making.make("shop", kept, room, old.id)
        assert (room.own_bytes, scene.ids()) == (young.size_bytes, [young.id.encode()])


@EVERY_SERVER
async def test_more_chains_at_once_than_an_anchor_holds_are_anchored_in_that_very_round(
    program: Path, tmp_path: Path
) -> None:
    """It was too large to be written in the eviction that was to shrink it."""
    async with _scene(program, tmp_path) as (scene, leader):
        names = range(100, 2100)
        scene.send(*(Writer(key_of(one), f"job-of-a-long-name-{one}").blocks(1) for one in names))
        while await scene.store.audit.gather("shop"):
            pass
        leader.hurry()
        for _ in range(20):
            await leader.look()
        anchor = await scene.anchor()
        assert anchor.last.encode() == scene.ids()[-1]
        assert anchor.folded.chains + len(anchor.chains) == len(names)
        assert len(scene.ids()) == anchor.entries
        assert leader.found() == {}
        assert (await _verified(scene, leader)).is_whole


@pytest.mark.promise("T5")
@pytest.mark.parametrize("how", ["old", "too much"])
@EVERY_SERVER
async def test_an_anchor_that_somebody_changed_is_found_while_entries_go(
    program: Path, tmp_path: Path, how: str
) -> None:
    """What says so was not looked at there: they went unsigned, and nobody was told."""
    async with _due(program, tmp_path, how) as (scene, leader, _):
        scene.refuse_anchors(50)
        await _look_on(leader, how)
        scene.refuse_anchors(0)
        await scene.api.merge(*PLACE, {"data": {"anchor": "{}"}})
        await leader.look()
        assert leader.found() == {"unanchored": 1.0}
        assert len(scene.ids()) == (await scene.anchor()).entries == 2


@pytest.mark.promise("T5")
@EVERY_SERVER
async def test_verifying_again_and_again_does_not_stop_anchoring(
    program: Path, tmp_path: Path
) -> None:
    """An auditor who only reads kept the controller from anchoring, and from letting go."""
    async with _scene(program, tmp_path, replace(WEEK, most_bytes=20_000)) as (scene, leader):
        writer = Writer()
        for _ in range(5):
            scene.send(*(writer.blocks(20) for _ in range(4)))
            async with leader.auditing.walk("shop") as anchor:
                assert anchor is not None
                await leader.look()
                assert scene.server.tell("LLEN", INBOX) == 0
                assert (await scene.anchor()).chains[ONE].head == replace(
                    writer.head, first=(await scene.anchor()).chains[ONE].head.first
                )
        found = await _verified(scene, leader)
        assert (found.is_whole, found.newer) == (True, 0)
        assert (await scene.anchor()).size_bytes <= 20_000, "the next walk lets go first"


@EVERY_SERVER
async def test_a_walk_under_which_too_much_had_to_go_says_so(program: Path, tmp_path: Path) -> None:
    """Redis is not filled because somebody verifies."""
    async with _scene(program, tmp_path, replace(WEEK, most_bytes=10_000)) as (scene, leader):
        writer = Writer()

        async def flooded() -> None:
            async with leader.auditing.walk("shop"):
                scene.send(*(writer.blocks(20) for _ in range(20)))
                await leader.look()

        with pytest.raises(errors.ClusterError, match="ask again"):
            await flooded()
        assert (await scene.anchor()).size_bytes <= 10_000
        assert (await _verified(scene, leader)).is_whole


@pytest.mark.promise("T5")
@EVERY_SERVER
async def test_a_cut_during_a_lasting_flood_is_found_in_it(program: Path, tmp_path: Path) -> None:
    """It was looked for only once everything that came was read."""
    async with _scene(program, tmp_path) as (scene, leader):
        writer = Writer()
        scene.send(*(writer.blocks(1) for _ in range(4)))
        await leader.look()
        scene.server.tell("XDEL", STREAM, scene.ids()[1])
        scene.send(*(writer.blocks(1) for _ in range(600)))
        for _ in range(3):
            await scene.store.audit.gather("shop")
        leader.hurry()
        await leader.look()
        assert leader.found() == {"cut": 1.0}


@EVERY_SERVER
async def test_what_is_verified_where_nobody_is_enrolled_leaves_nothing_for_ever(
    program: Path, tmp_path: Path
) -> None:
    """That somebody asked is recorded there; it goes by its age with the anchor."""
    async with _scene(program, tmp_path) as (scene, leader):
        async with leader.auditing.walk("bank") as anchor:
            assert anchor is not None
        leader.recorder.note("bank", b'{"deed":"audit"}')
        assert await leader.recorder.flush()
        await leader.look()
        assert leader.found("bank") == {}
        leader.later_s += 8 * 86_400.0
        await leader.look()
        assert scene.server.tell("EXISTS", "m7a:{bank}:audit") == 0
        with pytest.raises(api_server.NotFound):
            await scene.api.get(resources.CONFIG_MAPS, RELEASE, "mesh7-audit-bank")


@EVERY_SERVER
async def test_our_own_records_of_a_namespace_of_which_all_went_are_no_gap(
    program: Path, tmp_path: Path
) -> None:
    """Our chain went on where nothing was left of it: its first blocks never came."""
    async with _scene(program, tmp_path) as (scene, leader):
        for _ in range(2):
            leader.recorder.note("bank", b'{"deed":"audit"}')
            assert await leader.recorder.flush()
            await leader.look()
            assert leader.found("bank") == {}
            leader.later_s += 8 * 86_400.0
            await leader.look()
            assert scene.server.tell("EXISTS", "m7a:{bank}:audit") == 0


@pytest.mark.promise("T5")
@pytest.mark.parametrize("what", ["a deed", "a segment"])
@EVERY_SERVER
async def test_what_comes_while_an_empty_audit_is_let_go_stays(
    program: Path, tmp_path: Path, what: str
) -> None:
    """It was acknowledged, and then deleted: a person's deed was gone without a finding."""
    async with _scene(program, tmp_path) as (scene, _):
        audit = _Overtaken(scene.store.audit)
        leader = scene.lead(audit=audit)
        await leader.look()
        leader.enrolled.clear()

        async def deed() -> None:
            leader.recorder.note("shop", b'{"deed":"approve"}')
            assert await leader.recorder.flush()

        async def segment() -> None:
            scene.send(Writer().blocks(1))

        if what == "a deed":
            audit.after_extent.append(deed)
        else:
            audit.before_end.append(segment)
        await leader.look()
        assert not audit.after_extent
        assert not audit.before_end
        await leader.look()
        assert (len(scene.ids()), (await scene.anchor()).entries) == (1, 1)
        assert leader.found() == {}
        assert (await _verified(scene, leader)).is_whole


@pytest.mark.promise("T5")
@EVERY_SERVER
async def test_a_deed_while_an_audit_is_let_go_begins_it_anew(
    program: Path, tmp_path: Path
) -> None:
    """Sealed before it waited, it went on with a chain of which nothing was left."""
    async with _scene(program, tmp_path) as (scene, _):
        audit = _Overtaken(scene.store.audit)
        leader = scene.lead(audit=audit)
        leader.recorder.note("bank", b'{"deed":"audit"}')
        assert await leader.recorder.flush()
        await leader.look()
        flushed: list[asyncio.Task[bool]] = []

        async def deed() -> None:
            leader.recorder.note("bank", b'{"deed":"approve"}')
            flushed.append(asyncio.create_task(leader.recorder.flush()))

        audit.before_end.append(deed)
        leader.later_s += 8 * 86_400.0
        await leader.look()
        assert await flushed[0]
        (entry,) = await scene.store.audit.read("bank") or []
        assert entry.segment is not None
        assert entry.segment.first == 1
        await leader.look()
        assert leader.found("bank") == {}


@EVERY_SERVER
async def test_nothing_is_remembered_of_a_namespace_that_has_no_anchor(
    program: Path, tmp_path: Path
) -> None:
    """Two locks for each that was ever seen in a term."""
    async with _scene(program, tmp_path) as (scene, leader):
        known = vars(leader.auditing)["_known"]
        leader.enrolled.clear()
        await leader.look()
        assert not known
        scene.server.kill()
        leader.enrolled.append("bank")
        assert not await leader.auditing.begin("bank")
        async with leader.auditing.walk("bank"):
            assert set(known) == {"bank"}, "one lock for all who walk"
        await leader.look()
        assert not known


@EVERY_SERVER
async def test_the_audit_of_a_namespace_that_left_goes_by_its_age(
    program: Path, tmp_path: Path
) -> None:
    """Whoever may un-enrol a namespace does not remove what was recorded there."""
    async with _scene(program, tmp_path) as (scene, leader):
        scene.send(Writer().blocks(1))
        await leader.look()
        leader.enrolled.clear()
        await leader.look()
        assert len(scene.ids()) == 1
        leader.later_s += 8 * 86_400.0
        await leader.look()
        assert scene.server.tell("EXISTS", STREAM) == 0
        with pytest.raises(api_server.NotFound):
            await scene.config_map()


@EVERY_SERVER
async def test_a_namespace_that_floods_delays_no_other(program: Path, tmp_path: Path) -> None:
    """The brief of issue 8: bounded batches, in turns."""
    async with _scene(program, tmp_path) as (scene, leader):
        leader.enrolled.append("bank")
        flood, writer = Writer(), Writer(OTHER_KEY, namespace="bank")
        scene.send(*(flood.blocks(1) for _ in range(1500)))
        scene.send(writer.blocks(1), namespace="bank")
        await leader.look()
        found = await scene.api.get(resources.CONFIG_MAPS, RELEASE, "mesh7-audit-bank")
        anchor = writing.read(shapes.mapping(found, "data"), "bank", (FIRST.public,))
        assert anchor is not None
        assert anchor.chains[OTHER].head.hash == writer.head.hash


@EVERY_SERVER
async def test_a_redis_that_lost_everything_is_found_and_chains_go_on(
    program: Path, tmp_path: Path
) -> None:
    """Issue 8, faults: Redis killed."""
    async with _scene(program, tmp_path) as (scene, leader):
        writer = Writer()
        scene.send(writer.blocks(1))
        await leader.look()
        scene.server.kill()
        await leader.look()
        scene.server.start()
        await until_well(scene.store, ["shop", "bank"], NOW)
        scene.send(writer.blocks(1))
        await _until(lambda: _waits(scene))
        await leader.look()
        await leader.look()
        assert leader.found() == {"cut": 1.0}
        assert (await scene.anchor()).chains[ONE].head.hash == writer.head.hash


@pytest.mark.promise("T5")
@EVERY_SERVER
async def test_a_persons_decision_waits_for_a_redis_that_is_away(
    program: Path, tmp_path: Path
) -> None:
    """The brief of issue 8: a person's decision is never lost."""
    async with _scene(program, tmp_path) as (scene, leader):
        scene.server.kill()
        deed = Deed(at_ns=0, act=Act.APPROVE, person="ann", name="ann", evidence="")
        leader.recorder.note("shop", deeds.line(deed))
        assert not await leader.recorder.flush()
        scene.server.start()
        await until_well(scene.store, ["shop", "bank"], NOW)
        await _until(leader.recorder.flush)
        await leader.recorder.close()
        await leader.look()
        anchor = await scene.anchor()
        (own,) = anchor.chains.values()
        assert (own.is_operators, own.is_ended, own.head.total) == (True, True, 1)
        (entry, _) = await scene.store.audit.read("shop") or []
        assert entry.segment is not None
        assert b'"deed":"approve","by":{"person":"ann"' in entry.segment.body
        assert leader.found() == {}
