"""Why a call is decided as it is, rung by rung (P9)."""

from datetime import timedelta

import pytest

from mesh7_core.policy.bundle import Effect
from mesh7_core.policy.explain import Rung, Step, explain, offline
from mesh7_core.policy.judge import NO_LEDGER, Facts, Ledger
from mesh7_core.policy.rules import Mode, StoreLoss
from tests.core.policy.building import (
    HOUR,
    NOW,
    a_call,
    a_grant,
    a_limit,
    a_loop,
    a_policy,
    a_rule,
    a_view,
)


def _told(rungs: tuple[Rung, ...]) -> list[tuple[str, str, str]]:
    return [(one.step.value, one.subject, one.outcome) for one in rungs]


@pytest.mark.promise("P9")
def test_every_rule_that_was_looked_at_is_told_in_order() -> None:
    policy = a_policy(
        a_rule("Allow", "git.*", name="elsewhere"),
        a_rule("Deny", "billing.*", name="large", when="args.amount > 1000"),
        a_rule("Allow", "billing.*", name="missing", when="args.currency == 'EUR'"),
        a_rule("Allow", "billing.*", name="small", when="args.amount < 500"),
        a_rule("Deny", "billing.*", name="rest"),
    )
    explanation = explain(a_view(policy), a_call(arguments={"amount": 3}), NOW, NO_LEDGER)
    assert _told(explanation.rungs) == [
        ("policy", "shop/policy", "selected"),
        ("rule", "shop/policy/large", "skipped"),
        ("rule", "shop/policy/missing", "failed"),
        ("rule", "shop/policy/small", "speaks"),
        ("verdict", "shop/policy/small", "Allow"),
        ("decision", "shop/policy/small", "Allow"),
    ]
    assert explanation.rungs[2].detail == (
        "`when` failed (something the expression names is missing from the call): "
        "an Allow rule is skipped then"
    )


def test_a_lost_ledger_is_told_per_limit_loop_and_approval() -> None:
    allow = a_rule("Allow", limits=[a_limit("a", StoreLoss.ALLOW), a_limit("b")])
    view = a_view(a_policy(allow, loop=a_loop()), a_policy(a_rule("RequireApproval"), name="ask"))
    rungs = explain(view, a_call(), NOW, NO_LEDGER).rungs
    assert _told(rungs)[4:] == [
        ("verdict", "shop/ask/rule", "Hold"),
        ("limit", "shop/policy/a", "passes"),
        ("limit", "shop/policy/b", "refuses"),
        ("loop", "shop/policy/loops", "passes"),
        ("approval", "shop/ask/rule", "refuses"),
        ("decision", "shop/ask/rule", "Deny"),
    ]
    assert rungs[7].detail == "there is no ledger, so repeats are not counted"


def test_silence_defaults_and_audit_are_told() -> None:
    audited = a_policy(mode=Mode.AUDIT)
    assert _told(explain(a_view(audited), a_call(), NOW, NO_LEDGER).rungs) == [
        ("policy", "shop/policy", "selected"),
        ("default", "", "Allow"),
        ("verdict", "", "Allow"),
        ("would", "shop/policy/default", "Deny"),
        ("decision", "", "Allow"),
    ]
    assert _told(explain(a_view(), a_call(), NOW, NO_LEDGER).rungs) == [
        ("policy", "", "silent"),
        ("verdict", "", "Deny"),
        ("decision", "", "Deny"),
    ]


def test_a_rules_own_words_are_told_and_arguments_never_are() -> None:
    policy = a_policy(a_rule("Deny", when="args.token == 'x'", text="no tokens here"))
    rungs = explain(a_view(policy), a_call(arguments={"token": 4711}), NOW, NO_LEDGER).rungs
    assert rungs[-1] == Rung(
        step=Step.DECISION,
        subject="shop/policy/default",
        outcome="Deny",
        detail="denied-by-default",
    )
    assert "4711" not in repr(rungs)


