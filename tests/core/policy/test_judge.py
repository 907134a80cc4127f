"""Combination, errors, audit and limits: the tables of design 4."""

import pytest

from mesh7_core.policy.calls import Call, Family
from mesh7_core.policy.decision import Decision, Verdict
from mesh7_core.policy.judge import (
    ADMITTED,
    NO_LEDGER,
    Facts,
    Ledger,
    decide,
    is_exact,
    looped,
    may_call,
    needs,
    with_would,
)
from mesh7_core.policy.reasons import Reason
from mesh7_core.policy.rules import Action, Mode, Policy, RuleId, StoreLoss
from mesh7_core.policy.view import AgentView
from tests.core.policy.building import (
    APPROVAL,
    NOW,
    a_call,
    a_grant,
    a_limit,
    a_loop,
    a_policy,
    a_rule,
    a_view,
)
from tests.core.policy.counting import lines_run_by

PENDING = Facts(ledger=Ledger.PENDING, request_id="req-1")


def decided(*policies: Policy, call: Call | None = None, facts: Facts = NO_LEDGER) -> Decision:
    return decide(needs(a_view(*policies), call or a_call(), NOW), facts)


def verdict(decision: Decision) -> tuple[str, str, tuple[str, ...]]:
    return decision.verdict.value, decision.reason.value, decision.rules


ALLOW, DENY, ASK = a_rule("Allow"), a_rule("Deny"), a_rule("RequireApproval")
ELSEWHERE = a_rule("Deny", "other.*")
FAILING = "args.absent == 1"


@pytest.mark.promise("P2")
@pytest.mark.promise("P3")
@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        ([], ("Deny", "no-policy", ())),
        ([a_policy()], ("Deny", "denied-by-default", ("shop/policy/default",))),
        ([a_policy(default="Allow")], ("Allow", "allowed-by-default", ("shop/policy/default",))),
        (
            [a_policy(default="RequireApproval")],
            ("Hold", "approval-required", ("shop/policy/default",)),
        ),
        ([a_policy(ALLOW)], ("Allow", "allowed-by-rule", ("shop/policy/rule",))),
        ([a_policy(DENY, default="Allow")], ("Deny", "denied-by-rule", ("shop/policy/rule",))),
        ([a_policy(ASK)], ("Hold", "approval-required", ("shop/policy/rule",))),
        # the first match inside a policy speaks
        (
            [a_policy(a_rule("Allow", name="first"), a_rule("Deny", name="second"))],
            ("Allow", "allowed-by-rule", ("shop/policy/first",)),
        ),
        (
            [a_policy(a_rule("Allow", name="no", when="args.x == 1"), a_rule("Deny", name="yes"))],
            ("Deny", "denied-by-rule", ("shop/policy/yes",)),
        ),
        # Deny > RequireApproval > Allow across policies
        (
            [a_policy(ALLOW, name="a"), a_policy(ASK, name="b"), a_policy(DENY, name="c")],
            ("Deny", "denied-by-rule", ("shop/c/rule",)),
        ),
        (
            [a_policy(ALLOW, name="a"), a_policy(ASK, name="b")],
            ("Hold", "approval-required", ("shop/b/rule",)),
        ),
        (
            [a_policy(ASK, name="b"), a_policy(ASK, name="a")],
            ("Hold", "approval-required", ("shop/a/rule", "shop/b/rule")),
        ),
        # an Allow beats another policy's default Deny; the strictest default speaks
        (
            [a_policy(ALLOW, name="a"), a_policy(name="b")],
            ("Allow", "allowed-by-rule", ("shop/a/rule",)),
        ),
        (
            [a_policy(name="a", default="Allow"), a_policy(ELSEWHERE, name="b")],
            ("Deny", "denied-by-default", ("shop/b/default",)),
        ),
        (
            [a_policy(name="a", default="Allow"), a_policy(name="b", default="RequireApproval")],
            ("Hold", "approval-required", ("shop/b/default",)),
        ),
        # two layers
        ([a_policy(baseline=True, default="None")], ("Deny", "no-policy", ())),
        (
            [a_policy(ALLOW), a_policy(baseline=True, default="None")],
            ("Allow", "allowed-by-rule", ("shop/policy/rule",)),
        ),
        (
            [a_policy(ALLOW), a_policy(DENY, baseline=True, default="None")],
            ("Deny", "denied-by-rule", ("mesh7-system/policy/rule",)),
        ),
        (
            [a_policy(ALLOW), a_policy(baseline=True, default="Deny")],
            ("Deny", "denied-by-default", ("mesh7-system/policy/default",)),
        ),
        (
            [a_policy(DENY), a_policy(ALLOW, baseline=True)],
            ("Deny", "denied-by-rule", ("shop/policy/rule",)),
        ),
        (
            [a_policy(ALLOW), a_policy(ALLOW, baseline=True)],
            ("Allow", "allowed-by-rule", ("mesh7-system/policy/rule", "shop/policy/rule")),
        ),
        (
            [a_policy(ALLOW, baseline=True)],
            ("Allow", "allowed-by-rule", ("mesh7-system/policy/rule",)),
        ),
        (
            [a_policy(ALLOW), a_policy(ASK, baseline=True)],
            ("Hold", "approval-required", ("mesh7-system/policy/rule",)),
        ),
    ],
)
def test_opinions_combine(
    policies: list[Policy], expected: tuple[str, str, tuple[str, ...]]
) -> None:
    assert verdict(decided(*policies, facts=PENDING)) == expected


