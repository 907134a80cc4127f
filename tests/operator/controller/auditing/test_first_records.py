"""A namespace's first seconds: records without an anchor are no finding, were none there."""

import pytest

from mesh7_operator.controller.auditing.looking_up import Reader
from mesh7_operator.reconciling.world import Written
from tests.core.ledger.redis_parts import EVERY_SERVER
from tests.operator.anchoring.streams import Writer
from tests.operator.controller.auditing.scene import (
    BANK_PLACE,
    BANK_STREAM,
    Leader,
    Scene,
)


@EVERY_SERVER
async def test_our_own_first_records_of_a_new_namespace_are_no_finding(
    scene: Scene, leader: Leader
) -> None:
    """They lay there before its first anchor: a leader that ended between left a finding."""
    assert await leader.recorded("bank", b'{"bundle":{}}')
    for one in (scene.lead(), scene.lead()):
        one.enrolled.append("bank")
        await one.look()
        assert one.found("bank") == {}
    successor = scene.lead()
    successor.enrolled.append("bank")
    await scene.api.delete(*BANK_PLACE)
    await successor.look()
    assert successor.found("bank") == {"unanchored": 1.0}


async def _asked(scene: Scene, leader: Leader, **spec: object) -> dict[str, object]:
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
    scene: Scene, leader: Leader, *, is_verify: bool
) -> None:
    """It took in what sidecars had written before an anchor was there: as if one were lost."""
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
    scene: Scene, leader: Leader
) -> None:
    """A namespace that has records and no anchor is no new one, were they a second old."""
    leader.enrolled.append("bank")
    scene.send(Writer(namespace="bank").blocks(3), namespace="bank")
    await leader.look()
    await scene.api.delete(*BANK_PLACE)
    status = await _asked(scene, scene.lead(), verify=True)
    verified = status["verified"]
    assert isinstance(verified, dict)
    assert (verified["sound"], [one["kind"] for one in verified["findings"]]) == (
        False, ["unanchored"],
    )  # fmt: skip


@EVERY_SERVER
async def test_nothing_of_ours_is_written_while_no_anchor_can_be(
    scene: Scene, leader: Leader
) -> None:
    scene.kept.troubled_method, scene.kept.troubled_path = "POST", "configmaps"
    scene.kept.troubles = [(403, {})]
    assert not await leader.recorded("bank", b'{"bundle":{}}')
    assert scene.server.tell("EXISTS", BANK_STREAM) == 0
    assert await leader.recorder.flush()
    assert scene.server.tell("XLEN", BANK_STREAM) == 1
