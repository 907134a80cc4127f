"""More than the controller keeps: what goes is said first, and is no breach."""

from dataclasses import replace

import pytest

from mesh7_core import errors
from mesh7_operator.anchoring import evicting, writing
from mesh7_operator.anchoring.anchor import Trouble
from mesh7_operator.anchoring.trimming import Terms
from mesh7_operator.anchoring.verifying import Verified
from tests.core.ledger.redis_parts import EVERY_SERVER
from tests.operator.anchoring.streams import ONE, OTHER_KEY, Writer
from tests.operator.controller.auditing.scene import (
    FIRST,
    INBOX,
    PLACE,
    RELEASE,
    WEEK,
    Leader,
    Scene,
    verified,
)


@pytest.fixture
def terms() -> Terms:
    return replace(WEEK, most_bytes=20_000)


def _evicted(found: Verified) -> list[str]:
    return [one.pod for one in found.findings if one.trouble is Trouble.EVICTED]


@pytest.mark.promise("T5")
@EVERY_SERVER
async def test_one_pods_flood_leaves_what_its_neighbours_and_people_did(
    scene: Scene, leader: Leader
) -> None:
    """docs/administrator/audit.md: `audit.maxBytes`; what went is said, and is no breach."""
    neighbour, flood = Writer(OTHER_KEY, "web-2"), Writer()
    scene.send(neighbour.blocks(2))
    assert await leader.recorded("shop", b'{"deed":"approve"}')
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
    assert {one.value for one in family.samples if one.name.endswith("_total")} == {gone.records}
    found = await verified(scene, leader)
    assert (found.is_whole, _evicted(found)) == (True, ["web-1"])
    last = (await scene.store.audit.read("shop") or [])[-1]
    assert last.segment is not None
    assert b'"trimmed":{"entries":0,"evicted":[{"pod":"web-1"' in last.segment.body


@pytest.mark.promise("T5")
@EVERY_SERVER
async def test_verifying_again_and_again_does_not_stop_anchoring(
    scene: Scene, leader: Leader
) -> None:
    """An auditor who only reads kept the controller from anchoring, and from letting go."""
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
    found = await verified(scene, leader)
    assert (found.is_whole, found.newer) == (True, 0)
    assert (await scene.anchor()).size_bytes <= 20_000, "the next walk lets go first"


@EVERY_SERVER
async def test_a_walk_under_which_too_much_had_to_go_says_so(scene: Scene, leader: Leader) -> None:
    """Redis is not filled because somebody verifies."""
    writer = Writer()

    async def flooded() -> None:
        async with leader.auditing.walk("shop"):
            scene.send(*(writer.blocks(20) for _ in range(40)))
            await leader.look()

    with pytest.raises(errors.ClusterError, match="ask again"):
        await flooded()
    assert (await scene.anchor()).size_bytes <= 20_000
    assert (await verified(scene, leader)).is_whole


@EVERY_SERVER
async def test_a_leader_that_ends_while_entries_go_leaves_no_finding(
    scene: Scene, leader: Leader
) -> None:
    """They are named in the anchor first; the next leader takes them away."""
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
    assert (await verified(scene, successor)).is_whole