@pytest.mark.promise("P5")
@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (
            [a_rule("Allow", when=FAILING)],
            ("Deny", "denied-by-default", ("shop/policy/default",)),
        ),
        (
            [a_rule("Allow", when=FAILING), a_rule("Allow", name="next")],
            ("Allow", "allowed-by-rule", ("shop/policy/next",)),
        ),
        ([a_rule("Deny", when=FAILING)], ("Deny", "condition-failed", ("shop/policy/rule",))),
        (
            [a_rule("Deny", when=FAILING), a_rule("Allow", name="next")],
            ("Deny", "condition-failed", ("shop/policy/rule",)),
        ),
        (
            [a_rule("Deny", when=FAILING), a_rule("Deny", name="next")],
            ("Deny", "condition-failed", ("shop/policy/rule",)),
        ),
        (
            [a_rule("RequireApproval", when=FAILING)],
            ("Hold", "approval-required", ("shop/policy/rule",)),
        ),
        (
            [a_rule("RequireApproval", when=FAILING), a_rule("Allow", name="next")],
            ("Hold", "approval-required", ("shop/policy/rule",)),
        ),
        (
            [a_rule("RequireApproval", when=FAILING), a_rule("Deny", name="next")],
            ("Deny", "denied-by-rule", ("shop/policy/next",)),
        ),
        (
            [a_rule("RequireApproval", when=FAILING), a_rule("RequireApproval", name="next")],
            ("Hold", "approval-required", ("shop/policy/next", "shop/policy/rule")),
        ),
        (
            [a_rule("Deny", when="args.b == 2"), a_rule("Allow", name="next")],
            ("Allow", "allowed-by-rule", ("shop/policy/next",)),
        ),
    ],
)
def test_a_failing_condition_never_allows_and_never_turns_a_denial_into_a_question(
    rules: list[object], expected: tuple[str, str, tuple[str, ...]]
) -> None:
    call = a_call(arguments={"b": 1})
    decision = decided(a_policy(*rules), call=call, facts=PENDING)  # type: ignore[arg-type]
    assert verdict(decision) == expected


AUDITED_DENY = a_rule("Deny", mode=Mode.AUDIT, name="audited")


