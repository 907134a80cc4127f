"""A Redis that is away: what it lost is found, and what people did waits for it."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from mesh7_core.audit import deeds
from mesh7_core.audit.deeds import Act, Deed
from tests.core.ledger.redis_parts import EVERY_SERVER
from tests.operator.anchoring.streams import ONE, Writer
from tests.operator.controller.auditing.scene import (
    Leader,
    Scene,
)
from tests.operator.store.parts import PATIENCE_S


async def _waits(scene: Scene) -> bool:
    return await scene.store.audit.waiting(["shop"]) == {"shop": 1}


async def _until(asked: Callable[[], Awaitable[bool]]) -> None:
    """Until the audit's own connection is there again, at most half a minute."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not await asked():
        if time.monotonic() > deadline_s:
            raise TimeoutError
        await asyncio.sleep(0.02)


@EVERY_SERVER
async def test_a_redis_that_lost_everything_is_found_and_chains_go_on(
    scene: Scene, leader: Leader
) -> None:
    """Issue 8, faults: Redis killed."""
    writer = Writer()
    scene.send(writer.blocks(1))
    await leader.look()
    scene.server.kill()
    await leader.look()
    await scene.revive()
    scene.send(writer.blocks(1))
    await _until(lambda: _waits(scene))
    await leader.look()
    await leader.look()
    assert leader.found() == {"cut": 1.0}
    assert (await scene.anchor()).chains[ONE].head.hash == writer.head.hash


@pytest.mark.promise("T5")
@EVERY_SERVER
async def test_a_persons_decision_waits_for_a_redis_that_is_away(
    scene: Scene, leader: Leader
) -> None:
    """The brief of issue 8: a person's decision is never lost."""
    scene.server.kill()
    deed = Deed(at_ns=0, act=Act.APPROVE, person="ann", name="ann", evidence="")
    assert not await leader.recorded("shop", deeds.line(deed))
    await scene.revive()
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
