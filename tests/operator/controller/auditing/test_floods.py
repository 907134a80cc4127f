"""So much at once that it is read in turns: nothing is overlooked, and nobody waits."""

import pytest

from tests.core.ledger.redis_parts import EVERY_SERVER
from tests.operator.anchoring.streams import OTHER, OTHER_KEY, Writer, key_of
from tests.operator.controller.auditing.scene import (
    STREAM,
    Leader,
    Scene,
    verified,
)


@EVERY_SERVER
async def test_a_namespace_that_floods_delays_no_other(scene: Scene, leader: Leader) -> None:
    """The brief of issue 8: bounded batches, in turns."""
    leader.enrolled.append("bank")
    flood, writer = Writer(), Writer(OTHER_KEY, namespace="bank")
    scene.send(*(flood.blocks(1) for _ in range(1500)))
    scene.send(writer.blocks(1), namespace="bank")
    await leader.look()
    anchor = await scene.anchor(namespace="bank")
    assert anchor.chains[OTHER].head.hash == writer.head.hash


@pytest.mark.promise("T5")
@EVERY_SERVER
async def test_a_cut_during_a_lasting_flood_is_found_in_it(scene: Scene, leader: Leader) -> None:
    """It was looked for only once everything that came was read."""
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
async def test_more_chains_at_once_than_an_anchor_holds_are_anchored_in_that_very_round(
    scene: Scene, leader: Leader
) -> None:
    """It was too large to be written in the eviction that was to shrink it."""
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
    assert (await verified(scene, leader)).is_whole
