"""Laws of the judge, over arbitrary policies and calls, and a slow literal judge to agree with."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh7_core.policy.bundle import Bundle
from mesh7_core.policy.calls import Call, Family
from mesh7_core.policy.conditions import Failed
from mesh7_core.policy.decision import Decision, Verdict
from mesh7_core.policy.explain import explain
from mesh7_core.policy.judge import NO_LEDGER, Facts, Ledger, decide, may_call, needs
from mesh7_core.policy.rules import Action, Layer, Mode, Policy, Rule
from mesh7_core.policy.view import view_of
from tests.core.policy.building import (
    AGENT,
    NOW,
    a_bundle,
    a_call,
    a_limit,
    a_policy,
    a_rule,
    a_selector,
)

STRICTNESS = [Verdict.ALLOW, Verdict.HOLD, Verdict.DENY]
FACTS = [NO_LEDGER, Facts(ledger=Ledger.ADMITTED), Facts(ledger=Ledger.SPENT, limit="x")]

RULES = st.builds(
    a_rule,
    st.sampled_from(["Allow", "Deny", "RequireApproval"]),
    st.lists(
        st.sampled_from(["*", "a.*", "*.x", "a.x", "?.y*", "b.*z", "*.*z", "c*.x"]),
        min_size=1,
        max_size=2,
    ),
    when=st.sampled_from(
        ["", "", "args.n < 5", "args.s == 'x' || args.n == 1", "args.m.k == 1", "args.n + 1 < 5"]
    ),
    mode=st.sampled_from([Mode.ENFORCE, Mode.ENFORCE, Mode.AUDIT]),
    family=st.sampled_from([Family.TOOLS, Family.TOOLS, Family.RESOURCES]),
    limits=st.sampled_from([[], [a_limit("a")], [a_limit("a"), a_limit("b")]]),
    name=st.sampled_from(["one", "two"]),
)


@st.composite
def policies(draw: st.DrawFn) -> list[Policy]:
    """Up to three of the namespace and two of the baseline, each selecting the agent or not."""
    found = []
    for name in draw(st.sets(st.sampled_from(["p", "q", "r", "base-s", "base-t"]), max_size=5)):
        is_baseline = name.startswith("base")
        defaults = ["Allow", "Deny", "RequireApproval", *(["None"] if is_baseline else [])]
        found.append(
            a_policy(
                *draw(st.lists(RULES, max_size=4)),
                name=name,
                default=draw(st.sampled_from(defaults)),
                mode=draw(st.sampled_from([Mode.ENFORCE, Mode.ENFORCE, Mode.AUDIT])),
                selector=a_selector(draw(st.sampled_from([{}, {}, {"app": "other"}]))),
                baseline=is_baseline,
            )
        )
    return found


CALLS = st.builds(
    a_call,
    st.sampled_from(["a.x", "a.y", "b.yz", "c.x", "c.q", "cc.x", "made.up"]),
    st.dictionaries(
        st.sampled_from(["n", "s", "m", "N", "z"]),
        st.none()
        | st.booleans()
        | st.integers(min_value=-1, max_value=9)
        | st.just(2**70)
        | st.sampled_from(["x", "y"])
        | st.dictionaries(st.sampled_from(["k", "K"]), st.integers(0, 2)),
        max_size=4,
    ),
    family=st.sampled_from([Family.TOOLS, Family.TOOLS, Family.RESOURCES]),
)


def judged(found: Sequence[Policy], call: Call, facts: Facts = FACTS[1]) -> Decision:
    return decide(needs(view_of(a_bundle(*found), AGENT), call, NOW), facts)


def strictness(decision: Decision) -> int:
    return STRICTNESS.index(decision.verdict)


# A judge that reads design 4 word by word: no index, no plan, no shortcut, nothing remembered.

SILENT, ALLOW, ASK, DENY = 0, 1, 2, 3
SAID = {
    Action.NONE: SILENT,
    Action.ALLOW: ALLOW,
    Action.REQUIRE_APPROVAL: ASK,
    Action.DENY: DENY,
}


def literal_verdict(found: Sequence[Policy], call: Call) -> Verdict:
    selected = [one for one in found if not dict(one.selector.match_labels)]
    if selected and all(one.mode is Mode.AUDIT for one in selected):
        return Verdict.ALLOW
    own, base = (
        [one for one in selected if one.layer is layer]
        for layer in (Layer.NAMESPACE, Layer.BASELINE)
    )
    own_rules, own_says = literal_layer(own, call)
    base_rules, base_says = literal_layer(base, call)
    is_forwarded = bool(own) and all(one.mode is Mode.AUDIT for one in own)
    if is_forwarded:
        own_says = ALLOW
    is_refused = call.family is not Family.TOOLS and not (own_rules or base_rules or is_forwarded)
    says = DENY if is_refused else max(own_says, base_says)
    return {SILENT: Verdict.DENY, ALLOW: Verdict.ALLOW, ASK: Verdict.HOLD, DENY: Verdict.DENY}[says]


def literal_layer(found: Sequence[Policy], call: Call) -> tuple[bool, int]:
    """Whether a rule speaks, and what the layer says."""
    enforcing = [one for one in found if one.mode is Mode.ENFORCE]
    opinions = [opinion for one in enforcing if (opinion := literal_opinion(one, call)) != SILENT]
    if opinions:
        return True, max(opinions)
    return False, max((SAID[one.default_action] for one in enforcing), default=SILENT)


def literal_opinion(policy: Policy, call: Call) -> int:
    failed_question = SILENT
    for rule in policy.rules:
        if rule.mode is Mode.AUDIT or not literal_match(rule, call):
            continue
        outcome = True if rule.condition is None else rule.condition.evaluate_by_runtime(call, NOW)
        if outcome is True or (isinstance(outcome, Failed) and rule.action is Action.DENY):
            return max(SAID[rule.action], failed_question)
        if isinstance(outcome, Failed) and rule.action is Action.REQUIRE_APPROVAL:
            failed_question = ASK
    return failed_question


def literal_match(rule: Rule, call: Call) -> bool:
    return rule.family is call.family and any(
        glob.matches(call.source, call.name) for glob in rule.patterns
    )


@pytest.mark.promise("P3")
@given(found=policies(), call=CALLS)
@settings(deadline=None, max_examples=500)
def test_the_judge_says_what_the_design_says_word_by_word(found: list[Policy], call: Call) -> None:
    assert judged(found, call).verdict is literal_verdict(found, call)


@pytest.mark.promise("P3")
@given(found=policies(), call=CALLS, random=st.randoms(use_true_random=False))
def test_the_order_of_policies_is_no_matter(
    found: list[Policy], call: Call, random: st.DataObject
) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for facts in FACTS:
        assert judged(shuffled, call, facts) == judged(found, call, facts)


@pytest.mark.promise("P4")
@given(found=policies(), call=CALLS)
def test_nothing_in_a_namespace_weakens_the_baselines_verdict(
    found: list[Policy], call: Call
) -> None:
    """A silent baseline has no verdict; an audited one takes no part."""
    baseline = [one for one in found if one.layer is Layer.BASELINE and one.mode is Mode.ENFORCE]
    _, says = literal_layer([one for one in baseline if not one.selector.match_labels], call)
    least = {SILENT: 0, ALLOW: 0, ASK: 1, DENY: 2}[says]
    assert strictness(judged(found, call)) >= least


@pytest.mark.promise("P10")
@given(found=policies(), call=CALLS, rule=RULES, data=st.data())
def test_adding_a_deny_rule_never_turns_a_denial_into_anything_weaker(
    found: list[Policy], call: Call, rule: Rule, data: st.DataObject
) -> None:
    """Nor a Hold into an Allow, wherever it is put in a policy that is there."""
    if not found:
        return
    before = strictness(judged(found, call))
    where = data.draw(st.integers(0, len(found) - 1))
    policy = found[where]
    at = data.draw(st.integers(0, len(policy.rules)))
    denial = a_rule(
        "Deny",
        [glob.text for glob in rule.patterns],
        when="" if rule.condition is None else rule.condition.text,
        family=rule.family,
        name=f"{policy.id}/added",
    )
    changed = Policy(
        **{
            **{name: getattr(policy, name) for name in Policy.__slots__},
            "rules": (*policy.rules[:at], _moded(denial, policy.mode), *policy.rules[at:]),
        }
    )
    after = strictness(judged([*found[:where], changed, *found[where + 1 :]], call))
    assert after >= before


def _moded(rule: Rule, mode: Mode) -> Rule:
    return Rule(**{**{name: getattr(rule, name) for name in Rule.__slots__}, "mode": mode})


@pytest.mark.promise("P9")
@given(found=policies(), call=CALLS, facts=st.sampled_from(FACTS))
def test_explain_agrees_with_decide(found: list[Policy], call: Call, facts: Facts) -> None:
    view = view_of(a_bundle(*found), AGENT)
    explanation = explain(view, call, NOW, facts)
    assert explanation.decision == decide(needs(view, call, NOW), facts)
    assert explanation.rungs[-1].outcome == explanation.decision.verdict.value


@pytest.mark.promise("M2")
@given(found=policies(), call=CALLS)
def test_what_is_not_listed_is_always_denied(found: list[Policy], call: Call) -> None:
    view = view_of(a_bundle(*found), AGENT)
    if not may_call(view, call.family, call.source, call.name):
        assert judged(found, call).verdict is Verdict.DENY


@pytest.mark.promise("P11")
@given(found=policies(), calls=st.lists(CALLS, min_size=2, max_size=8))
def test_what_a_view_remembers_changes_no_answer(found: list[Policy], calls: list[Call]) -> None:
    bundle: Bundle = a_bundle(*found)
    warm = view_of(bundle, AGENT)
    for call in [*calls, *reversed(calls)]:
        fresh = needs(view_of(bundle, AGENT), call, NOW)
        again = needs(warm, call, NOW)
        for facts in FACTS:
            assert decide(again, facts) == decide(fresh, facts)
        assert (again.limits, again.loops) == (fresh.limits, fresh.loops)
