"""Law: a shortcut never answers anything else than the CEL runtime (design 13)."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mesh7_core.policy.conditions import BadCondition, Condition, Failed, compile_condition
from tests.core.policy.building import NOW, a_call

PATHS = ["args.a", "args.b", 'args["c"]', "args.m.a", "args.m.n.a", "args.A"]
VARIABLES = ["tool", "source.name", "agent.labels.app", "agent.labels.tier", "http.path"]
LITERALS = [
    "0", "1", "-1", "2", "3u", "9007199254740992", "9007199254740993", "9223372036854775807",
    "0.0", "1.0", "-0.0", "0.1", "1e308", "9007199254740992.0", "''", "'a'", "'b'", "'\\u00e9'",
    "'shop'", "true", "false", "null",
]  # fmt: skip
TEXTS = ["''", "'a'", "'b'", "'billing.'", "'\\u00e9'"]


def _operands() -> st.SearchStrategy[str]:
    return st.sampled_from(PATHS) | st.sampled_from(VARIABLES)


@st.composite
def _comparisons(draw: st.DrawFn) -> str:
    operator = draw(st.sampled_from(["==", "!=", "<", "<=", ">", ">="]))
    sides = [draw(_operands()), draw(st.sampled_from(LITERALS))]
    if draw(st.booleans()):
        sides.reverse()
    return f"{sides[0]} {operator} {sides[1]}"


def _tests() -> st.SearchStrategy[str]:
    literals = st.lists(st.sampled_from(LITERALS), max_size=4)
    return (
        _comparisons()
        | st.builds(lambda path, ones: f"{path} in [{', '.join(ones)}]", _operands(), literals)
        | st.builds(
            lambda path, function, text: f"{path}.{function}({text})",
            _operands(),
            st.sampled_from(["startsWith", "endsWith", "contains"]),
            st.sampled_from(TEXTS),
        )
        | st.sampled_from(["has(args.a)", "has(args.m.a)", "has(args.m.n.a)", "args.a", "args.m.a"])
        | st.sampled_from(["true", "false", "has(args.a) == true", "has(agent.labels.app)"])
    )


def _expressions() -> st.SearchStrategy[str]:
    return st.recursive(
        _tests(),
        lambda inner: (
            st.builds("({}) && ({})".format, inner, inner)
            | st.builds("({}) || ({})".format, inner, inner)
            | st.builds("!({})".format, inner)
        ),
        max_leaves=5,
    )


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-2, max_value=3)
    | st.sampled_from([2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**30])
    | st.floats()
    | st.sampled_from([0.0, -0.0, 1.0, 2.0**53, float("nan"), float("inf")])
    | st.sampled_from(["", "a", "b", "ab", "é", "\U0001f600", "\uffff", "\ud800"])
    | st.text(max_size=4)
)
KEYS = st.sampled_from(["a", "b", "c", "m", "n", "A", "B", "z", "\uff41", "\u017f"])
ARGUMENTS = st.dictionaries(
    KEYS,
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=3),
        max_leaves=6,
    ),
    max_size=5,
)


def _compiled(text: str) -> Condition | None:
    """None for what does not compile, such as a comparison of `tool` with a number."""
    try:
        return compile_condition(text)
    except BadCondition:
        return None


@pytest.mark.promise("P5")
@given(text=_expressions(), cases=st.lists(ARGUMENTS, min_size=1, max_size=6))
@example(text="args.a == 9007199254740992.0", cases=[{"a": 2**53 + 1}])
@example(text="args.a == 1", cases=[{"a": True}, {"a": 1.0}, {"a": float("nan")}])
@example(text="(args.a == 1) || (args.b < 5)", cases=[{"a": 1, "b": 10**30}, {"a": 1}])
@example(text="(args.a) && (args.b == 2)", cases=[{"a": 1, "b": 3}, {"a": 1, "b": 2}])
@example(text="(args.m.a == 1) || (args.m.n.a == 2)", cases=[{"m": 10**30}, {"m": {"n": "\ud800"}}])
@example(text="(args.m.a == 1) || (args.b == 1)", cases=[{"m": 10**30, "b": 1}])
@settings(deadline=None, max_examples=400)
def test_a_shortcut_answers_as_the_runtime_does(text: str, cases: list[dict[str, object]]) -> None:
    condition = _compiled(text)
    if condition is None:
        return
    for arguments in cases:
        call = a_call(arguments=arguments)
        quick, slow = condition.evaluate(call, NOW), condition.evaluate_by_runtime(call, NOW)
        assert isinstance(quick, Failed) == isinstance(slow, Failed)
        assert isinstance(quick, Failed) or quick is slow


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("args.amount < 500", True),
        ('args["amount"] < 500 && tool == "x"', True),
        ("args.a.b.c in [1, 'x', null] || !has(args.z)", True),
        ("500 > args.amount", True),
        ("agent.labels['app'] == 'x'", True),
        ("args.a + 1 < 5", False),
        ("args.a < args.b", False),
        ("args.l.exists(i, i == 1)", False),
        ("args.a == 9007199254740993", False),
        ("args == {}", False),
        ("args.l[0] == 1", False),
        ("args.a == b'x'", False),
        ("now > timestamp('2026-01-01T00:00:00Z')", False),
        ("args.a.matches('x')", False),
        ("has(args.a) == true", False),
    ],
)
def test_only_simple_shapes_have_a_shortcut(text: str, expected: bool) -> None:
    assert compile_condition(text).has_shortcut is expected
