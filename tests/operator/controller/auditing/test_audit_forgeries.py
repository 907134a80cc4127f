"""What whoever has a namespace's credentials, or Redis, tries on its audit; with real servers."""

from dataclasses import replace

import pytest

from mesh7_core.ledger.audit_entries import Kind, Segment
from mesh7_operator.anchoring.anchor import Trouble
from mesh7_operator.controller.auditing.looking_up import Trail
from mesh7_operator.querying import questions
from mesh7_operator.querying.answers import Answer
from tests.core.ledger.redis_parts import EVERY_SERVER
from tests.operator.anchoring.streams import ONE, Writer
from tests.operator.controller.auditing.scene import DAY_S, STREAM, Leader, Scene, verified


async def _answered(trail: Trail, **spec: object) -> list[object]:
    question = questions.read({"requestedBy": "jane", **spec})
    assert isinstance(question, questions.Question)
    answer = Answer(question, "shop")
    while not answer.is_full:
        entries = await trail.read_back("shop", before=answer.before)
        assert entries is not None
        answer.take(entries)
    found = answer.status()["records"]
    assert isinstance(found, list)
    return found


@pytest.mark.promise("T5")
@EVERY_SERVER
async def test_a_stream_that_was_wiped_stays_unsound_until_it_would_be_gone_anyway(
    scene: Scene, leader: Leader
) -> None:
    """Found by review: what the controller had noticed once, verifying did not tell again."""
    writer = Writer()
    scene.send(writer.blocks(2, 3))
    await leader.look()
    assert (await verified(scene, leader)).is_whole
    scene.server.tell("DEL", STREAM)
    await leader.look()
    scene.send(writer.blocks(1))
    await leader.look()
    found = await verified(scene, leader)
    assert [one.trouble for one in found.findings] == [Trouble.CUT]
    assert not (await verified(scene, scene.lead())).is_whole
    leader.later_s += 8 * DAY_S
    await leader.look()
    assert (await verified(scene, leader)).is_whole


@pytest.mark.promise("T5")
@EVERY_SERVER
async def test_no_forged_word_outlives_a_change_of_leaders(scene: Scene, leader: Leader) -> None:
    """Found by review: it moved a chain, or made an anchor that nobody could read any more."""
    writer = Writer()
    first = writer.blocks(2)
    scene.send(first)
    await leader.look()
    moved = replace(first, kind=Kind.WITHHELD, first=2, last=50, records=49, body=b"")
    endless = Segment(
        kind=Kind.WITHHELD, chain="z" * 12, first=1, last=1, hash="f" * 64, records=2**53,
    )  # fmt: skip
    scene.send(moved, endless, writer.blocks(3))
    await leader.look()
    assert leader.found() == {"forged": 2.0}
    successor = scene.lead()
    await successor.look()
    assert successor.found() == {}
    assert (await scene.anchor()).chains[ONE].head.hash == writer.head.hash
    assert len(await _answered(scene.store.audit)) == 5
