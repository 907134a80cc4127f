"""The tree of an expression, read from bytes that another library wrote."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_core.policy import cel
from mesh7_core.policy.syntax import Apply, Field, Items, Literal, Name, Node, Unreadable, read_tree

AMOUNT = Field(Name("args"), "amount", is_test=False)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("args.amount < 500", Apply("_<_", None, (AMOUNT, Literal(500)))),
        ("args.amount == -1", Apply("_==_", None, (AMOUNT, Literal(-1)))),
        ("args.amount == 0.5", Apply("_==_", None, (AMOUNT, Literal(0.5)))),
        ("args.amount == 7u", Apply("_==_", None, (AMOUNT, Literal(7)))),
        ("args.amount == null", Apply("_==_", None, (AMOUNT, Literal(None)))),
        ("args.amount == ''", Apply("_==_", None, (AMOUNT, Literal("")))),
        ("args.amount == b'x'", Apply("_==_", None, (AMOUNT, Literal(b"x")))),
        ("has(args.amount)", Field(Name("args"), "amount", is_test=True)),
        (
            "args['a b'] == 1",
            Apply("_==_", None, (Apply("_[_]", None, (Name("args"), Literal("a b"))), Literal(1))),
        ),
        ("tool.startsWith('x')", Apply("startsWith", Name("tool"), (Literal("x"),))),
        (
            "source.name in ['a', 'b']",
            Apply("@in", None, (Name("source.name"), Items((Literal("a"), Literal("b"))))),
        ),
    ],
)
def test_a_tree_is_what_was_written(text: str, tree: Node) -> None:
    assert read_tree(cel.compile_program(text).serialized) == tree


WHOLE = cel.compile_program("args.l.exists(i, i.a == 'x' || i.b in [1, 2.5]) && {'k': 1}.k == 1")


def test_bytes_that_are_cut_are_unreadable_or_lose_only_what_stands_behind_the_tree() -> None:
    """A part of an expression must never be overlooked; positions behind it may be."""
    whole = read_tree(WHOLE.serialized)
    for length in range(len(WHOLE.serialized)):
        try:
            tree = read_tree(WHOLE.serialized[:length])
        except Unreadable:
            continue
        assert tree == whole


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_unreadable(encoded: bytes) -> None:
    try:
        read_tree(encoded)
    except Unreadable:
        return


@pytest.mark.parametrize(
    ("encoded", "message"),
    [
        (b"", "field 2 is there 0 times"),
        (b"\x12\x00", "field 4 is there 0 times"),
        (b"\x12\x02\x22\x00", "an expression has a part of unknown kind"),
        (b"\x12\x04\x22\x02\x52\x00", "an expression has a part of unknown kind"),
        (b"\x12\x04\x22\x02\x1a\x00", "an expression has a constant of unknown kind"),
        (b"\x10\x01", "field 2 is a number"),
        (b"\x13", "wire type 3 is not known"),
        (b"\x12\x05", "the bytes end within a field"),
        (b"\xff" * 11, "a number is longer than 64 bits"),
        (b"\xff", "the bytes end within a number"),
    ],
)
def test_what_is_not_known_is_named(encoded: bytes, message: str) -> None:
    with pytest.raises(Unreadable) as caught:
        read_tree(encoded)
    assert caught.value.message == message
