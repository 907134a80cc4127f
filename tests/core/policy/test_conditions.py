"""A `when`, by the rules of design 4 (Errors) and promise P5."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_core.policy.calls import HttpPart
from mesh7_core.policy.conditions import BadCondition, Failed, Outcome, compile_condition
from mesh7_core.policy.cutting import MAXIMUM_NODES
from tests.core.policy.building import NOW, a_call

FAILED = "failed"


def outcome_of(text: str, arguments: dict[str, object]) -> bool | str:
    outcome: Outcome = compile_condition(text).evaluate(a_call(arguments=arguments), NOW)
    return FAILED if isinstance(outcome, Failed) else outcome


@pytest.mark.promise("P5")
@pytest.mark.parametrize(
    ("text", "arguments", "expected"),
    [
        # nested arguments, lists, numbers
        ("args.amount < 500", {"amount": 3}, True),
        ("args.amount < 500", {"amount": 500}, False),
        ("args.amount < 500", {"amount": 499.5}, True),
        ("args.order.lines[1].price == 2", {"order": {"lines": [{}, {"price": 2}]}}, True),
        ('args["amount"] == 3', {"amount": 3}, True),
        ("args.lines.all(l, l.price < 5)", {"lines": [{"price": 1}, {"price": 4}]}, True),
        ("args.lines.exists(l, l.tags.exists(t, t == 'x'))", {"lines": [{"tags": ["x"]}]}, True),
        ("args.lines.filter(l, l.price > 1).size() == 1", {"lines": [{"price": 2}]}, True),
        ("args.lines.map(l, l.price)[0] == 2", {"lines": [{"price": 2}]}, True),
        ("args.a == 9007199254740993", {"a": 9007199254740993}, True),
        ("args.a == 9007199254740993", {"a": 9007199254740992}, False),
        ("args.a == 18446744073709551615u", {"a": 18446744073709551615}, True),
        ("args.m.all(k, k != 'x')", {"m": {"x": 1}}, False),
        ("args.m.exists(k, args.m[k] == 2)", {"m": {"x": 1, "y": 2}}, True),
        ("args.size() == 2", {"a": 1, "b": 2}, True),
        ("'x' in args.m", {"m": {"x": [1] * 5}}, True),
        ("'x' in args.m", {"m": ["x"]}, True),
        ("args.m == {'a': 1}", {"m": {"a": 1}}, True),
        ("has(args.a)", {"a": None}, True),
        ("has(args.a)", {}, False),
        ("has(args.a) && args.a == 'x'", {}, False),
        ("has(args.a.b)", {"a": {}}, False),
        ("size(args.l) == 3", {"l": [{"deep": 1}, 2, 3]}, True),
        ("args.a ? args.b == 1 : args.c == 1", {"a": False, "c": 1}, True),
        # bool is no number
        ("args.a == 1", {"a": True}, False),
        ("args.a == true", {"a": 1}, False),
        ("args.a in [1, 'x']", {"a": True}, False),
        ("args.a in [1, 'x']", {"a": 1.0}, True),
        # failing
        ("args.amount < 500", {}, FAILED),
        ("args.amount < 500", {"amount": "3"}, FAILED),
        ("args.amount < 500", {"amount": None}, FAILED),
        ("args.amount < 500", {"amount": 2**64}, FAILED),
        ("args.amount < 500", {"amount": [3]}, FAILED),
        ("args.a.b == 1", {"a": "x"}, FAILED),
        ("has(args.a.b)", {}, FAILED),
        ("args.flag", {"flag": 1}, FAILED),
        ("args.a / args.b > 1", {"a": 1, "b": 0}, FAILED),
        ("args.a == 'x'", {"a": "\ud800"}, FAILED),
        # errors that are absorbed
        ("args.a < 5 || args.b == 1", {"b": 1}, True),
        ("args.a < 5 && args.b == 1", {"b": 2}, False),
        ("args.b == 1 || args.a < 5", {"b": 2}, FAILED),
        ("args.b ? true : args.a < 5", {"b": True}, True),
        # what is not named does no harm
        ("args.b == 1", {"b": 1, "a": 2**70}, True),
        ("args.b == 1", {"b": 1, "a": "\ud800"}, True),
        ("args.b == 1", {"b": 1, "a": [0] * 100_000}, True),
        ("args.b[0] == 1", {"b": [1, {"x": 2**70}]}, FAILED),
        ("args.l.all(i, i.n < 5)", {"l": [{"n": 1, "x": 2**70}]}, True),
    ],
)
def test_an_expression_sees_what_it_names(
    text: str, arguments: dict[str, object], expected: bool | str
) -> None:
    assert outcome_of(text, arguments) == expected


@pytest.mark.promise("P5")
@pytest.mark.parametrize(
    ("text", "arguments", "expected"),
    [
        ("args.amount < 500", {"Amount": 3}, FAILED),
        ("args.amount < 500", {"amount": 3, "AMOUNT": 9000}, FAILED),
        ("args.amount < 500", {"amount": 3, "\uff41mount": 9000}, FAILED),
        ("args.task == 1", {"task": 1, "ta\u017fk": 2}, FAILED),
        ("args.task == 1", {"task": 1, "tas\u212a": 2}, FAILED),
        ("has(args.amount)", {"Amount": 3}, FAILED),
        ("'amount' in args", {"Amount": 3}, FAILED),
        ("args.order.price < 5", {"order": {"price": 1, "Price": 9}}, FAILED),
        ("args.order.price < 5", {"order": {"price": 1}, "Order": {"price": 9}}, FAILED),
        ("args.lines.all(l, l.price < 5)", {"lines": [{"price": 1, "PRICE": 9}]}, FAILED),
        (
            "args.l.filter(l, l.a > 0)[0].price < 5",
            {"l": [{"a": 1, "price": 1, "Price": 9}]},
            FAILED,
        ),
        (
            "args.l.filter(l, l.a > 0).all(j, j.price < 5)",
            {"l": [{"a": 1, "price": 1, "Price": 9}]},
            FAILED,
        ),
        ("args.m == {'a': 1}", {"m": {"A": 1}}, FAILED),
        ("true || args.amount < 500", {"Amount": 3}, FAILED),
        ("args.l[0].price < 5", {"l": [{"price": 1}, {"Price": 1}]}, FAILED),
        # both spellings are named, one is there
        ("has(args.Amount) ? args.Amount < 5 : args.amount < 5", {"Amount": 3}, True),
        (
            "has(args.Amount) ? args.Amount < 5 : args.amount < 5",
            {"Amount": 3, "amount": 9},
            FAILED,
        ),
        # another level, or another name
        ("args.amount < 500", {"amount": 3, "order": {"Amount": 9}}, True),
        ("args.amount < 500", {"amount": 3, "amounts": 9}, True),
        ("args.amount < 500", {"amount": 3, "gr\u00f6\u00dfe": 9}, True),
    ],
)
def test_a_key_that_a_case_insensitive_upstream_would_read_as_a_named_one_fails_it(
    text: str, arguments: dict[str, object], expected: bool | str
) -> None:
    """Design 4, Errors: Go upstreams match keys case-insensitively."""
    assert outcome_of(text, arguments) == expected


@pytest.mark.promise("P5")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tool == 'billing.refund'", True),
        ("source.name == 'billing' && source.kind == 'mcp'", True),
        ("source.host.endsWith('.example')", True),
        ("agent.namespace == 'shop' && agent.serviceAccount == 'support'", True),
        ("agent.pod == 'pod-1'", True),
        ("agent.labels.app == 'support'", True),
        ("agent.labels['tier'] == 'x'", FAILED),
        ("has(agent.labels.tier)", False),
        ("http.method == '' && http.path == '' && http.query == ''", True),
        ("session.id == ''", True),
        ("now < timestamp('2026-11-21T10:00:01Z') && now.getFullYear() == 2026", True),
    ],
)
def test_an_expression_sees_who_calls_what_and_when(text: str, expected: bool | str) -> None:
    assert outcome_of(text, {}) == expected


def test_a_plain_http_call_shows_its_request_line() -> None:
    call = a_call(http=HttpPart(method="POST", path="/v1/x", query="a=b"))
    condition = compile_condition(
        "http.method == 'POST' && http.path.startsWith('/v1/') && http.query == 'a=b'"
    )
    assert condition.evaluate(call, NOW) is True


@pytest.mark.promise("P6")
@pytest.mark.parametrize(
    ("text", "message", "column"),
    [
        ("args.amount <", "ends too early", 14),
        ("args.a < 5 args.b", "`args` is not expected here", 12),
        ("foo(1)", "undeclared reference to `foo`", 4),
        ("", "is empty, write a condition or leave `when` out", 1),
        ("args.amount = 3", "syntax error: token recognition error at: `= `", 13),
        (
            "sourc.name == 'x'",
            "undeclared reference to `sourc.name`, did you mean `source.name`?",
            6,
        ),
        (
            "source.nam == 'x'",
            "undeclared reference to `source.nam`, did you mean `source.name`?",
            7,
        ),
        (
            "args.a < 5 && tool == 1",
            "found no matching overload for `_==_` applied to `(string, int)`",
            20,
        ),
        ("args.a + 1", "gives a value of type int, it must be true or false", 1),
        ("tool.matches('(')", "`(` is not a regular expression (RE2)", 14),
        (
            "[1].exists(args, args == 1)",
            "the loop's variable hides `args`, give it another name",
            1,
        ),
        (
            "(" * 40 + "true" + ")" * 40,
            "is nested too deeply (at most 32 levels), split the rule",
            1,
        ),
        ("true || " * 600 + "true", "longer than 4096 characters, split the rule", 1),
        ("tool == 'a\x00'", "holds a control character or a lone surrogate, remove it", 1),
        ("tool == '\ud800'", "holds a control character or a lone surrogate, remove it", 1),
    ],
)
def test_an_expression_that_does_not_compile_says_where_and_why(
    text: str, message: str, column: int
) -> None:
    with pytest.raises(BadCondition) as caught:
        compile_condition(text)
    assert (caught.value.message, caught.value.column) == (message, column)


def test_a_fault_in_a_later_line_says_the_line() -> None:
    with pytest.raises(BadCondition) as caught:
        compile_condition("args.a == 1 &&\n  toll == 'x'")
    assert (caught.value.line, caught.value.column) == (2, 3)


@pytest.mark.promise("P5")
@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("args.l.exists(i, i == 1)", {"l": [0] * (MAXIMUM_NODES + 1)}),
        ("args.s == 'x'", {"s": "x" * 256 * MAXIMUM_NODES + "y"}),
        ("args.s == 'x'", {"s": "x", **{f"k{i}": 0 for i in range(MAXIMUM_NODES + 1)}}),
        ("args.a.exists(x, args.a.exists(y, args.a.exists(z, x+y+z < 0)))", {"a": [1] * 300}),
    ],
)
def test_what_is_too_large_fails(text: str, arguments: dict[str, object]) -> None:
    """Design 4: a node budget, and the runtime's own for loops."""
    assert outcome_of(text, arguments) == FAILED


