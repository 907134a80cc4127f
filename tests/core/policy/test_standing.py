"""Grants and vetoes at the judge (A9, A10)."""

from datetime import timedelta

import pytest

from mesh7_core.policy.bundle import Effect, Grant
from mesh7_core.policy.calls import Agent, Call, Family
from mesh7_core.policy.decision import Decision, Verdict
from mesh7_core.policy.judge import (
    ADMITTED,
    NO_LEDGER,
    Ledger,
    admitting,
    covering,
    decide,
    looped,
    may_call,
    needs,
)
from mesh7_core.policy.reasons import Reason
from mesh7_core.policy.rules import Action, Grantable, Mode, Policy, RuleId
from mesh7_core.policy.view import view_of
from tests.core.policy.building import (
    AGENT,
    HOUR,
    NOW,
    a_bundle,
    a_call,
    a_grant,
    a_loop,
    a_policy,
    a_rule,
    a_view,
)

ASK = a_rule("RequireApproval", grantable=HOUR)
ASKING = a_policy(ASK)
MINUTE = timedelta(minutes=1)


def covered(grant: Grant, *policies: Policy, call: Call | None = None) -> list[list[str]]:
    call = call or a_call()
    found = needs(a_view(*(policies or (ASKING,)), grants=[grant]), call, NOW)
    return [[one.id for one in grants] for grants in covering(found, call, NOW)]


@pytest.mark.promise("A9")
@pytest.mark.parametrize(
    ("grant", "stands"),
    [
        (a_grant(), True),
        (a_grant(account="support"), True),
        (a_grant(pod="pod-1"), True),
        (a_grant(account="sales"), False),
        (a_grant(pod="pod-2"), False),
        (a_grant(patterns="git.*"), False),
        (a_grant(policy="shop/other"), False),
        # a condition has to be true: false and failing are not
        (a_grant(when="args.amount < 10"), True),
        (a_grant(when="args.amount > 10"), False),
        (a_grant(when="args.absent > 10"), False),
        # its end
        (a_grant(lasts=timedelta()), False),
        (a_grant(lasts=-MINUTE), False),
        (a_grant(lasts=timedelta(milliseconds=1)), True),
        (a_grant(lasts=None), False),
        # as long as the rule lets it last, from when it was made
        (a_grant(lasts=timedelta(hours=1)), True),
        (a_grant(lasts=timedelta(hours=1, milliseconds=1)), False),
        (a_grant(lasts=MINUTE, made_at=NOW - timedelta(minutes=59)), True),
        (a_grant(lasts=MINUTE, made_at=NOW - timedelta(hours=1)), False),
        # not known when, or not to be believed: from now
        (a_grant(lasts=timedelta(hours=1), made_at=None), True),
        (a_grant(lasts=timedelta(hours=2), made_at=None), False),
        (a_grant(lasts=timedelta(days=9), made_at=NOW + timedelta(days=9)), False),
        # another's clock may be a little ahead
        (a_grant(lasts=timedelta(hours=1, seconds=5), made_at=NOW + timedelta(seconds=5)), True),
        # as often as the rule lets it
        (a_grant(uses=20), True),
        (a_grant(uses=21), False),
        (a_grant(uses=None), False),
    ],
)
def test_a_grant_stands_in_only_within_what_it_and_its_rule_say(grant: Grant, stands: bool) -> None:
    """Design 4, Grants; bounded by the rule's `grantable` against the creation time."""
    expected = [["shop/grant"]] if stands else [[]]
    assert covered(grant, call=a_call(arguments={"amount": 3})) == expected


@pytest.mark.promise("A9")
@pytest.mark.parametrize(
    "policy",
    [
        a_policy(a_rule("RequireApproval")),
        a_policy(default="RequireApproval"),
    ],
)
def test_what_is_not_grantable_is_asked_about_whatever_was_granted(policy: Policy) -> None:
    assert covered(a_grant(), policy) == [[]]


