"""Laws of the judge, over arbitrary policies and calls, and a slow literal judge to agree with."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh7_core.policy.bundle import Bundle, Effect, Grant
from mesh7_core.policy.calls import Call, Family
from mesh7_core.policy.conditions import Failed
from mesh7_core.policy.decision import Decision, Verdict
from mesh7_core.policy.explain import explain
from mesh7_core.policy.judge import (
    NO_LEDGER,
    Facts,
    Ledger,
    admitting,
    covering,
    decide,
    may_call,
    needs,
)
from mesh7_core.policy.reasons import Reason
from mesh7_core.policy.rules import Action, Layer, Mode, Policy, Rule
from mesh7_core.policy.view import view_of
from tests.core.policy.building import (
    AGENT,
    HOUR,
    NOW,
    a_bundle,
    a_call,
    a_grant,
    a_limit,
    a_policy,
    a_rule,
    a_selector,
)

STRICTNESS = [Verdict.ALLOW, Verdict.HOLD, Verdict.DENY]
FACTS = [
    NO_LEDGER,
    Facts(ledger=Ledger.ADMITTED),
    *(
        Facts(ledger=ledger, limit="shop/policy/a", request_id="r", text="t", lost=lost)
        for ledger in Ledger
        for lost in (None, (), ("shop/policy/a",), ("shop/policy/a", "shop/policy/b"))
    ),
]

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
    grantable=st.sampled_from([None, HOUR, HOUR]),
    groups=st.sampled_from([(), (), ("finance",), ("finance", "legal")]),
    count=st.sampled_from([1, 1, 2]),
)
GRANTS = st.lists(
    st.builds(
        a_grant,
        st.sampled_from(["g", "h"]),
        st.sampled_from(["*", "a.*", "*.x", "c*.x"]),
        policy=st.sampled_from(["shop/p", "shop/q", "mesh7-system/base-s"]),
        when=st.sampled_from(["", "args.n < 5", "args.m.k == 1"]),
        uses=st.sampled_from([1, 20, 21, None]),
        groups=st.sampled_from([None, None, (), ("legal",), ("finance", "hr")]),
    ),
    max_size=4,
)
VETOES = st.lists(
    st.builds(
        a_grant,
        st.sampled_from(["v", "w"]),
        st.sampled_from(["*", "a.*", "*.x"]),
        effect=st.just(Effect.DENY),
        when=st.sampled_from(["", "args.n < 5"]),
        lasts=st.sampled_from([None, timedelta(minutes=1), timedelta()]),
    ),
    max_size=2,
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


def judged_with(
    found: Sequence[Policy], grants: Sequence[Grant], call: Call, facts: Facts | None = None
) -> Decision:
    """With grants standing in wherever they may, unless the facts are given."""
    wanted = needs(view_of(a_bundle(*found, grants=grants), AGENT), call, NOW)
    return decide(wanted, admitting(wanted, call, NOW) if facts is None else facts)


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
@given(found=policies(), grants=GRANTS, call=CALLS, rule=RULES, data=st.data())
def test_adding_a_deny_rule_never_turns_a_denial_into_anything_weaker(
    found: list[Policy], grants: list[Grant], call: Call, rule: Rule, data: st.DataObject
) -> None:
    """Nor a Hold into an Allow, wherever it is put in a policy that is there."""
    if not found:
        return
    before = strictness(judged_with(found, grants, call))
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
    after = strictness(judged_with([*found[:where], changed, *found[where + 1 :]], grants, call))
    assert after >= before


@pytest.mark.promise("A9")
@given(found=policies(), grants=GRANTS, call=CALLS, facts=st.sampled_from(FACTS))
def test_a_grant_weakens_no_denial_and_lifts_no_limit(
    found: list[Policy], grants: list[Grant], call: Call, facts: Facts
) -> None:
    """All that it can do is to answer a question, and what is decided then says so."""
    without = judged(found, call)
    decision = judged_with(found, grants, call)
    if without.verdict is not Verdict.HOLD:
        assert decision == without
    elif decision.verdict is Verdict.ALLOW:
        assert decision.reason is Reason.GRANTED
        assert decision.grants
    else:
        assert decision == without
    bundle = a_bundle(*found, grants=grants)
    own, other = (needs(view_of(one, AGENT), call, NOW) for one in (bundle, a_bundle(*found)))
    assert (own.limits, own.loops) == (other.limits, other.loops)
    assert decide(own, facts) == decide(other, facts)


@pytest.mark.promise("P4")
@given(found=policies(), grants=GRANTS, call=CALLS)
def test_a_question_of_the_baseline_is_answered_by_a_grant_for_the_baseline_alone(
    found: list[Policy], grants: list[Grant], call: Call
) -> None:
    wanted = needs(view_of(a_bundle(*found, grants=grants), AGENT), call, NOW)
    covered = covering(wanted, call, NOW)
    assert len(covered) == len(wanted.asked)
    for voice, standing in zip(wanted.asked, covered, strict=True):
        assert {one.policy for one in standing} <= {voice.policy}
        assert all(one in grants for one in standing)
    if judged_with(found, grants, call).reason is Reason.GRANTED:
        namespaces = {voice.policy.partition("/")[0] for voice in wanted.asked}
        assert namespaces <= {one.policy.partition("/")[0] for one in grants}


@pytest.mark.promise("A9")
@given(found=policies(), grants=GRANTS, call=CALLS)
def test_a_standing_grant_never_bypasses_groups_and_count(
    found: list[Policy], grants: list[Grant], call: Call
) -> None:
    """In a cluster it is one person's word: it does where one person of a group would."""
    wanted = needs(view_of(a_bundle(*found, grants=grants), AGENT), call, NOW)
    for voice, standing in zip(wanted.asked, covering(wanted, call, NOW), strict=True):
        for one in standing:
            assert voice.approval is not None
            if one.groups is not None:
                assert voice.approval.count == 1
                assert not voice.approval.groups or {*voice.approval.groups} & {*one.groups}


