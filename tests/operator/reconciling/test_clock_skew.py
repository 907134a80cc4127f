"""Clocks that differ: of one leader and the next, and of the controller and a sidecar."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from mesh7_core.compiling import delivered
from mesh7_core.delivery import trust
from mesh7_core.policy import judge
from mesh7_core.policy.calls import Agent
from mesh7_core.policy.view import view_of
from mesh7_operator.reconciling import versions
from mesh7_operator.reconciling.plan import Plan
from mesh7_operator.reconciling.reconcile import reconcile
from mesh7_operator.reconciling.world import World
from tests.core.policy.building import a_call
from tests.operator.reconciling import worlds

NONE = timedelta()
END = worlds.NOON + timedelta(minutes=30)
AGENT = Agent(namespace=worlds.SHOP, service_account="support", pod="pod-1", labels={})
GRANTED = worlds.settled(worlds.asking_world(grants=(worlds.permission(),)))


class _Sidecar:
    """What one believes; it is not asked what time it is."""

    def __init__(self) -> None:
        self.trust = trust.Trust(namespace=worlds.SHOP, keys=(worlds.SIGNER.public,))

    def takes(self, plan: Plan) -> bool:
        assert plan.publish
        for one in plan.publish:
            answer = trust.consider(one.content, one.kind, self.trust)
            if not isinstance(answer, trust.Accepted):
                return False
            self.trust = answer.trust
        return True


def _edited(found: World, turn: int) -> World:
    return replace(found, policies=(worlds.policy(f"turn-{turn}"),))


@pytest.mark.promise("K8")
@pytest.mark.parametrize("skew", [timedelta(minutes=5), timedelta(hours=5), timedelta(days=400)])
@pytest.mark.parametrize("ahead", [True, False], ids=["ahead", "behind"])
def test_what_leaders_whose_clocks_differ_deliver_in_turn_is_all_believed(
    skew: timedelta, *, ahead: bool
) -> None:
    """Issue 5: versions only rise, whoever leads; a pod's own clock plays no part in it."""
    sidecar, found = _Sidecar(), worlds.world()
    for turn in range(6):
        off = skew if turn % 2 else NONE
        now = worlds.NOON + timedelta(seconds=turn) + (off if ahead else -off)
        led = replace(_edited(found, turn), now=now)
        plan = reconcile(led)
        assert sidecar.takes(plan)
        assert not any(one.force for one in plan.publish)
        found = worlds.after(led, plan)
        # What is settled is settled for the next leader, too.
        assert not reconcile(replace(found, now=worlds.NOON)).publish


@pytest.mark.promise("K8")
def test_after_a_leader_with_a_fast_clock_versions_go_on_by_one_until_time_has_come_up() -> None:
    fast = worlds.settled(worlds.later(worlds.world(), timedelta(days=1)))
    plan = reconcile(_edited(replace(fast, now=worlds.NOON), 1))
    assert plan.bundle_version == worlds.NOON_MS + 86_400_000 + 1
    caught_up = worlds.NOON + timedelta(days=1, seconds=1)
    plan = reconcile(_edited(replace(fast, now=caught_up), 1))
    assert plan.bundle_version == versions.milliseconds(caught_up)


def _stands(found: World, sidecar_now: datetime) -> bool:
    """Whether the grant answers a call in a sidecar that has what was delivered."""
    bundle = delivered.compile_bundle(worlds.bundle_of(found))
    overlay = delivered.compile_overlay(worlds.overlay_content(found), bundle)
    view = view_of(bundle, AGENT, overlay)
    call = a_call("billing.refund", agent=AGENT)
    voices = judge.needs(view, call, sidecar_now)
    return any(judge.covering(voices, call, sidecar_now))


def _at(controller: datetime) -> World:
    return worlds.settled(replace(GRANTED, now=controller))


@pytest.mark.parametrize(
    ("controller", "sidecar", "stands"),
    [
        (NONE, NONE, True),
        # The time is a minute before the grant's end; one clock is five minutes off.
        (timedelta(minutes=5), NONE, False),
        (-timedelta(minutes=5), NONE, True),
        (NONE, timedelta(minutes=5), False),
        (NONE, -timedelta(minutes=5), True),
    ],
    ids=["right", "controller ahead", "controller behind", "sidecar ahead", "sidecar behind"],
)
def test_a_minute_before_its_end_a_grant_stands_unless_a_clock_is_ahead(
    controller: timedelta, sidecar: timedelta, *, stands: bool
) -> None:
    """Docs (operator, Clocks): it ends by whichever clock is first."""
    now = END - timedelta(minutes=1)
    assert _stands(_at(now + controller), now + sidecar) == stands


@pytest.mark.parametrize(
    ("controller", "sidecar", "stands"),
    [
        (NONE, NONE, False),
        (-timedelta(minutes=5), NONE, False),
        (NONE, -timedelta(minutes=5), False),
        (-timedelta(minutes=5), -timedelta(minutes=5), True),
    ],
    ids=["right", "controller behind", "sidecar behind", "both behind"],
)
def test_a_minute_after_its_end_a_grant_stands_only_if_both_clocks_are_behind(
    controller: timedelta, sidecar: timedelta, *, stands: bool
) -> None:
    """Docs (operator, Clocks): the controller takes it away, the sidecar does not use it."""
    now = END + timedelta(minutes=1)
    assert _stands(_at(now + controller), now + sidecar) == stands


def test_a_sidecar_that_is_behind_and_hears_nothing_is_late_by_as_much_as_its_clock() -> None:
    """The overlay of before the end is in force still: operator and Redis are down."""
    late = timedelta(minutes=5)
    assert _stands(GRANTED, END + late - timedelta(seconds=1) - late)
    assert not _stands(GRANTED, END + late - late)


@pytest.mark.parametrize(
    ("controller", "phase"),
    [(-timedelta(minutes=5), "Active"), (NONE, "Expired"), (timedelta(minutes=5), "Expired")],
    ids=["behind", "right", "ahead"],
)
def test_a_status_is_by_the_controllers_clock(controller: timedelta, phase: str) -> None:
    found = _at(END + timedelta(minutes=1) + controller)
    assert worlds.status_of(found, "inc-4711")["phase"] == phase


def test_a_sidecar_far_behind_does_not_honour_what_was_made_in_its_future_for_longer() -> None:
    """`maxDuration` counts from when the API server made it, or from now if that is to come."""
    made, hours = worlds.NOON - timedelta(hours=1), timedelta(hours=2)
    assert END - made < hours
    assert _stands(GRANTED, made)
    assert not _stands(GRANTED, END - hours - timedelta(seconds=1))