def test_the_reason_of_a_failure_quotes_no_argument() -> None:
    """House rule: error texts never hold argument values; the runtime's own do."""
    condition = compile_condition("args.amount < 500")
    for secret in ("hunter2", 10**30, {"hunter2": 10**30}):
        outcome = condition.evaluate(a_call(arguments={"amount": secret}), NOW)
        assert isinstance(outcome, Failed)
        assert "hunter2" not in outcome.why
        assert "000" not in outcome.why


def test_conditions_of_one_text_are_equal() -> None:
    """Two bundles of the same written set are equal, so their parts must be."""
    one, other = compile_condition("args.a < 5"), compile_condition("args.a < 5")
    assert one == other
    assert hash(one) == hash(other)
    assert one != compile_condition("args.a < 6")


EXPRESSIONS = [
    compile_condition(text)
    for text in (
        "args.a.b < 5 || args.l.exists(i, i.a == args.a)",
        "args.a[args.b] == 1",
        "args.a in args.l && has(args.a.b)",
        "args.l.map(i, i.a).all(x, x > 1) && args.m.exists(k, args.m[k] == 'x')",
        "args.a == args.b || !args.flag",
    )
]
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["a", "b", "l", "A", "x", "m"]), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(arguments=st.dictionaries(st.sampled_from(["a", "b", "l", "m", "flag", "A"]), JSON_VALUES))
def test_evaluation_never_raises(arguments: dict[str, object]) -> None:
    for condition in EXPRESSIONS:
        assert isinstance(condition.evaluate(a_call(arguments=arguments), NOW), bool | Failed)


@given(
    arguments=st.dictionaries(st.sampled_from(["a", "b", "l", "m", "flag"]), JSON_VALUES),
    noise=st.dictionaries(st.sampled_from(["u", "v", "w"]), JSON_VALUES, min_size=1),
)
def test_what_an_expression_does_not_name_changes_nothing(
    arguments: dict[str, object], noise: dict[str, object]
) -> None:
    """Law: only what is named is handed to the runtime."""
    for condition in EXPRESSIONS:
        with_noise = condition.evaluate(a_call(arguments={**arguments, **noise}), NOW)
        assert with_noise == condition.evaluate(a_call(arguments=arguments), NOW)