@pytest.mark.promise("A10")
@given(found=policies(), grants=GRANTS, vetoes=VETOES, call=CALLS, facts=st.sampled_from(FACTS))
def test_a_veto_in_force_always_denies_and_a_silent_one_changes_nothing(
    found: list[Policy], grants: list[Grant], vetoes: list[Grant], call: Call, facts: Facts
) -> None:
    decision = judged_with(found, [*grants, *vetoes], call, facts)
    if any(_is_in_force(veto, call) for veto in vetoes):
        assert decision.verdict is Verdict.DENY
        assert decision.reason in (Reason.VETOED, Reason.NO_POLICY)
    else:
        assert decision == judged_with(found, grants, call, facts)


def _is_in_force(veto: Grant, call: Call) -> bool:
    """Design 6.7 word by word."""
    globs = [glob.text for glob in veto.patterns]
    is_named = "*" in globs or (
        call.family is Family.TOOLS
        and any(glob.matches(call.source, call.name) for glob in veto.patterns)
    )
    is_ended = veto.expires_at is not None and veto.expires_at <= NOW
    is_true = veto.condition is None or veto.condition.evaluate_by_runtime(call, NOW) is not False
    return is_named and not is_ended and is_true


@given(found=policies(), grants=GRANTS, vetoes=VETOES, call=CALLS, facts=st.sampled_from(FACTS))
def test_every_fact_decides_every_call(
    found: list[Policy], grants: list[Grant], vetoes: list[Grant], call: Call, facts: Facts
) -> None:
    """`decide` is total, and never weaker than what the policies say short of people's yes."""
    wanted = needs(view_of(a_bundle(*found, grants=[*grants, *vetoes]), AGENT), call, NOW)
    decision = decide(wanted, facts)
    assert isinstance(decision, Decision)
    if facts.ledger not in (Ledger.GRANTED, Ledger.APPROVED):
        assert strictness(decision) >= strictness(wanted.decision)
    if not wanted.hangs_on_ledger:
        assert decision is wanted.decision


def _moded(rule: Rule, mode: Mode) -> Rule:
    return Rule(**{**{name: getattr(rule, name) for name in Rule.__slots__}, "mode": mode})


@pytest.mark.promise("P9")
@given(found=policies(), grants=GRANTS, vetoes=VETOES, call=CALLS, facts=st.sampled_from(FACTS))
def test_explain_agrees_with_decide(
    found: list[Policy], grants: list[Grant], vetoes: list[Grant], call: Call, facts: Facts
) -> None:
    view = view_of(a_bundle(*found, grants=[*grants, *vetoes]), AGENT)
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
