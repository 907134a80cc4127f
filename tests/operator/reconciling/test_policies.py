"""What the status of an AgentPolicy says."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mesh7_core.delivery.reports import Report
from mesh7_operator.reconciling.reconcile import reconcile
from mesh7_operator.reconciling.world import StoreState, World
from tests.operator.reconciling import worlds

V = worlds.NOON_MS


@pytest.mark.promise("K3")
def test_a_status_has_conditions_with_reasons_generations_and_counts() -> None:
    found = worlds.settled(
        worlds.reported(
            worlds.settled(worlds.world()),
            worlds.sidecar("pod-1", bundle=V),
            worlds.sidecar("pod-2"),
        )
    )
    assert worlds.status_of(found, "support") == {
        "observedGeneration": 1,
        "conditions": [
            _condition("Accepted", "True", "Valid", "it compiles"),
            _condition("Programmed", "False", "SidecarsBehind", f"1 of 2 sidecars obey bundle {V}"),
            _condition("Ready", "False", "SidecarsBehind", f"1 of 2 sidecars obey bundle {V}"),
            _condition(
                "StoreConnected",
                "True",
                "StoreConnected",
                "changes are pushed to sidecars through Redis",
            ),
        ],
        "bundleVersion": V,
        "pods": {"matched": 2, "current": 1},
    }


SHOPPER = {"app": "shopper"}


@pytest.mark.parametrize(
    ("world", "reports", "programmed", "ready"),
    [
        (worlds.world(), [], "Unknown NoSidecar", "True NoSidecar"),
        (worlds.world(), [("support", {}, V)], "True SidecarsCurrent", "True SidecarsCurrent"),
        (worlds.world(), [("support", {}, V - 1)], "False SidecarsBehind", "False SidecarsBehind"),
        (worlds.world(), [("support", {}, 0)], "False SidecarsBehind", "False SidecarsBehind"),
        (
            worlds.world(policies=(worlds.policy(selector={"matchLabels": SHOPPER}),)),
            [("support", SHOPPER, V), ("support", {}, 0)],
            "True SidecarsCurrent",
            "True SidecarsCurrent",
        ),
        (
            worlds.world(policies=(worlds.policy(serviceAccounts=["other-*"]),)),
            [("support", {}, V)],
            "Unknown NoSidecar",
            "True NoSidecar",
        ),
        (
            worlds.world(policies=(worlds.broken_policy("support"),)),
            [("support", {}, V)],
            "True SidecarsCurrent",
            "False Fenced",
        ),
        (
            worlds.world(store=StoreState.LOST, published=None),
            [],
            "Unknown StoreLost",
            "Unknown StoreLost",
        ),
        (
            worlds.world(store=StoreState.NONE, published=None),
            [],
            "Unknown NoStore",
            "True NoStore",
        ),
        (
            worlds.world(is_enrolled=False),
            [],
            "False NamespaceNotEnrolled",
            "False NamespaceNotEnrolled",
        ),
    ],
    ids=[
        "nobody", "current", "behind", "no bundle", "by labels", "by accounts", "broken", "lost",
        "no store", "not enrolled",
    ],
)  # fmt: skip
def test_who_obeys_decides_whether_it_is_programmed_and_ready(
    world: World, reports: list[tuple[str, dict[str, str], int]], programmed: str, ready: str
) -> None:
    found = worlds.settled(world)
    if world.published is not None:
        found = worlds.settled(worlds.reported(found, *_sidecars(reports)))
    assert " ".join(worlds.condition(found, "support", "Programmed")) == programmed
    assert " ".join(worlds.condition(found, "support", "Ready")) == ready


def test_the_compilers_words_stand_in_the_status() -> None:
    found = worlds.settled(worlds.world(policies=(worlds.broken_policy(),)))
    assert worlds.condition(found, "broken", "Accepted") == ("False", "Invalid")
    told = worlds.message(found, "broken", "Accepted")
    assert told.startswith(
        "until it is corrected, every call of the pods that it selects is denied"
    )
    assert "spec.rules[0].action" in told
    assert "did you mean `Allow`?" in told


def test_warnings_are_told_although_it_compiles() -> None:
    stray = worlds.policy(rules=[{"name": "a", "tools": ["biling.*"], "action": "Allow"}])
    found = worlds.settled(worlds.world(policies=(stray,)))
    assert worlds.condition(found, "support", "Accepted") == ("True", "Valid")
    assert "did you mean `billing`?" in worlds.message(found, "support", "Accepted")


def test_many_mistakes_are_told_in_one_line_that_fits() -> None:
    rules = [
        {"name": f"r{at}", "tools": ["billing.*"], "action": "Alow", "reason": "x" * 500}
        for at in range(40)
    ]
    found = worlds.settled(worlds.world(policies=(worlds.policy("many", rules=rules),)))
    told = worlds.message(found, "many", "Accepted")
    assert told.endswith("; and 37 more")
    assert len(told) <= 1024


@pytest.mark.promise("K3")
def test_one_broken_policy_leaves_the_others_as_they_are() -> None:
    """Design 8: one broken policy denies what it selects and leaves the rest alone."""
    before = worlds.settled(worlds.world(policies=(worlds.policy(), worlds.policy("other"))))
    after = worlds.settled(
        replace(before, policies=(before.policies[0], worlds.broken_policy("other")))
    )
    assert worlds.condition(after, "other", "Ready") == ("False", "Fenced")
    for type_ in ("Accepted", "Programmed", "Ready"):
        assert worlds.condition(after, "support", type_) == worlds.condition(
            before, "support", type_
        )
    names = [one.name for one in worlds.bundle_of(after).documents if one.kind == "AgentPolicy"]
    assert names == ["other", "support"]


@pytest.mark.promise("K3")
def test_the_time_of_a_condition_moves_only_when_its_status_does() -> None:
    found = worlds.settled(worlds.world())
    heard = worlds.later(worlds.reported(found, worlds.sidecar(bundle=V)), timedelta(minutes=5))
    found = worlds.settled(heard)
    assert _times(found) == {
        "Accepted": "2026-11-21T12:00:00Z",
        "Programmed": "2026-11-21T12:05:00Z",
        "Ready": "2026-11-21T12:00:00Z",
        "StoreConnected": "2026-11-21T12:00:00Z",
    }


def test_a_status_that_somebody_spoilt_is_written_anew() -> None:
    found = worlds.settled(worlds.world())
    spoilt = replace(found.policies[0], status={"conditions": [5, {"type": 7}], "pods": "many"})
    again = worlds.settled(worlds.later(replace(found, policies=(spoilt,)), timedelta(seconds=5)))
    assert worlds.condition(again, "support", "Accepted") == ("True", "Valid")
    assert _times(again)["Accepted"] == "2026-11-21T12:00:05Z"


def test_while_the_store_is_lost_the_last_count_stands() -> None:
    found = worlds.settled(
        worlds.reported(worlds.settled(worlds.world()), worlds.sidecar(bundle=V))
    )
    lost = worlds.settled(replace(found, store=StoreState.LOST, published=None))
    assert worlds.status_of(lost, "support")["pods"] == {"matched": 1, "current": 1}
    assert worlds.condition(lost, "support", "StoreConnected") == ("False", "StoreLost")


def test_a_baseline_policy_is_judged_as_one_where_it_is_written() -> None:
    """`namespaceSelector` is for baseline policies only."""
    fence = worlds.policy(
        "fence",
        namespace=worlds.RELEASE,
        namespaceSelector={"matchLabels": {"env": "prod"}},
        defaultAction="None",
    )
    world = worlds.world(
        namespace=worlds.RELEASE, labels={}, is_enrolled=False, policies=(fence,), sources=()
    )
    plan = reconcile(world)
    assert (plan.publish, plan.config_map, plan.annotations, plan.forget) == ((), None, {}, False)
    found = worlds.after(world, plan)
    assert worlds.condition(found, "fence", "Accepted") == ("True", "Valid")
    assert worlds.condition(found, "fence", "Programmed") == ("Unknown", "PerNamespace")
    assert worlds.condition(found, "fence", "Ready") == ("True", "PerNamespace")


def test_a_broken_baseline_policy_says_so_where_it_is_written() -> None:
    broken = worlds.broken_policy("fence", namespace=worlds.RELEASE)
    world = worlds.world(
        namespace=worlds.RELEASE, is_enrolled=False, policies=(broken,), sources=()
    )
    found = worlds.settled(world)
    assert worlds.condition(found, "fence", "Accepted") == ("False", "Invalid")
    assert worlds.condition(found, "fence", "Ready") == ("False", "Fenced")


def test_the_release_namespace_is_never_served_whatever_its_label_says() -> None:
    world = worlds.world(namespace=worlds.RELEASE, policies=(), sources=())
    assert worlds.is_empty(reconcile(world))


def _sidecars(reports: list[tuple[str, dict[str, str], int]]) -> list[Report]:
    return [
        worlds.sidecar(f"pod-{at}", agent=agent, labels=labels, bundle=bundle)
        for at, (agent, labels, bundle) in enumerate(reports)
    ]


def _condition(type_: str, status: str, reason: str, message: str) -> dict[str, object]:
    return {
        "type": type_,
        "status": status,
        "observedGeneration": 1,
        "lastTransitionTime": "2026-11-21T12:00:00Z",
        "reason": reason,
        "message": message,
    }


def _times(found: World) -> dict[str, str]:
    conditions = worlds.status_of(found, "support")["conditions"]
    assert isinstance(conditions, list)
    return {one["type"]: one["lastTransitionTime"] for one in conditions}
