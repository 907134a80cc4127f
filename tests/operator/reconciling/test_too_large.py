"""A bundle that no sidecar would take: what is in force instead, and who says so."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mesh7_core.compiling import delivered
from mesh7_core.delivery import envelopes, keys
from mesh7_core.delivery.envelopes import Kind
from mesh7_core.policy import judge, view
from mesh7_core.policy.calls import Agent, Family
from mesh7_operator.reconciling.bundling import MAXIMUM_OVERLAY_BYTES
from mesh7_operator.reconciling.compilation import compilation_of
from mesh7_operator.reconciling.reconcile import reconcile
from mesh7_operator.reconciling.world import Keys, World, Written
from tests.operator.reconciling import worlds

CONFIG_MAP_BYTES = 1_048_576


def _bulky(name: str) -> Written:
    """A policy full of what does not pack."""
    rules = [
        {
            "name": f"r{at}",
            "tools": [f"billing.{worlds.sha1(f'{name} {at}'.encode())}"],
            "action": "Deny",
            "reason": "".join(worlds.sha1(f"{name} {at} {part}".encode()) for part in range(25)),
        }
        for at in range(100)
    ]
    return worlds.policy(name, rules=rules)


BULKY = tuple(_bulky(f"bulky-{at}") for at in range(16))
"""More than a bundle holds."""


@pytest.fixture(name="grown", scope="module")
def make_grown() -> World:
    """A namespace that worked well, and then got a policy that is too large."""
    found = worlds.settled(worlds.world(grants=(worlds.veto(),)))
    return worlds.later(replace(found, policies=(worlds.policy(), *BULKY)), timedelta(minutes=1))


def test_the_largest_two_envelopes_fit_a_config_map() -> None:
    assert envelopes.MAXIMUM_SEALED_BYTES + MAXIMUM_OVERLAY_BYTES < CONFIG_MAP_BYTES - 1000


def test_the_last_good_bundle_stays_and_every_object_says_so(grown: World) -> None:
    """Design 7: too large = `Ready=False, BundleTooLarge`, the last good one stays."""
    plan = reconcile(grown)
    assert plan.publish == ()
    assert plan.config_map is None
    assert plan.bundle_version == worlds.NOON_MS
    found = worlds.after(grown, plan)
    for name in ("support", "bulky-1", "billing"):
        assert worlds.condition(found, name, "Ready") == ("False", "BundleTooLarge")
    assert worlds.condition(found, "support", "Programmed") == ("False", "BundleTooLarge")
    assert worlds.condition(found, "bulky-1", "Accepted") == ("True", "Valid")
    assert worlds.is_empty(reconcile(found))


def test_a_revocation_travels_although_the_bundle_does_not(grown: World) -> None:
    plan = reconcile(replace(grown, grants=()))
    assert [one.kind for one in plan.publish] == [Kind.OVERLAY]


def test_a_namespace_cannot_keep_an_older_baseline_by_growing(grown: World) -> None:
    """Its own policies stay as they were; the baseline over them is today's."""
    fence = worlds.policy(
        "fence",
        namespace=worlds.RELEASE,
        rules=[{"name": "no", "tools": ["*"], "action": "Deny"}],
    )
    fenced = replace(grown, baseline=(fence,))
    found = worlds.settled(fenced)
    content = worlds.bundle_of(found)
    assert [(one.name, one.is_baseline) for one in content.documents] == [
        ("support", False),
        ("billing", False),
        ("fence", True),
    ]
    assert worlds.is_empty(reconcile(found))


def test_without_a_last_good_bundle_everything_is_denied() -> None:
    found = worlds.settled(worlds.world(policies=(worlds.policy(), *BULKY)))
    bundle = delivered.compile_bundle(worlds.bundle_of(found))
    agent = Agent(namespace=worlds.SHOP, service_account="support", pod="p")
    seen = view.view_of(bundle, agent)
    for family in Family:
        assert not judge.may_call(seen, family, "billing", "refund")
    assert worlds.is_empty(reconcile(found))


def test_an_older_signed_bundle_is_not_the_last_good_one(grown: World) -> None:
    """Otherwise an editor could choose which of the past bundles is in force."""
    edited = replace(grown, policies=(worlds.policy(mode="Audit"),))
    newer = worlds.settled(edited)
    replayed = replace(newer, policies=(worlds.policy(), *BULKY), delivered=grown.delivered)
    content = worlds.bundle_of(worlds.settled(replayed))
    assert [one.name for one in content.documents] == ["bundle-too-large"]


def test_what_an_older_key_signed_is_not_signed_again(grown: World) -> None:
    """A key is rotated because somebody else may have it."""
    link = keys.endorse(worlds.SIGNER, worlds.NEXT_SIGNER.public)
    rotated = replace(grown, keys=Keys(signer=worlds.NEXT_SIGNER, links=(link,)))
    found = worlds.settled(rotated)
    assert [one.name for one in worlds.bundle_of(found).documents] == ["bundle-too-large"]


def test_a_smaller_policy_ends_it(grown: World) -> None:
    found = worlds.settled(worlds.settled(grown))
    smaller = replace(found, policies=found.policies[:3])
    told = [f"{one.type} {one.name} {one.reason}" for one in reconcile(smaller).events]
    assert told == [f"Normal {name} NoSidecar" for name in ("bulky-0", "bulky-1", "support")]
    mended = worlds.settled(smaller)
    assert worlds.condition(mended, "support", "Ready") == ("True", "NoSidecar")
    assert worlds.opened(mended, Kind.BUNDLE).header.version > worlds.NOON_MS


def test_a_round_of_reports_does_not_measure_again(grown: World) -> None:
    last = compilation_of(grown)
    assert last.is_too_large
    assert compilation_of(worlds.reported(grown, worlds.sidecar()), last) is last
