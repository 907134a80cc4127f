import pytest

from mesh7_core.api import places, reading


def test_values_come_with_the_line_of_each() -> None:
    (text,) = reading.read("a: 1\nb:\n- x: yes\n  y: [1, 2.5, ~, true]\nc: {d: e}\n")

    assert text.value == {"a": 1, "b": [{"x": "yes", "y": [1, 2.5, None, True]}], "c": {"d": "e"}}
    assert places.line_at(text.place, ("b", 0, "y", 2)) == 4
    assert places.line_at(text.place, ("b", 0, "missing")) == 3
    assert places.line_at(text.place, ("c", "d")) == 5


@pytest.mark.parametrize("word", ["yes", "no", "on", "off", "Y", "1_000", "12:30", "2026-11-21"])
def test_words_of_yaml_1_1_are_text(word: str) -> None:
    """Design 4: no YAML-1.1 booleans as enum values."""
    assert [one.value for one in reading.read(f"[{word}]")] == [[word]]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\nb: 2\na: 3", 3, "key `a` stands twice in one mapping, first in line 1, keep one"),
        ("1: a", 1, "key `1` is not text, put it into quotes"),
        ("? [a]\n: b", 1, "a key is not plain text, write a word followed by `:`"),
        ("a: &x [*x]", 1, "alias `*x` names no finished anchor before it"),
        ("a: *x", 1, None),
        ("<<: {a: 1}", 1, "merge keys (`<<`) are not supported, write the fields out"),
        (
            "a: !!python/name:os.system",
            1,
            "tag `!!python/name:os.system` is not supported, remove it",
        ),
        ("a: !secret b", 1, "tag `!secret` is not supported, remove it"),
        ("a: 1e999", 1, "number `1e999` is too large, quote it if it is text"),
        ("a: .inf", 1, "`.inf` is no number that can be used here, quote it"),
        ("a:\n  b: \x07", 2, "a control character stands here, remove it"),
        ("[" * 60, 1, "nested deeper than 50 levels, flatten it"),
        (
            "a: 010",
            1,
            (
                "number `010` means different things in YAML 1.1 and 1.2, quote it if it is text, "
                "else write it without the leading 0"
            ),
        ),
    ],
)
def test_what_surprises_in_yaml_is_refused(text: str, line: int, message: str | None) -> None:
    with pytest.raises(reading.Unreadable) as caught:
        reading.read(text)

    assert caught.value.line == line
    assert message is None or caught.value.message == message


def test_aliases_may_repeat_a_little() -> None:
    (text,) = reading.read("a: &x {b: 1}\nc: *x\n")

    assert text.value == {"a": {"b": 1}, "c": {"b": 1}}


def test_aliases_cannot_multiply_a_file() -> None:
    """A few hundred bytes must not become gigabytes."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]

    with pytest.raises(reading.Unreadable, match="aliases add more than 10000 values"):
        reading.read("\n".join(lines))


def test_bytes_that_are_not_utf_8_are_told_with_their_line() -> None:
    with pytest.raises(reading.Unreadable) as caught:
        reading.decode(b"a: 1\nb: \xff\n")

    assert (caught.value.line, caught.value.message) == (
        2,
        "the file is not UTF-8, save it as UTF-8",
    )