@pytest.mark.promise("P8")
@pytest.mark.parametrize(
    ("policies", "expected", "would"),
    [
        (
            [a_policy(mode=Mode.AUDIT)],
            ("Allow", "audit-only", ()),
            ("Deny", "denied-by-default", ("shop/policy/default",)),
        ),
        (
            [a_policy(AUDITED_DENY, ALLOW)],
            ("Allow", "allowed-by-rule", ("shop/policy/rule",)),
            ("Deny", "denied-by-rule", ("shop/policy/audited",)),
        ),
        (
            [a_policy(ALLOW, name="a"), a_policy(DENY, name="b", mode=Mode.AUDIT)],
            ("Allow", "allowed-by-rule", ("shop/a/rule",)),
            ("Deny", "denied-by-rule", ("shop/b/rule",)),
        ),
        (
            [a_policy(name="a"), a_policy(ALLOW, name="b", mode=Mode.AUDIT)],
            ("Deny", "denied-by-default", ("shop/a/default",)),
            ("Allow", "allowed-by-rule", ("shop/b/rule",)),
        ),
        # the baseline still holds
        (
            [a_policy(mode=Mode.AUDIT), a_policy(DENY, baseline=True)],
            ("Deny", "denied-by-rule", ("mesh7-system/policy/rule",)),
            ("Deny", "denied-by-rule", ("mesh7-system/policy/rule", "shop/policy/default")),
        ),
        (
            [a_policy(mode=Mode.AUDIT), a_policy(ALLOW, baseline=True, default="None")],
            ("Allow", "audit-only", ("mesh7-system/policy/rule",)),
            ("Deny", "denied-by-default", ("shop/policy/default",)),
        ),
        (
            [a_policy(baseline=True, mode=Mode.AUDIT, default="None")],
            ("Allow", "audit-only", ()),
            ("Deny", "no-policy", ()),
        ),
        (
            [
                a_policy(baseline=True, mode=Mode.AUDIT, name="a"),
                a_policy(baseline=True, name="b", default="None"),
            ],
            ("Deny", "no-policy", ()),
            ("Deny", "denied-by-default", ("mesh7-system/a/default",)),
        ),
        # audit that changes nothing is not recorded
        (
            [a_policy(a_rule("Deny", "x.*", mode=Mode.AUDIT), ALLOW)],
            ("Allow", "allowed-by-rule", ("shop/policy/rule",)),
            None,
        ),
    ],
)
def test_audit_takes_no_part_and_is_recorded(
    policies: list[Policy],
    expected: tuple[str, str, tuple[str, ...]],
    would: tuple[str, str, tuple[str, ...]] | None,
) -> None:
    decision = decided(*policies)
    assert verdict(decision) == expected
    assert (None if decision.would is None else verdict(decision.would)) == would


@pytest.mark.promise("M6")
@pytest.mark.parametrize("family", [Family.RESOURCES, Family.PROMPTS])
def test_resources_and_prompts_that_no_rule_names_are_refused(family: Family) -> None:
    """Design 10, small decisions: a default Allow opens tools and nothing else."""
    call = a_call("docs.file:///readme", family=family)
    refused = ("Deny", "not-listed-by-policy", ())
    for default in ("Allow", "Deny", "RequireApproval"):
        assert verdict(decided(a_policy(ALLOW, default=default), call=call)) == refused
    named = a_rule("Allow", "docs.file:*", family=family)
    allowed = ("Allow", "allowed-by-rule", ("shop/policy/rule",))
    assert verdict(decided(a_policy(named), call=call)) == allowed
    assert verdict(decided(a_policy(named, default="Allow"), call=a_call("docs.file:x"))) == (
        "Allow",
        "allowed-by-default",
        ("shop/policy/default",),
    )
    assert verdict(decided(call=call)) == ("Deny", "no-policy", ())


@pytest.mark.promise("L6")
@pytest.mark.parametrize(
    ("on_store_loss", "expected", "limit"),
    [
        (StoreLoss.DENY, ("Deny", "limit-unavailable"), "shop/policy/writes"),
        (StoreLoss.LOCAL, ("Deny", "limit-unavailable"), "shop/policy/writes"),
        (StoreLoss.ALLOW, ("Allow", "allowed-by-rule"), ""),
    ],
)
def test_without_a_ledger_a_limit_says_what_that_means(
    on_store_loss: StoreLoss, expected: tuple[str, str], limit: str
) -> None:
    rule = a_rule("Allow", limits=[a_limit(on_store_loss=on_store_loss)])
    decision = decided(a_policy(rule))
    assert (*verdict(decision)[:2], decision.limit) == (*expected, limit)
    assert verdict(decided(a_policy(rule), facts=PENDING))[0] == "Allow"


def test_a_spent_limit_denies_and_says_when_to_come_back() -> None:
    rule = a_rule("Allow", limits=[a_limit()])
    facts = Facts(ledger=Ledger.SPENT, limit="shop/policy/writes", retry_after_s=7)
    assert decided(a_policy(rule), facts=facts) == Decision(
        Verdict.DENY,
        Reason.LIMIT_EXCEEDED,
        (RuleId("shop/policy/rule"),),
        limit="shop/policy/writes",
        retry_after_s=7,
    )


