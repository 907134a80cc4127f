"""Which policies bear on an agent (design 4, selectors)."""

import pytest

from mesh7_core.policy.calls import Agent, Family
from mesh7_core.policy.rules import LabelRequirement, Selector
from mesh7_core.policy.view import MOST_NAMES, selects
from tests.core.policy.building import AGENT, a_policy, a_rule, a_selector, a_view


def _requires(key: str, operator: str, *values: str) -> Selector:
    return a_selector(expressions=[LabelRequirement(key=key, operator=operator, values=values)])


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        (a_selector(), True),
        (a_selector({"app": "support"}), True),
        (a_selector({"app": "other"}), False),
        (a_selector({"app": "support", "tier": "x"}), False),
        (_requires("app", "In", "a", "support"), True),
        (_requires("app", "In", "a"), False),
        (_requires("tier", "In", "a"), False),
        (_requires("app", "NotIn", "a"), True),
        (_requires("app", "NotIn", "support"), False),
        (_requires("tier", "NotIn", "a"), True),
        (_requires("app", "Exists"), True),
        (_requires("tier", "Exists"), False),
        (_requires("tier", "DoesNotExist"), True),
        (_requires("app", "DoesNotExist"), False),
        (a_selector(service_accounts=["supp*"]), True),
        (a_selector(service_accounts=["x", "support"]), True),
        (a_selector(service_accounts=["x"]), False),
        (a_selector({"app": "support"}, service_accounts=["x"]), False),
    ],
)
def test_a_selector_matches_when_all_its_parts_do(selector: Selector, expected: bool) -> None:
    assert selects(selector, AGENT) is expected


def test_a_view_holds_the_policies_that_select_the_agent_sorted_by_id() -> None:
    other = a_policy(name="other", selector=a_selector({"app": "other"}))
    view = a_view(a_policy(name="z"), other, a_policy(name="a"), a_policy(baseline=True))
    assert [policy.id for policy in view.policies] == [
        "mesh7-system/policy",
        "shop/a",
        "shop/z",
    ]


def test_an_agent_of_another_namespace_is_judged_by_nothing() -> None:
    """Fail closed: a bundle speaks for its own namespace only."""
    stranger = Agent(namespace="bank", service_account="support", pod="p", labels=AGENT.labels)
    assert a_view(a_policy(default="Allow"), agent=stranger).policies == ()


@pytest.mark.promise("P11")
def test_made_up_names_do_not_fill_the_memory() -> None:
    view = a_view(a_policy(a_rule("Allow", "billing.*")))
    plans = {
        id(view.plan(Family.TOOLS, f"billing{at % 2}"[: 7 + at % 2], f"made-up-{at}"))
        for at in range(MOST_NAMES + 10)
    }
    assert len(plans) == 2
