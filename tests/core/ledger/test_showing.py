"""What people are shown of arguments: exact, masked, and nothing that moves a cursor."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_core.ledger import shortening, showing
from mesh7_core.ledger.asked import Asking, Request
from mesh7_core.policy import canonical, exact

PLAIN = Request(
    id="r-00000000000000000000000001",
    digest="sha256:" + "0" * 64,
    agent="shop/support",
    pod="support-1",
    tool="billing.refund",
    arguments="{}",
    definition="",
    asking=(Asking(rule="shop/refunds/big", groups=(), count=1, text=""),),
    timeout_ms=600_000,
    use_within_ms=600_000,
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def asking(arguments: object, form: str = "arguments") -> Request:
    text = canonical.written(arguments)
    return replace(PLAIN, arguments=text, mark=exact.mark_of(form, text))


@pytest.mark.promise("A11")
def test_short_arguments_are_shown_as_they_are() -> None:
    shown = showing.shown(asking({"amount": 5, "to": "Zoë"}), [])
    assert shown == showing.Shown(text='{"amount":5,"to":"Zoë"}', size=24)
    assert not showing.is_cut(shown.size)


@pytest.mark.promise("A11")
@given(st.dictionaries(TEXT, TEXT, max_size=5))
def test_the_text_is_the_same_json_and_nothing_in_it_moves_a_cursor(
    arguments: dict[str, str],
) -> None:
    """A hostile argument with ANSI, bidi, newlines: seen as escapes, and exact."""
    shown = showing.shown(asking(arguments), [])
    assert json.loads(shown.text) == arguments
    assert shown.text.isprintable()


@pytest.mark.promise("A11")
@pytest.mark.parametrize(
    ("sign", "spelled"),
    [
        ("\x1b[2J", "\\u001b[2J"),
        ("\u202e", "\\u202e"),
        ("\x9b", "\\u009b"),
        ("\x7f", "\\u007f"),
        ("\u2028", "\\u2028"),
        ("\U000e0041", "\\udb40\\udc41"),
    ],
)
def test_a_sign_that_does_not_print_is_spelled(sign: str, spelled: str) -> None:
    assert showing.shown(asking({"a": sign}), []).text == f'{{"a":"{spelled}"}}'


@pytest.mark.promise("A11")
@pytest.mark.parametrize("sign", ["x", "é", "\x7f", "\U000e0041", "€"])
def test_what_is_too_long_is_cut_and_its_size_says_so(sign: str) -> None:
    for length in (2_000, 16_370, 16_375, 16_384, 300_000):
        request = shortening.shortened(asking({"a": sign * length}))
        shown = showing.shown(request, [])
        assert len(shown.text) <= showing.MOST_SHOWN
        is_whole = not showing.is_cut(shown.size)
        assert is_whole == ("cut out" not in shown.text)
        if is_whole:
            assert json.loads(shown.text) == {"a": sign * length}


def test_head_and_tail_of_what_is_cut_are_shown() -> None:
    shown = showing.shown(asking({"a": "x" * 40_000, "z": "end"}), [])
    assert shown.text.startswith('{"a":"xxx')
    assert shown.text.endswith('x","z":"end"}')
    assert " [… 24658 of 40018 cut out …] " in shown.text


def test_head_and_tail_of_what_the_ledger_cut_are_shown() -> None:
    shown = showing.shown(shortening.shortened(asking({"a": "x" * 400_000, "z": "\x1b"})), [])
    assert shown.size == 400_021
    assert shown.text.startswith('{"a":"xxx')
    assert shown.text.endswith('x","z":"\\u001b"}')


@pytest.mark.promise("A11")
def test_what_policies_hide_is_hidden_in_every_form() -> None:
    secret = {"card": "4711", "amount": 5}
    masked = '{"amount":5,"card":"(redacted)"}'
    assert showing.shown(asking(secret), ["$.card"]).text == masked
    params = asking({"arguments": secret, "task": {"ttl": 5}}, "params")
    assert json.loads(showing.shown(params, ["$.card"]).text) == {
        "arguments": {"card": "(redacted)", "amount": 5}, "task": {"ttl": 5}
    }  # fmt: skip
    http = asking({"method": "POST", "body": canonical.written(secret)}, "http")
    assert json.loads(showing.shown(http, ["$.card"]).text)["body"] == masked


def test_a_body_in_which_nothing_can_be_found_is_hidden_whole() -> None:
    http = asking({"method": "POST", "body": "card=4711"}, "http")
    assert json.loads(showing.shown(http, ["$.card"]).text)["body"] == "(redacted)"


def test_of_what_the_ledger_cut_nothing_is_shown_where_something_is_hidden() -> None:
    """What is to be hidden cannot be found in half of a text."""
    long = shortening.shortened(asking({"card": "4711", "z": "x" * 400_000}))
    shown = showing.shown(long, ["$.card"])
    assert "4711" not in shown.text
    assert shown.text == "[400022 bytes; none is shown, for policies hide parts of them]"


@pytest.mark.parametrize("arguments", ["", "no json", '{"cut":{"head":5}}', '"\ud800"'])
@pytest.mark.parametrize("cut_from_bytes", [0, 300_000])
@pytest.mark.parametrize("paths", [[], ["$.a"]])
def test_whatever_lies_in_redis_is_shown_or_not_but_never_fails(
    arguments: str, cut_from_bytes: int, paths: list[str]
) -> None:
    request = replace(PLAIN, arguments=arguments, cut_from_bytes=cut_from_bytes)
    assert showing.shown(request, paths).text.isprintable()
