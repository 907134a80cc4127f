"""Nothing that moves a cursor or hides reaches a terminal; JSON keeps its value and its digits."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_cli import neutral, spelled

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.promise("A11")
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain `git.git_log` – ünïcode 漢字", "plain `git.git_log` – ünïcode 漢字"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\x9b31m", "\\x9b31m"),
        ("\x1b]8;;http://evil\x07here\x1b]8;;\x07", "\\x1b]8;;http://evil\\x07here\\x1b]8;;\\x07"),
        ("a\rb\nc\td", "a\\rb\\nc\\td"),
        ("safe\u202etxt.exe", "safe\\u202etxt.exe"),
        ("a\u2066b\u2069", "a\\u2066b\\u2069"),
        ("pay\u200bpal\ufeff", "pay\\u200bpal\\ufeff"),
        ("no\u00a0break\u3000wide", "no\\xa0break\\u3000wide"),
        ("\u3164\uffa0\u115f\u2800", "\\u3164\\uffa0\\u115f\\u2800"),
        ("a\ufe0fb\U000e0100", "a\\ufe0fb\\U000e0100"),
        ("tag \U000e0041", "tag \\U000e0041"),
        ("\ud800", "\\ud800"),
        ("Viê\u0323t", "Viê\u0323t"),
        ("\u0338x", "\\u0338x"),
        ("a" + "\u0301" * 6, "a" + "\u0301" * 4 + "\\u0301\\u0301"),
        ("5\u20dd", "5\\u20dd"),
    ],
)
def test_what_a_terminal_would_obey_or_hide_is_spelled(text: str, shown: str) -> None:
    """Issue 4: nothing can move the approver's cursor, and nothing invisible hides in a name."""
    assert neutral.line(text) == shown


@pytest.mark.promise("A11")
@given(st.text())
def test_a_line_has_only_letters_that_are_drawn(text: str) -> None:
    """Whatever the text: no control, format, separator or unassigned letter is left."""
    kinds = {unicodedata.category(letter) for letter in neutral.line(text) if letter != " "}
    assert kinds & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs", "Me"} == set()


@pytest.mark.promise("A11")
@given(VALUES)
def test_neutral_json_reads_back_to_the_same(value: object) -> None:
    """Escaping changes no value: what is shown is what runs."""
    assert json.loads(spelled.pretty(value)) == value
    assert json.loads(spelled.compact(value)) == value


@pytest.mark.promise("A11")
@pytest.mark.parametrize(
    "number",
    [
        "1e3",
        "1.10",
        "-0",
        "-0.0",
        "1E400",
        "123456789012345678901234567890",
        "0.1000000000000000001",
    ],
)
def test_numbers_are_shown_as_they_were_spelled(number: str) -> None:
    """Issue 4: big integers keep their digits; a person sees what the tool will get."""
    assert spelled.compact(spelled.read(f'{{"n":[{number}]}}')) == f'{{"n":[{number}]}}'


def test_pretty_json_is_indented_like_the_standard_library_does() -> None:
    value = {"a": [1, {"b": []}, {}], "c": None, "d": True, "e": "ü"}
    assert spelled.pretty(value) == json.dumps(value, indent=2, ensure_ascii=False)