def test_without_a_ledger_an_approval_is_unavailable_and_names_who_asked() -> None:
    ask = a_rule("RequireApproval", name="big", text="refunds need finance")
    assert decided(a_policy(ask)) == Decision(
        Verdict.DENY,
        Reason.APPROVAL_UNAVAILABLE,
        (RuleId("shop/policy/big"),),
        "refunds need finance",
    )
    assert decided(a_policy(ask), facts=PENDING).request_id == "req-1"


def test_without_a_ledger_repeats_are_not_counted() -> None:
    """A loop is a safety net and no fence: its loss stops nobody, and `explain` says so."""
    policy = a_policy(ALLOW, loop=a_loop())
    assert verdict(decided(policy))[0] == "Allow"
    assert needs(a_view(policy), a_call(), NOW).loops == (a_loop(),)


def test_needs_name_the_limits_of_all_who_spoke_unless_it_is_denied() -> None:
    one, two = a_limit("a"), a_limit("b")
    allow, ask = a_rule("Allow", limits=[two, one]), a_rule("RequireApproval", limits=[one])
    both = needs(a_view(a_policy(allow, name="a"), a_policy(ask, name="b")), a_call(), NOW)
    assert both.limits == (one, two)
    assert [voice.id for voice in both.asked] == ["shop/b/rule"]
    assert both.hangs_on_ledger
    denied = needs(a_view(a_policy(allow, name="a"), a_policy(DENY, name="b")), a_call(), NOW)
    assert (denied.limits, denied.loops, denied.asked) == ((), (), ())
    assert not denied.hangs_on_ledger
    assert not needs(a_view(a_policy(ALLOW)), a_call(), NOW).hangs_on_ledger


def test_needs_name_the_grants_of_the_policies_that_asked() -> None:
    grants = [
        a_grant("mine", "billing.*", account="support"),
        a_grant("other-tool", "git.*"),
        a_grant("other-policy", "billing.*", policy="shop/other"),
        a_grant("other-agent", "billing.*", account="sales"),
    ]
    asked = needs(a_view(a_policy(ASK), grants=grants), a_call(), NOW)
    assert [one.id for one in asked.grants] == ["shop/mine"]
    assert needs(a_view(a_policy(ALLOW), grants=grants), a_call(), NOW).grants == ()


@pytest.mark.promise("L2")
def test_a_full_loop_that_asks_makes_its_policy_ask_too() -> None:
    asks, denies = a_loop(Action.REQUIRE_APPROVAL, "a"), a_loop(Action.DENY, "b")
    view = a_view(a_policy(ALLOW, name="a", loop=asks), a_policy(ASK, name="b", loop=denies))
    before = needs(view, a_call(), NOW)
    after = looped(before, asks)
    assert after.decision == Decision(
        Verdict.HOLD, Reason.LOOP_DETECTED, (RuleId("shop/a/loops"), RuleId("shop/b/rule"))
    )
    assert [(one.id, one.approval) for one in after.asked] == [
        ("shop/b/rule", APPROVAL),
        ("shop/a/loops", APPROVAL),
    ]
    assert (after.limits, after.loops) == (before.limits, (denies,))
    assert decide(after, Facts(ledger=Ledger.LOOPED, limit=denies.id)).verdict is Verdict.DENY


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (a_policy(ALLOW), False),
        (a_policy(a_rule("Allow", limits=[a_limit()])), False),
        (a_policy(ASK), True),
        (a_policy(ALLOW, loop=a_loop()), True),
        (a_policy(DENY, loop=a_loop()), False),
    ],
)
def test_the_exact_call_matters_to_people_and_to_loops(policy: Policy, expected: bool) -> None:
    assert is_exact(needs(a_view(policy), a_call(), NOW)) is expected


def test_would_be_limits_are_named_apart() -> None:
    """Design 4, Audit: they count under keys of their own, and a full one refuses nothing."""
    audited = a_rule("Allow", limits=[a_limit()], mode=Mode.AUDIT, name="audited")
    found = needs(a_view(a_policy(audited, ALLOW)), a_call(), NOW)
    assert found.limits == ()
    assert found.would is not None
    assert found.would.limits == (a_limit(),)
    full = decide(found.would, Facts(ledger=Ledger.SPENT, limit="shop/policy/writes"))
    told = with_would(decide(found, ADMITTED), full)
    assert told.verdict is Verdict.ALLOW
    assert told.would == full
    assert with_would(told, found.decision).would is None


