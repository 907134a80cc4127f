"""What sidecars append is anchored and signed, and what somebody did to it is found."""

from collections.abc import Callable

import pytest

from mesh7_core import errors
from mesh7_core.delivery import keys
from mesh7_operator.anchoring.anchor import Trouble
from tests.core.ledger.redis_parts import EVERY_SERVER
from tests.operator.anchoring.streams import ONE, OTHER, OTHER_KEY, Writer
from tests.operator.controller.auditing.scene import (
    FIRST,
    INBOX,
    PLACE,
    SECOND,
    STREAM,
    Busy,
    Leader,
    Ring,
    Scene,
    verified,
)
from tests.operator.store.parts import link_of


@pytest.mark.promise("T5")
@EVERY_SERVER
async def test_what_sidecars_append_is_anchored_signed_and_verifies(
    scene: Scene, leader: Leader
) -> None:
    """Design 11: sidecars chain, the controller signs heads in an object."""
    one, other = Writer(), Writer(OTHER_KEY, "web-2")
    scene.send(one.blocks(2, 3), other.blocks(64), one.blocks(1), other.end())
    await leader.look()
    anchor = await scene.anchor()
    assert {name: each.head.hash for name, each in anchor.chains.items()} == {
        ONE: one.head.hash, OTHER: other.head.hash,
    }  # fmt: skip
    assert (anchor.entries, anchor.chains[OTHER].is_ended, leader.found()) == (4, True, {})
    found = await verified(scene, leader)
    assert (found.findings, found.records, found.newer) == ((), 70, 0)
    assert scene.server.tell("LLEN", INBOX) == 0


@EVERY_SERVER
async def test_an_anchor_is_written_only_when_something_changed(
    scene: Scene, leader: Leader
) -> None:
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
    scene: Scene, leader: Leader, what: str
) -> None:
    """Issue 8, faults: audit stream trimmed. No sidecar can; somebody with admin rights can."""
    writer = Writer()
    scene.send(*(writer.blocks(1) for _ in range(4)))
    await leader.look()
    scene.server.tell(*_ROBBERIES[what](scene.ids()))
    assert not (await verified(scene, leader)).is_whole
    await leader.look()
    await leader.look()
    assert leader.found() == {"cut": 1.0}
    assert Trouble.CUT in {one.trouble for one in (await scene.anchor()).findings}
    scene.send(writer.blocks(1))
    await leader.look()
    assert leader.found() == {"cut": 1.0}, "what comes later continues the chain"


@EVERY_SERVER
async def test_what_is_appended_while_the_extent_is_asked_for_is_no_cut(
    scene: Scene, leader: Leader
) -> None:
    """It was counted before: one ordinary record of a person was the gravest finding."""
    scene.send(Writer().blocks(1))
    await leader.look()
    successor = scene.lead(audit=Busy(scene.store.audit))
    for _ in range(3):
        await successor.look()
    assert successor.found() == {}
    assert (await verified(scene, successor)).is_whole


@pytest.mark.promise("T5")
@EVERY_SERVER
async def test_entries_that_are_put_into_the_stream_are_found(scene: Scene, leader: Leader) -> None:
    """Forged, and repeated, by whoever has the namespace's credentials."""
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
async def test_a_new_leader_goes_on_where_the_last_one_ended(scene: Scene, leader: Leader) -> None:
    """The brief of issue 8: operator restarted continues; with the next key, too."""
    writer = Writer()
    scene.send(writer.blocks(1), writer.blocks(2))
    await leader.look()
    scene.send(writer.blocks(1))
    rotated = scene.lead(Ring(SECOND, keys.endorse(FIRST, SECOND.public)))
    await rotated.look()
    assert rotated.found() == {}
    anchor = await scene.anchor(SECOND.public)
    assert (anchor.chains[ONE].head.hash, anchor.entries) == (writer.head.hash, 3)
    assert (await verified(scene, rotated)).findings == ()


@pytest.mark.promise("T5")
@EVERY_SERVER
async def test_an_anchor_that_somebody_changed_is_found_and_written_anew(
    scene: Scene, leader: Leader
) -> None:
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
    scene: Scene, leader: Leader, how: str
) -> None:
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


@pytest.mark.parametrize("is_first", [True, False])
@EVERY_SERVER
async def test_an_anchor_whose_answer_was_lost_is_nobody_elses(
    scene: Scene, leader: Leader, *, is_first: bool
) -> None:
    """The API server had written it; what came meanwhile made it look like somebody's change."""
    writer = Writer()
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
