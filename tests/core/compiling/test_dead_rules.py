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
