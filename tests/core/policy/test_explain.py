"""Why a call is decided as it is, rung by rung (P9)."""

import pytest

from mesh7_core.policy.explain import Rung, Step, explain
from mesh7_core.policy.judge import NO_LEDGER
from mesh7_core.policy.rules import Mode, StoreLoss
from tests.core.policy.building import NOW, a_call, a_limit, a_loop, a_policy, a_rule, a_view


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