@pytest.mark.promise("P9")
def test_offline_limits_admit_and_people_are_named() -> None:
    ask = a_rule("RequireApproval", limits=[a_limit()])
    explanation = offline(a_view(a_policy(ask, loop=a_loop())), a_call(), NOW)
    assert explanation.rungs[-4:] == (
        Rung(
            step=Step.LIMIT,
            subject="shop/policy/writes",
            outcome="passes",
            detail="at most 30 calls in 1m per Agent, counted when it runs",
        ),
        Rung(
            step=Step.LOOP,
            subject="shop/policy/loops",
            outcome="passes",
            detail="at most 3 identical calls in 10s, then Deny",
        ),
        Rung(
            step=Step.APPROVAL,
            subject="shop/policy/rule",
            outcome="Hold",
            detail="approval-required: one person must say yes, within 10m",
        ),
        Rung(
            step=Step.DECISION,
            subject="shop/policy/rule",
            outcome="Hold",
            detail="approval-required",
        ),
    )


@pytest.mark.promise("P9")
def test_the_grants_that_stand_in_are_named_and_those_that_do_not() -> None:
    ask = a_rule("RequireApproval", grantable=HOUR)
    grants = [a_grant("ended", lasts=timedelta()), a_grant("good")]
    rungs = offline(a_view(a_policy(ask), grants=grants), a_call(), NOW).rungs
    assert _told(rungs)[3:] == [
        ("grant", "shop/ended", "silent"),
        ("grant", "shop/good", "stands in"),
        ("approval", "shop/policy/rule", "Allow"),
        ("decision", "shop/policy/rule", "Allow"),
    ]
    assert rungs[4].detail == "for the people whom `shop/policy` asks, 10 times at most"


@pytest.mark.promise("P9")
def test_the_veto_that_stops_a_call_ends_the_ladder() -> None:
    vetoes = [
        a_grant("a", effect=Effect.DENY, lasts=timedelta()),
        a_grant("b", effect=Effect.DENY, text="the bank is closed"),
        a_grant("c", effect=Effect.DENY),
    ]
    rungs = offline(a_view(a_policy(a_rule("Allow")), grants=vetoes), a_call(), NOW).rungs
    assert _told(rungs) == [
        ("policy", "shop/policy", "selected"),
        ("veto", "shop/a", "silent"),
        ("veto", "shop/b", "refuses"),
        ("decision", "shop/b", "Deny"),
    ]
    assert rungs[-1].detail == "vetoed: the bank is closed"


@pytest.mark.parametrize(
    ("ledger", "limit", "expected"),
    [
        (Ledger.SPENT, "shop/policy/writes", ("refuses", "passes")),
        (Ledger.LOOPED, "shop/policy/loops", ("passes", "refuses")),
    ],
)
def test_the_limit_or_loop_that_is_full_is_the_one_that_refuses(
    ledger: Ledger, limit: str, expected: tuple[str, str]
) -> None:
    view = a_view(a_policy(a_rule("Allow", limits=[a_limit()]), loop=a_loop()))
    rungs = explain(view, a_call(), NOW, Facts(ledger=ledger, limit=limit)).rungs
    assert (rungs[3].outcome, rungs[4].outcome) == expected


@pytest.mark.promise("P9")
def test_why_a_standing_grant_does_not_bypass_groups_and_count_is_told() -> None:
    finance = a_rule("RequireApproval", grantable=HOUR, groups=["finance"])
    grant = a_grant(groups=("hr",))
    told = [one for one in offline(a_view(a_policy(finance), grants=[grant]), a_call(), NOW).rungs
            if one.step is Step.GRANT]  # fmt: skip
    why = "it asks people of `finance`, and whoever made the grant is not one of them"
    assert [(one.outcome, one.detail) for one in told] == [
        ("silent", f"rule `shop/policy/rule`: {why}")
    ]
