"""What goes by its age, at last the whole audit; nothing that comes meanwhile."""

import asyncio

import pytest

from mesh7_operator.anchoring.anchor import Anchor
from mesh7_operator.anchoring.following import follow
from mesh7_operator.cluster import api_server
from mesh7_operator.controller.auditing.anchors import Kept
from mesh7_operator.controller.auditing.making_room import MakingRoom, Room
from tests.core.ledger.redis_parts import EVERY_SERVER
from tests.operator.anchoring.streams import Writer
from tests.operator.controller.auditing.scene import (
    BANK_STREAM,
    DAY_S,
    STREAM,
    WEEK,
    Leader,
    Overtaken,
    Scene,
    verified,
)


@EVERY_SERVER
async def test_the_audit_of_a_namespace_that_left_goes_by_its_age(
    scene: Scene, leader: Leader
) -> None:
    """Whoever may un-enrol a namespace does not remove what was recorded there."""
    scene.send(Writer().blocks(1))
    await leader.look()
    leader.enrolled.clear()
    await leader.look()
    assert len(scene.ids()) == 1
    leader.later_s += 8 * DAY_S
    await leader.look()
    assert scene.server.tell("EXISTS", STREAM) == 0
    with pytest.raises(api_server.NotFound):
        await scene.config_map()


@EVERY_SERVER
async def test_what_is_ours_is_still_known_when_something_old_went(
    scene: Scene, leader: Leader
) -> None:
    """It was forgotten, and all that lies there read again to count it, at each trim."""
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
async def test_what_is_verified_where_nobody_is_enrolled_leaves_nothing_for_ever(
    scene: Scene, leader: Leader
) -> None:
    """That somebody asked is recorded there; it goes by its age with the anchor."""
    async with leader.auditing.walk("bank") as anchor:
        assert anchor is not None
    assert await leader.recorded("bank", b'{"deed":"audit"}')
    await leader.look()
    assert leader.found("bank") == {}
    leader.later_s += 8 * DAY_S
    await leader.look()
    assert scene.server.tell("EXISTS", BANK_STREAM) == 0
    with pytest.raises(api_server.NotFound):
        await scene.config_map("bank")


@EVERY_SERVER
async def test_our_own_records_of_a_namespace_of_which_all_went_are_no_gap(
    scene: Scene, leader: Leader
) -> None:
    """Our chain went on where nothing was left of it: its first blocks never came."""
    for _ in range(2):
        assert await leader.recorded("bank", b'{"deed":"audit"}')
        await leader.look()
        assert leader.found("bank") == {}
        leader.later_s += 8 * DAY_S
        await leader.look()
        assert scene.server.tell("EXISTS", BANK_STREAM) == 0


@pytest.mark.promise("T5")
@pytest.mark.parametrize("what", ["a deed", "a segment"])
@EVERY_SERVER
async def test_what_comes_while_an_empty_audit_is_let_go_stays(scene: Scene, what: str) -> None:
    """It was acknowledged, and then deleted: a person's deed was gone without a finding."""
    audit = Overtaken(scene.store.audit)
    leader = scene.lead(audit=audit)
    await leader.look()
    leader.enrolled.clear()

    async def deed() -> None:
        assert await leader.recorded("shop", b'{"deed":"approve"}')

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
    assert (await verified(scene, leader)).is_whole


@pytest.mark.promise("T5")
@EVERY_SERVER
async def test_a_deed_while_an_audit_is_let_go_begins_it_anew(scene: Scene) -> None:
    """Sealed before it waited, it went on with a chain of which nothing was left."""
    audit = Overtaken(scene.store.audit)
    leader = scene.lead(audit=audit)
    assert await leader.recorded("bank", b'{"deed":"audit"}')
    await leader.look()
    flushed: list[asyncio.Task[bool]] = []

    async def deed() -> None:
        leader.recorder.note("bank", b'{"deed":"approve"}')
        flushed.append(asyncio.create_task(leader.recorder.flush()))

    audit.before_end.append(deed)
    leader.later_s += 8 * DAY_S
    await leader.look()
    assert await flushed[0]
    (entry,) = await scene.store.audit.read("bank") or []
    assert entry.segment is not None
    assert entry.segment.first == 1
    await leader.look()
    assert leader.found("bank") == {}


@EVERY_SERVER
async def test_nothing_is_remembered_of_a_namespace_that_has_no_anchor(
    scene: Scene, leader: Leader
) -> None:
    """Two locks for each that was ever seen in a term."""
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