def test_the_first_rules_words_are_told() -> None:
    one = a_policy(a_rule("Deny", text="not on Fridays"), name="a")
    two = a_policy(a_rule("Deny", text="never"), name="b")
    assert decided(two, one).text == "not on Fridays"


def test_calls_that_the_same_rules_speak_about_share_their_needs() -> None:
    """Design 13: nothing is made on a call that could have been made before."""
    view = a_view(a_policy(a_rule("Allow", when="args.amount < 500")))
    one, other = (needs(view, a_call(arguments={"amount": at}), NOW) for at in (1, 2))
    assert one is other


@pytest.mark.promise("M2")
@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        ([], False),
        ([a_policy()], False),
        ([a_policy(default="Allow")], True),
        ([a_policy(default="RequireApproval")], True),
        ([a_policy(ALLOW)], True),
        ([a_policy(ASK)], True),
        ([a_policy(DENY, default="Allow")], False),
        ([a_policy(a_rule("Allow", when="args.a == 1"))], True),
        ([a_policy(a_rule("Deny", when="args.a == 1"))], False),
        ([a_policy(a_rule("Deny", when="args.a == 1"), default="Allow")], True),
        ([a_policy(DENY, a_rule("Allow", name="dead"), default="Allow")], False),
        ([a_policy(a_rule("Deny", when="args.a == 1"), ALLOW)], True),
        ([a_policy(a_rule("Allow", when="args.a == 1"), DENY)], True),
        ([a_policy(ALLOW, name="a"), a_policy(DENY, name="b")], False),
        ([a_policy(ALLOW), a_policy(DENY, baseline=True)], False),
        ([a_policy(ALLOW), a_policy(baseline=True, default="Deny")], False),
        ([a_policy(ALLOW), a_policy(baseline=True, default="None")], True),
        ([a_policy(baseline=True, default="None")], False),
        ([a_policy(mode=Mode.AUDIT)], True),
        ([a_policy(mode=Mode.AUDIT), a_policy(DENY, baseline=True)], False),
        ([a_policy(AUDITED_DENY, ALLOW)], True),
    ],
)
def test_a_tool_is_listed_unless_every_call_would_be_denied(
    policies: list[Policy], expected: bool
) -> None:
    assert may_call(a_view(*policies), Family.TOOLS, "billing", "refund") is expected


def test_a_resource_is_listed_only_when_a_rule_could_let_it_pass() -> None:
    named = a_rule("Allow", "docs.file:*", family=Family.RESOURCES, when="args.a == 1")
    view = a_view(a_policy(named, ALLOW, default="Allow"))
    assert may_call(view, Family.RESOURCES, "docs", "file:x")
    assert not may_call(view, Family.RESOURCES, "docs", "http:x")
    assert not may_call(view, Family.PROMPTS, "docs", "file:x")


def test_every_reason_a_voice_can_give_is_known() -> None:
    """`decide` is total: there is a reason for every action and kind that can be strictest."""
    for policies in (
        [a_policy(a_rule(action, when=when), default=default)]
        for action in ("Allow", "Deny", "RequireApproval")
        for when in ("", FAILING, "1 == 2")
        for default in ("Allow", "Deny", "RequireApproval")
    ):
        for facts in (NO_LEDGER, PENDING, Facts(ledger=Ledger.SPENT, limit="x")):
            assert isinstance(decided(*policies, facts=facts), Decision)


def _policy_of(count: int) -> Policy:
    rules = [
        a_rule("Allow", f"src{at % 50}.tool-{at}{'-*' * (at % 2)}", name=f"r{at}")
        for at in range(count - 1)
    ]
    return a_policy(*rules, a_rule("Allow", "billing.refund", when="args.amount < 500"))


@pytest.mark.promise("P11")
@pytest.mark.parametrize("name", ["billing.refund", "src3.tool-3-now", "made-up.name", "src3.made"])
def test_a_call_under_ten_thousand_rules_takes_few_more_steps_than_under_ten(name: str) -> None:
    """In lines of Python, cold (the name was never seen) and warm."""
    call = a_call(name, {"amount": 3})
    few, many = a_view(_policy_of(10)), a_view(_policy_of(10_000))

    def lines(view: AgentView) -> int:
        return lines_run_by(lambda: decide(needs(view, call, NOW), NO_LEDGER))

    cold = lines(many) - lines(few)
    warm = lines(many) - lines(few)
    assert (cold <= 40, warm) == (True, 0)
