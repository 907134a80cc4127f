"""A namespace that writes too much: nothing of it is compiled, and its vetoes still hold."""

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from mesh7_core.compiling import delivered
from mesh7_core.delivery.envelopes import Kind
from mesh7_operator.reconciling import bounds
from mesh7_operator.reconciling.compilation import compilation_of
from mesh7_operator.reconciling.reconcile import reconcile
from mesh7_operator.reconciling.world import World, Written
from tests.operator.reconciling import worlds

AT_ONCE_S = 4.0
"""Of a processor, a slow one perhaps; what is no bound takes minutes."""


def _policies(policies: int, rules: int, rule: Mapping[str, object]) -> tuple[Written, ...]:
    return tuple(
        worlds.policy(f"p{at}", rules=[{**rule, "name": f"r{number}"} for number in range(rules)])
        for at in range(policies)
    )


PLAIN = {"tools": ["billing.refund"], "action": "Allow"}
ASKING = {**PLAIN, "when": "args.amount < 5"}
TOO_MUCH = {
    "rules": _policies(101, 100, PLAIN),
    "conditions": _policies(21, 100, ASKING),
    "characters": _policies(2, 50, {**PLAIN, "when": f"args.x == '{'y' * 4000}'"}),
    "values": _policies(5, 21, {**PLAIN, "tools": ["billing.refund"] * 1000}),
}


@pytest.mark.promise("K12")
@pytest.mark.parametrize("policies", TOO_MUCH.values(), ids=TOO_MUCH)
def test_a_namespace_that_would_keep_the_compiler_busy_is_not_compiled(
    policies: tuple[Written, ...],
) -> None:
    """R1, 2: 50,000 conditions in one namespace stopped the deliveries of all."""
    world = worlds.world(policies=policies, grants=(worlds.veto(),))
    began_s = time.process_time()
    found = worlds.settled(world)
    assert time.process_time() - began_s < AT_ONCE_S
    assert [one.name for one in worlds.bundle_of(found).documents] == ["bundle-too-large"]
    assert worlds.overlay_of(found) == ["stop"]
    assert worlds.condition(found, "p1", "Accepted") == ("Unknown", "BundleTooLarge")
    assert worlds.condition(found, "p1", "Ready") == ("False", "BundleTooLarge")
    assert worlds.condition(found, "billing", "Accepted") == ("Unknown", "BundleTooLarge")
    assert "more than" in worlds.message(found, "p1", "Ready")
    assert worlds.is_empty(reconcile(found))


def test_ten_thousand_rules_without_conditions_are_served() -> None:
    policies = _policies(99, 100, PLAIN)
    assert not bounds.excess_of_policies([one.value for one in policies], ())


def test_permissions_wait_until_policies_are_fewer_and_vetoes_do_not() -> None:
    grants = (worlds.permission(), worlds.veto())
    good = worlds.settled(worlds.asking_world(grants=grants))
    assert worlds.overlay_of(good) == ["inc-4711", "stop"]
    grown = replace(good, policies=(*good.policies, *TOO_MUCH["rules"]))
    found = worlds.settled(worlds.later(grown, timedelta(minutes=1)))
    assert worlds.overlay_of(found) == ["stop"]
    assert worlds.condition(found, "inc-4711", "Accepted") == ("False", "BundleTooLarge")
    assert [one.name for one in worlds.bundle_of(found).documents] == ["support", "billing"]


@pytest.mark.promise("K9")
def test_twenty_thousand_vetoes_are_a_veto_of_everything_at_once() -> None:
    """R1, 15: huge overlays held up kills."""
    world = worlds.world(grants=tuple(worlds.veto(f"v{at}") for at in range(10_001)))
    began_s = time.process_time()
    plan = reconcile(world)
    assert time.process_time() - began_s < AT_ONCE_S
    assert [one.kind for one in plan.publish] == [Kind.OVERLAY, Kind.BUNDLE]
    found = worlds.after(world, plan)
    assert worlds.overlay_of(found) == ["overlay-too-large"]
    assert worlds.condition(found, "v1", "Accepted") == ("False", "OverlayTooLarge")
    assert _stops_everything(found)


def test_vetoes_beyond_what_sidecars_compile_are_a_veto_of_everything() -> None:
    some = tuple(worlds.veto(f"v{at}") for at in range(bounds.MAXIMUM_GRANTS + 1))
    assert worlds.overlay_of(worlds.settled(worlds.world(grants=some))) == ["overlay-too-large"]
    fewer = worlds.settled(worlds.world(grants=some[1:]))
    assert len(worlds.overlay_of(fewer)) == bounds.MAXIMUM_GRANTS


def test_conditions_of_grants_are_bounded_too() -> None:
    long = f"args.x == '{'y' * 4000}'"
    grants = tuple(worlds.veto(f"v{at}", when=f"{long} || {at} > 1") for at in range(17))
    assert compilation_of(worlds.world(grants=grants)).excess_of_grants
    found = worlds.settled(worlds.world(grants=grants))
    assert worlds.overlay_of(found) == ["overlay-too-large"]


def _stops_everything(found: World) -> bool:
    bundle = delivered.compile_bundle(worlds.bundle_of(found))
    (only,) = delivered.compile_overlay(worlds.overlay_content(found), bundle)
    return not (only.service_account or only.pod or only.patterns)


def test_permissions_times_rules_are_bounded_and_vetoes_hold() -> None:
    """Each permission is held against each rule of its policy: 2,000 times 500 took 9 s."""
    rules = [{**worlds.ASKING, "name": f"r{at}", "tools": [f"billing.t{at}"]} for at in range(500)]
    grants = tuple(worlds.permission(f"g{at}") for at in range(501))
    world = worlds.world(policies=(worlds.policy(rules=rules),), grants=(*grants, worlds.veto()))
    found = worlds.settled(world)
    assert worlds.overlay_of(found) == ["stop"]
    assert worlds.condition(found, "g1", "Accepted") == ("False", "OverlayTooLarge")
    assert worlds.condition(found, "support", "Accepted") == ("True", "Valid")
