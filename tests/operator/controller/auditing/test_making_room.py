"""Entries that are about to go, by age or size, and what comes between: nothing goes unsaid."""

import contextlib
from dataclasses import replace

import pytest

from mesh7_core import errors
from mesh7_operator.anchoring.trimming import Terms
from tests.core.ledger.redis_parts import EVERY_SERVER
from tests.operator.anchoring.streams import OTHER_KEY, Writer
from tests.operator.controller.auditing.scene import (
    DAY_S,
    PLACE,
    STREAM,
    WEEK,
    Leader,
    Scene,
    Torn,
    verified,
)


@pytest.fixture
def terms(how: str) -> Terms:
    return WEEK if how == "old" else replace(WEEK, most_bytes=4000)


@pytest.fixture
def audit(scene: Scene) -> Torn:
    return Torn(scene.store.audit)


@pytest.fixture
async def leader(scene: Scene, audit: Torn, how: str) -> Leader:
    """Of four entries, of which the older two are about to go: they are old, or too much."""
    writer, flood = Writer(None, "-", "-"), Writer()
    leader = scene.lead(audit=audit)
    if how == "old":
        scene.put(writer.blocks(1), writer.blocks(1), days_ago=6)
    else:
        scene.send(flood.blocks(64), flood.blocks(64))
        assert await scene.store.audit.gather("shop") == 0
    for _ in range(2):
        assert await scene.store.audit.append("shop", writer.blocks(1))
    return leader


async def _look_on(leader: Leader, how: str) -> None:
    leader.later_s += 2 * DAY_S if how == "old" else 0.0
    with contextlib.suppress(errors.ClusterError):
        await leader.look()


@pytest.mark.parametrize("how", ["old", "too much"])
@EVERY_SERVER
async def test_what_redis_did_not_take_away_goes_in_a_later_round_and_is_counted_once(
    scene: Scene, leader: Leader, audit: Torn, how: str
) -> None:
    """It was subtracted from the anchor again each time, or stayed there as `repeated`."""
    audit.failures = 3
    await _look_on(leader, how)
    assert len(scene.ids()) == 4
    async with leader.auditing.walk("shop") as anchor:
        assert anchor is None, "what is half gone is not verified"
    for _ in range(3):
        await leader.look()
    assert len(scene.ids()) == (await scene.anchor()).entries == 2
    assert leader.found() == {}
    assert (await verified(scene, leader)).is_whole
    scene.server.tell("XDEL", STREAM, *scene.ids())
    await leader.look()
    assert leader.found() == {"cut": 1.0}


@pytest.mark.parametrize("how", ["old", "too much"])
@EVERY_SERVER
async def test_nothing_goes_before_the_anchor_that_says_so_is_written(
    scene: Scene, leader: Leader, how: str
) -> None:
    """After one refusal the next round took away what no anchor named: a crash then was a cut."""
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
    assert (await verified(scene, successor)).is_whole


@pytest.mark.promise("T5")
@pytest.mark.parametrize("how", ["old", "too much"])
@EVERY_SERVER
async def test_an_anchor_that_somebody_changed_is_found_while_entries_go(
    scene: Scene, leader: Leader, how: str
) -> None:
    """What says so was not looked at there: they went unsigned, and nobody was told."""
    scene.refuse_anchors(50)
    await _look_on(leader, how)
    scene.refuse_anchors(0)
    await scene.api.merge(*PLACE, {"data": {"anchor": "{}"}})
    await leader.look()
    assert leader.found() == {"unanchored": 1.0}
    assert len(scene.ids()) == (await scene.anchor()).entries == 2
