"""What is decided by what the ledger said (design 3, decide; design 5 and 6)."""

import pytest

from mesh7_core.policy.decision import Decision, Verdict
from mesh7_core.policy.judge import NO_LEDGER, Facts, Ledger, decide, needs
from mesh7_core.policy.reasons import Reason
from mesh7_core.policy.rules import RuleId, StoreLoss
from tests.core.policy.building import NOW, a_call, a_limit, a_policy, a_rule, a_view

ASKING = a_policy(
    a_rule("RequireApproval", name="big", text="refunds need finance", limits=[a_limit()])
)
ALLOWING = a_policy(a_rule("Allow", limits=[a_limit("a"), a_limit("b", StoreLoss.LOCAL)]))
BIG = (RuleId("shop/policy/big"),)
WORDS = "refunds need finance"


def facts(ledger: Ledger) -> Facts:
    """With everything in it, so that each decision shows what it takes."""
    return Facts(
        ledger=ledger,
        limit="shop/policy/writes",
        retry_after_s=7,
        request_id="r-1",
        text="not today",
        grants=("shop/morning",),
        lost=(),
    )


def _refused(reason: Reason, text: str = WORDS) -> Decision:
    return Decision(Verdict.DENY, reason, BIG, text, "shop/policy/writes", 7, "r-1")


HELD = Decision(
    Verdict.HOLD, Reason.APPROVAL_REQUIRED, BIG, WORDS, request_id="r-1", open_for_s=600
)


@pytest.mark.parametrize(
    ("ledger", "expected"),
    [
        (
            Ledger.UNAVAILABLE,
            Decision(Verdict.DENY, Reason.APPROVAL_UNAVAILABLE, BIG, WORDS),
        ),
        (Ledger.ADMITTED, HELD),
        (Ledger.SPENT, _refused(Reason.LIMIT_EXCEEDED)),
        (Ledger.LOOPED, _refused(Reason.LOOP_DETECTED)),
        (
            Ledger.GRANTED,
            Decision(Verdict.ALLOW, Reason.GRANTED, BIG, WORDS, grants=("shop/morning",)),
        ),
        (Ledger.PENDING, HELD),
        (
            Ledger.RUNNING,
            Decision(Verdict.HOLD, Reason.RUNNING, BIG, WORDS, request_id="r-1"),
        ),
        (
            Ledger.APPROVED,
            Decision(Verdict.ALLOW, Reason.APPROVED, BIG, WORDS, request_id="r-1"),
        ),
        (Ledger.DENIED, _refused(Reason.DENIED_BY_PERSON, "not today")),
        (Ledger.FULL, _refused(Reason.TOO_MANY_PENDING)),
        (Ledger.EXPIRED, _refused(Reason.APPROVAL_EXPIRED)),
        (Ledger.UNKNOWN_OUTCOME, _refused(Reason.OUTCOME_UNKNOWN)),
    ],
)
def test_every_fact_about_a_call_that_people_are_asked_about_decides_it(
    ledger: Ledger, expected: Decision
) -> None:
    assert decide(needs(a_view(ASKING), a_call(), NOW), facts(ledger)) == expected


@pytest.mark.parametrize("ledger", Ledger)
def test_what_is_denied_by_policy_stays_denied_whatever_the_ledger_says(ledger: Ledger) -> None:
    found = needs(a_view(ASKING, a_policy(a_rule("Deny"), name="no")), a_call(), NOW)
    assert decide(found, facts(ledger)) is found.decision


@pytest.mark.parametrize(
    "ledger", [Ledger.ADMITTED, Ledger.GRANTED, Ledger.PENDING, Ledger.APPROVED]
)
def test_an_allowed_call_is_answered_with_the_one_decision_that_its_needs_hold(
    ledger: Ledger,
) -> None:
    """Design 13: nothing is made on a call that could have been made before."""
    found = needs(a_view(ALLOWING), a_call(), NOW)
    assert decide(found, facts(ledger)) is found.decision


@pytest.mark.promise("L6")
@pytest.mark.parametrize(
    ("lost", "refused"),
    [
        (None, "shop/policy/a"),
        (("shop/policy/a", "shop/policy/b"), "shop/policy/a"),
        (("shop/policy/b",), "shop/policy/b"),
        ((), ""),
    ],
)
def test_a_lost_limit_refuses_unless_the_gateway_counts_its_own_share(
    lost: tuple[str, ...] | None, refused: str
) -> None:
    """What the gateway counted for itself (`Local`) is not among the lost."""
    found = needs(a_view(ALLOWING), a_call(), NOW)
    decision = decide(found, Facts(ledger=Ledger.UNAVAILABLE, lost=lost))
    assert decision.limit == refused
    assert decision.reason is (Reason.LIMIT_UNAVAILABLE if refused else Reason.ALLOWED_BY_RULE)


@pytest.mark.promise("L6")
@pytest.mark.parametrize(
    "ledger", [Ledger.ADMITTED, Ledger.GRANTED, Ledger.PENDING, Ledger.APPROVED]
)
def test_a_limit_whose_past_is_unknown_is_lost_even_where_the_ledger_answers(
    ledger: Ledger,
) -> None:
    """Design 5: an emptied store is a store loss for one window length."""
    seen = Facts(ledger=ledger, lost=("shop/policy/writes",))
    decision = decide(needs(a_view(ASKING), a_call(), NOW), seen)
    assert (decision.reason, decision.limit) == (Reason.LIMIT_UNAVAILABLE, "shop/policy/writes")


@pytest.mark.promise("L6")
def test_a_limit_that_may_be_lost_lets_pass() -> None:
    rule = a_rule("Allow", limits=[a_limit(on_store_loss=StoreLoss.ALLOW)])
    found = needs(a_view(a_policy(rule)), a_call(), NOW)
    assert decide(found, NO_LEDGER) is found.decision
