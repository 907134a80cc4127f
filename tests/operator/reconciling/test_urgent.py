"""What stops calls goes out before the policies are compiled, and nothing else does."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mesh7_core.delivery.envelopes import Kind
from mesh7_operator.reconciling.plan import ApplyConfigMap
from mesh7_operator.reconciling.reconcile import reconcile
from mesh7_operator.reconciling.urgent import urgent
from mesh7_operator.reconciling.world import Delivered, World
from tests.operator.reconciling import worlds

SETTLED = worlds.settled(worlds.asking_world(grants=(worlds.permission(), worlds.veto("old"))))
LATER = worlds.later(SETTLED, timedelta(minutes=1))


def _after(world: World) -> World:
    plan = urgent(world)
    assert plan is not None
    return worlds.after(world, plan)


@pytest.mark.promise("K12")
def test_a_kill_goes_out_alone_and_permissions_stay_as_they_are() -> None:
    """R1, 2: a kill does not wait until the policies of its namespace are compiled."""
    world = replace(LATER, grants=(*LATER.grants, worlds.veto("kill")))
    plan = urgent(world)
    assert plan is not None
    assert [one.kind for one in plan.publish] == [Kind.OVERLAY]
    assert isinstance(plan.config_map, ApplyConfigMap)
    assert (plan.statuses, plan.events) == ((), ())
    assert worlds.overlay_of(worlds.after(world, plan)) == ["inc-4711", "kill", "old"]


def test_the_plan_that_follows_delivers_nothing_again() -> None:
    world = replace(LATER, grants=(*LATER.grants, worlds.veto("kill")))
    rest = reconcile(_after(world))
    assert (rest.publish, rest.config_map, rest.annotations) == ((), None, {})


def test_a_permission_that_is_gone_changed_deleted_or_over_goes_out_too() -> None:
    gone = replace(LATER, grants=(worlds.veto("old"),))
    changed = replace(LATER, grants=(worlds.permission(maxUses=11), worlds.veto("old")))
    ending = replace(worlds.permission(), is_ending=True)
    deleted = replace(LATER, grants=(ending, worlds.veto("old")))
    over = worlds.later(LATER, timedelta(hours=1))
    for world in (gone, changed, deleted, over):
        assert worlds.overlay_of(_after(world)) == ["old"]


def test_a_new_permission_waits_for_its_policy() -> None:
    added = (*LATER.grants, worlds.permission("inc-4712"))
    assert urgent(replace(LATER, grants=added)) is None


def test_a_permission_that_no_key_of_today_stamped_does_not_stay() -> None:
    world = replace(LATER, keys=replace(LATER.keys, stamps=()))
    assert worlds.overlay_of(_after(world)) == ["old"]


def test_policies_alone_are_not_urgent() -> None:
    assert urgent(replace(LATER, policies=(worlds.policy("other"),))) is None
    assert urgent(worlds.world()) is None
    assert urgent(replace(LATER, is_enrolled=False)) is None


def test_a_new_namespace_gets_its_vetoes_first() -> None:
    world = worlds.world(grants=(worlds.veto(),))
    plan = urgent(world)
    assert plan is not None
    assert ([one.kind for one in plan.publish], plan.config_map) == ([Kind.OVERLAY], None)
    assert worlds.overlay_of(worlds.settled(worlds.after(world, plan))) == ["stop"]


def test_a_config_map_that_takes_no_apply_is_left_to_the_whole_plan() -> None:
    delivered = LATER.delivered
    assert isinstance(delivered, Delivered)
    world = replace(
        LATER,
        delivered=replace(delivered, is_stuck=True),
        grants=(*LATER.grants, worlds.veto("kill")),
    )
    plan = urgent(world)
    assert plan is not None
    assert (len(plan.publish), plan.config_map) == (1, None)


def test_a_broken_veto_stops_its_subject_as_it_does_afterwards() -> None:
    broken = worlds.veto("broken", tools=["["])
    world = replace(LATER, grants=(*LATER.grants, broken))
    rest = reconcile(_after(world))
    assert (rest.publish, rest.config_map) == ((), None)