@pytest.mark.promise("A9")
def test_a_loop_that_asks_cannot_be_granted_away() -> None:
    loop = a_loop(Action.REQUIRE_APPROVAL)
    found = needs(a_view(a_policy(ASK, loop=loop), grants=[a_grant()]), a_call(), NOW)
    after = looped(found, loop)
    names = [[one.id for one in grants] for grants in covering(after, a_call(), NOW)]
    assert names == [["shop/grant"], []]


@pytest.mark.promise("A9")
def test_a_grant_without_a_bound_on_uses_stands_where_the_rule_sets_none() -> None:
    rule = a_rule(
        "RequireApproval",
        grantable=Grantable(maximum_duration=timedelta(hours=1), maximum_uses=None),
    )
    assert covered(a_grant(uses=None), a_policy(rule)) == [["shop/grant"]]


@pytest.mark.promise("A9")
@pytest.mark.parametrize(
    ("groups", "count", "makers", "stands"),
    [
        ((), 1, (), True),
        (("finance", "legal"), 1, ("hr", "legal"), True),
        # an outsider with the verb `approve`
        (("finance",), 1, (), False),
        (("finance",), 1, ("legal",), False),
        # one person's word for two people's
        ((), 2, (), False),
        (("finance",), 2, ("finance",), False),
        # on the laptop nobody vouches for who made it
        (("finance",), 2, None, True),
    ],
)
def test_a_standing_grant_does_not_bypass_groups_and_count(
    groups: tuple[str, ...], count: int, makers: tuple[str, ...] | None, stands: bool
) -> None:
    """docs/reference/grant.md: it is the word of one person."""
    rule = a_rule("RequireApproval", grantable=HOUR, groups=groups, count=count)
    expected = [["shop/grant"]] if stands else [[]]
    assert covered(a_grant(groups=makers), a_policy(rule)) == expected


@pytest.mark.promise("P4")
def test_a_namespaces_grant_does_not_answer_for_the_baseline() -> None:
    """Both ask; a grant for one leaves the other's question."""
    both = (ASKING, a_policy(ASK, baseline=True))
    assert covered(a_grant(), *both) == [[], ["shop/grant"]]
    assert covered(a_grant(policy="mesh7-system/policy"), *both) == [["shop/grant"], []]


def test_grants_are_for_tools_alone() -> None:
    ask = a_rule("RequireApproval", "docs.file:*", family=Family.RESOURCES, grantable=HOUR)
    call = a_call("docs.file:x", family=Family.RESOURCES)
    assert covered(a_grant(patterns="*"), a_policy(ask), call=call) == [[]]


@pytest.mark.promise("A9")
def test_offline_an_unused_grant_stands_in_for_everybody_or_people_are_asked() -> None:
    first, second = a_grant("a"), a_grant("b")
    other = a_policy(ASK, name="other")
    call = a_call()

    def facts(*grants: Grant) -> tuple[Ledger, tuple[str, ...]]:
        found = needs(a_view(ASKING, other, grants=grants), call, NOW)
        seen = admitting(found, call, NOW)
        return seen.ledger, seen.grants

    assert facts(first, second) == (Ledger.ADMITTED, ())
    for_other = a_grant("c", policy="shop/other")
    assert facts(second, first, for_other) == (Ledger.GRANTED, ("shop/c", "shop/a"))


def vetoed(veto: Grant, *policies: Policy, call: Call | None = None) -> Decision:
    view = a_view(*(policies or (a_policy(a_rule("Allow")),)), grants=[veto])
    return decide(needs(view, call or a_call(), NOW), ADMITTED)


STOPPED = Decision(Verdict.DENY, Reason.VETOED, (RuleId("shop/stop"),), "the bank is closed")


def a_veto(
    patterns: list[str] | str = "billing.*",
    *,
    when: str = "",
    lasts: timedelta | None = None,
    account: str = "",
    pod: str = "",
) -> Grant:
    return a_grant(
        "stop", patterns, effect=Effect.DENY, when=when, lasts=lasts, account=account, pod=pod,
        text="the bank is closed",
    )  # fmt: skip


