"""What is told by Events: transitions that somebody should hear of, and no others."""

from dataclasses import replace

import pytest

from mesh7_core.delivery.reports import Drift, SourceReport, Tool
from mesh7_operator.reconciling.reconcile import reconcile
from mesh7_operator.reconciling.world import World
from tests.operator.reconciling import worlds

PINNED = worlds.source(pinning={"mode": "Warn"})
SETTLED = worlds.settled(worlds.asking_world(sources=(PINNED,)))


def _told(world: World) -> list[str]:
    return [f"{one.type} {one.name} {one.reason}" for one in reconcile(world).events]


def _seen(*, is_ready: bool = True, drift: Drift | None = None) -> World:
    tool = Tool(name="refund", digest=f"sha256:{'a' * 64}", drift=drift)
    source = SourceReport(name="billing", is_ready=is_ready, tools=(tool,), tool_count=1)
    return worlds.reported(SETTLED, worlds.sidecar(bundle=worlds.NOON_MS, sources=(source,)))


def test_what_works_from_the_start_is_not_worth_a_word() -> None:
    assert _told(worlds.world()) == []


def test_sidecars_that_are_behind_for_a_moment_are_not_worth_a_word() -> None:
    current = worlds.settled(worlds.reported(SETTLED, worlds.sidecar(bundle=worlds.NOON_MS)))
    edited = replace(current, policies=(worlds.policy(mode="Audit"),))
    assert worlds.condition(worlds.settled(edited), "support", "Ready")[0] == "False"
    assert _told(edited) == []


def test_a_policy_that_breaks_and_is_mended_tells_both() -> None:
    broken = replace(
        SETTLED,
        policies=(replace(worlds.broken_policy("support"), status=SETTLED.policies[0].status),),
    )
    plan = reconcile(broken)
    assert _told(broken) == ["Warning support Invalid"]
    assert plan.events[0].uid == "uid-of-support"
    assert "did you mean `Allow`?" in plan.events[0].message
    found = worlds.settled(broken)
    mended = replace(found, policies=(replace(worlds.policy(), status=found.policies[0].status),))
    assert _told(mended) == ["Normal support Valid"]


@pytest.mark.parametrize(
    ("first", "then", "told"),
    [
        (_seen(), _seen(is_ready=False), ["Warning billing SourceUnavailable"]),
        (_seen(is_ready=False), _seen(), ["Normal billing SourceAvailable"]),
        (_seen(), _seen(drift=Drift.CHANGED), ["Warning billing ToolsChanged"]),
        (_seen(drift=Drift.ADDED), _seen(drift=Drift.CHANGED), ["Warning billing ToolsChanged"]),
        (_seen(drift=Drift.CHANGED), _seen(), ["Normal billing NoDrift"]),
        (_seen(), _seen(), []),
        (_seen(is_ready=False), worlds.reported(SETTLED), []),
    ],
    ids=[
        "unavailable",
        "available again",
        "drifted",
        "drifted further",
        "drifted back",
        "same",
        "nobody reports any more",
    ],
)
def test_a_source_tells_when_it_fails_and_drifts(
    first: World, then: World, told: list[str]
) -> None:
    assert _told(replace(worlds.settled(first), published=then.published)) == told


def test_a_grant_tells_when_it_comes_into_force_and_when_it_ends() -> None:
    granted = replace(SETTLED, grants=(worlds.permission(),))
    assert _told(granted) == ["Normal inc-4711 Active"]
    found = worlds.settled(granted)
    ends_at = reconcile(found).look_again_at
    assert ends_at is not None
    assert _told(replace(found, now=ends_at)) == ["Normal inc-4711 Expired"]


def test_a_refused_grant_tells_why() -> None:
    refused = replace(SETTLED, grants=(worlds.permission(by=None),))
    assert _told(refused) == ["Warning inc-4711 NotStamped"]


def test_nothing_is_told_twice() -> None:
    found = worlds.settled(replace(SETTLED, grants=(worlds.permission(by=None),)))
    assert _told(found) == []


def test_an_event_holds_what_the_api_server_takes() -> None:
    rules = [
        {"name": f"r{at}", "tools": ["x"], "action": "Alow", "reason": "y" * 900} for at in range(9)
    ]
    found = replace(SETTLED, policies=(worlds.policy("wordy", rules=rules),))
    assert all(len(one.message) <= 1024 for one in reconcile(found).events)
