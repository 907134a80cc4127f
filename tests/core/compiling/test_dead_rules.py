import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_core.compiling.dead_rules import Dead, find_dead
from mesh7_core.policy import rules
from mesh7_core.policy.calls import Family
from mesh7_core.policy.conditions import compile_condition
from mesh7_core.policy.globs import NameGlob


def rule(*globs: str, when: str | None = None, family: Family = Family.TOOLS) -> rules.Rule:
    return rules.Rule(
        id=rules.RuleId("n/p/r"),
        family=family,
        patterns=tuple(NameGlob.parse(glob) for glob in globs),
        condition=None if when is None else compile_condition(when),
        action=rules.Action.ALLOW,
        mode=rules.Mode.ENFORCE,
        limits=(),
        approval=None,
        text="",
    )


def test_a_rule_is_dead_when_earlier_rules_cover_all_its_globs_between_them() -> None:
    written = [rule("a.*"), rule("*.get"), rule("a.set", "b.get"), rule("a.set", "b.set")]

    assert find_dead(written, [True] * 4) == [Dead(position=2, covered_by=0)]


def test_conditions_audit_and_other_families_cover_nothing() -> None:
    written = [
        rule("*", when="args.x"),
        rule("*"),
        rule("*", family=Family.PROMPTS),
        rule("a.b"),
    ]

    assert find_dead(written, [True, False, True, True]) == []


GLOBS = st.from_regex(r"[ab*]\.[ab*?]{1,3}", fullmatch=True)
NAMES = st.from_regex(r"[ab]\.[ab]{0,3}", fullmatch=True)


@given(st.lists(GLOBS, min_size=1, max_size=6), NAMES)
def test_a_dead_rule_never_matches_first(globs: list[str], name: str) -> None:
    written = [rule(glob) for glob in globs]
    source, _, tool = name.partition(".")

    first = next(
        (at for at, one in enumerate(written) if one.patterns[0].matches(source, tool)), None
    )

    assert first not in [dead.position for dead in find_dead(written, [True] * len(written))]


@given(st.lists(GLOBS, min_size=2, max_size=6))
def test_looking_up_by_ends_finds_all_that_comparing_each_finds(globs: list[str]) -> None:
    written = [rule(glob) for glob in globs]
    expected = [
        at
        for at, one in enumerate(written)
        if any(before.patterns[0].covers(one.patterns[0]) for before in written[:at])
    ]

    assert [dead.position for dead in find_dead(written, [True] * len(written))] == expected


_LONG = "*.*" + "?a*" * 330
_MADE_TO_TAKE_LONG = {
    # Found by an adversarial review: 12 kB that took 16 s.
    "alike": [[f"*.*q{j:03d}x{k:02d}*y?z*" for k in range(20)] for j in range(30)],
    "many": [[f"*.*{j}x{k}*z*" for k in range(128)] for j in range(500)],
    "short": [[f"s{j}.t{k}*" for k in range(128)] for j in range(500)],
    "long": [[f"{_LONG}{j:03d}*"] for j in range(500)],
    "of all lengths": [
        ["s." + "a" * p + "*" + "b" * (j % 50) for p in range(j // 50 * 12, j // 50 * 12 + 60)]
        for j in reversed(range(500))
    ],
}


@pytest.mark.promise("K1", "P6")
@pytest.mark.parametrize("globs", _MADE_TO_TAKE_LONG.values(), ids=list(_MADE_TO_TAKE_LONG))
def test_no_policy_keeps_the_compiler_busy_by_its_globs(globs: list[list[str]]) -> None:
    """The largest that the CRD and etcd take; what is written twice is found all the same."""
    written = [rule(*each) for each in (*globs, globs[0])]
    before_s = time.process_time()

    dead = find_dead(written, [True] * len(written))

    assert time.process_time() - before_s < 4.0, "it took sixteen"
    assert Dead(position=len(globs), covered_by=0) in dead


@pytest.mark.promise("P6")
def test_dead_rules_of_large_ordinary_policies_are_found() -> None:
    """The bound is far from what people write."""
    written = [rule(f"source{at % 50}.tool_{at}_*") for at in range(10_000)]
    written += [rule("source7.tool_7_x"), rule("source49.tool_9999_?*"), rule("source7.tool_8_x")]

    assert find_dead(written, [True] * len(written)) == [
        Dead(position=10_000, covered_by=7),
        Dead(position=10_001, covered_by=9_999),
    ]