@pytest.mark.promise("A10")
@pytest.mark.parametrize(
    ("veto", "is_stopped"),
    [
        (a_veto(), True),
        (a_veto("*"), True),
        (a_veto([]), True),
        (a_veto("git.*"), False),
        (a_veto(account="support"), True),
        (a_veto(account="sales"), False),
        (a_veto(pod="pod-1"), True),
        (a_veto(pod="pod-2"), False),
        (a_veto(when="args.amount > 2"), True),
        (a_veto(when="args.amount > 3"), False),
        (a_veto(when="args.absent > 3"), True),
        (a_veto(lasts=MINUTE), True),
        (a_veto(lasts=timedelta()), False),
        (a_veto(lasts=-MINUTE), False),
    ],
)
def test_a_veto_stops_what_it_is_about(veto: Grant, is_stopped: bool) -> None:
    decision = vetoed(veto, call=a_call(arguments={"amount": 3}))
    assert (decision == STOPPED) is is_stopped
    assert (decision.verdict is Verdict.ALLOW) is not is_stopped


@pytest.mark.promise("A10")
@pytest.mark.parametrize("family", [Family.RESOURCES, Family.PROMPTS])
def test_a_kill_stops_resources_and_prompts_too(family: Family) -> None:
    policy = a_policy(a_rule("Allow", "docs.*", family=family))
    call = a_call("docs.file:x", family=family)
    assert vetoed(a_veto("*"), policy, call=call) == STOPPED
    assert vetoed(a_veto([]), policy, call=call) == STOPPED
    assert vetoed(a_veto("docs.*"), policy, call=call).verdict is Verdict.ALLOW


@pytest.mark.promise("A10")
@pytest.mark.parametrize(
    "policies",
    [
        [a_policy(mode=Mode.AUDIT)],
        [a_policy(a_rule("Deny"))],
        [ASKING],
        [a_policy(default="Allow"), a_policy(a_rule("Allow"), baseline=True)],
    ],
)
def test_no_policy_lifts_a_kill(policies: list[Policy]) -> None:
    """Design 4, Audit: audit never lifts a kill either."""
    assert vetoed(a_veto("*"), *policies) == STOPPED


@pytest.mark.promise("A10")
def test_a_grant_does_not_answer_a_veto() -> None:
    view = a_view(ASKING, grants=[a_grant(), a_veto()])
    found = needs(view, a_call(), NOW)
    assert (found.grants, found.hangs_on_ledger) == ((), False)
    assert decide(found, NO_LEDGER) == STOPPED


@pytest.mark.promise("A10")
def test_a_veto_made_by_hand_lies_over_the_bundle() -> None:
    bundle = a_bundle(a_policy(a_rule("Allow")))
    view = view_of(bundle, AGENT, (a_veto(),))
    assert decide(needs(view, a_call(), NOW), ADMITTED) == STOPPED
    assert decide(needs(view_of(bundle, AGENT), a_call(), NOW), ADMITTED).verdict is Verdict.ALLOW


def test_a_veto_that_ends_is_silent_from_then_on() -> None:
    """Nothing of what is remembered outlives it: the same view, a minute later."""
    view = a_view(a_policy(a_rule("Allow")), grants=[a_veto(lasts=MINUTE)])
    before = decide(needs(view, a_call(), NOW), ADMITTED)
    after = decide(needs(view, a_call(), NOW + MINUTE), ADMITTED)
    assert (before, after.verdict) == (STOPPED, Verdict.ALLOW)


def test_a_vetoed_tool_stays_listed_so_that_it_says_why_it_is_refused() -> None:
    view = a_view(a_policy(a_rule("Allow")), grants=[a_veto("*")])
    assert may_call(view, Family.TOOLS, "billing", "refund")


def test_whom_no_policy_selects_is_refused_as_that() -> None:
    stranger = Agent(namespace="bank", service_account="support", pod="pod-1")
    for agent, policies in ((AGENT, ()), (stranger, (a_policy(),))):
        view = a_view(*policies, agent=agent, grants=[a_veto("*")])
        decision = decide(needs(view, a_call(agent=agent), NOW), ADMITTED)
        assert decision.reason is Reason.NO_POLICY
