"""The tree of a checked expression, read from the runtime's serialized form.

cel-expr-python shows no tree, but it serializes one: a `google.protobuf.Any` around a
`cel.expr.CheckedExpr` (cel-spec, proto/cel/expr/{checked,syntax}.proto). This is the small part
of the wire format and of those messages that it takes to read the expression; whatever is not
known here is `Unreadable`, so that no part of an expression is overlooked.
Pure: no clock, no network, no logging.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mesh7_core.errors import Mesh7Error


class Unreadable(Mesh7Error):  # noqa: N818 - reads as what it says, like BadCondition
    """Bytes that are no checked expression, or one with parts that are not known here."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant; signed and unsigned integers are both `int`."""

    value: bool | int | float | str | bytes | None


@dataclass(frozen=True, slots=True)
class Name:
    """A variable, perhaps dotted (`source.name`), or a loop's own."""

    name: str


@dataclass(frozen=True, slots=True)
class Field:
    """`of.field`; `is_test` for `has(of.field)`."""

    of: "Node"
    field: str
    is_test: bool


@dataclass(frozen=True, slots=True)
class Apply:
    """A function or operator; `target.function(arguments)` when there is a target."""

    function: str
    target: "Node | None"
    arguments: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Items:
    """`[a, b]`."""

    elements: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Entries:
    """`{a: b}` or a message; `keys` are empty for a message."""

    keys: tuple["Node", ...]
    values: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Loop:
    """What a macro (`exists`, `all`, `map`, …) becomes; `body` sees both variables."""

    variable: str
    over: "Node"
    total: str
    start: "Node"
    body: tuple["Node", ...]
    result: "Node"


Node = Literal | Name | Field | Apply | Items | Entries | Loop

_Value = int | bytes
_ANY_VALUE, _CHECKED_EXPRESSION = 2, 4
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


def read_tree(serialized: bytes) -> Node:
    """The tree of a serialized expression.

    Raises:
        Unreadable: the bytes are cut or damaged, or hold a part that is not known here.
    """
    checked = _one(_message(serialized), _ANY_VALUE)
    return _node(_one(_message(checked), _CHECKED_EXPRESSION))


def walk(tree: Node) -> Iterator[Node]:
    """The node and all nodes below it."""
    yield tree
    for below in _below(tree):
        yield from walk(below)


def _below(node: Node) -> tuple[Node, ...]:
    match node:
        case Field(of=of):
            return (of,)
        case Apply(target=target, arguments=arguments):
            return arguments if target is None else (target, *arguments)
        case Items(elements=elements):
            return elements
        case Entries(keys=keys, values=values):
            return (*keys, *values)
        case Loop(over=over, start=start, body=body, result=result):
            return (over, start, *body, result)
        case _:
            return ()


def _node(encoded: bytes) -> Node:
    for number, value in _fields(encoded):
        if number == 2:  # noqa: PLR2004 - the node's id
            continue
        reader = _READERS.get(number)
        if reader is None or isinstance(value, int):
            break
        return reader(value)
    raise Unreadable("an expression has a part of unknown kind")


def _literal(encoded: bytes) -> Node:
    for number, value in _fields(encoded):
        if isinstance(value, int):
            if number == 1:
                return Literal(None)
            if number == 2:  # noqa: PLR2004
                return Literal(value != 0)
            if number == 3:  # noqa: PLR2004
                return Literal(value - (1 << 64) if value >> 63 else value)
            if number == 4:  # noqa: PLR2004
                return Literal(value)
            if number == 5:  # noqa: PLR2004
                return Literal(struct.unpack("<d", value.to_bytes(8, "little"))[0])
        elif number == 6:  # noqa: PLR2004
            return Literal(_text(value))
        elif number == 7:  # noqa: PLR2004
            return Literal(value)
    raise Unreadable("an expression has a constant of unknown kind")


def _name(encoded: bytes) -> Node:
    return Name(_text(_one(_message(encoded), 1)))


def _field(encoded: bytes) -> Node:
    parts = _message(encoded)
    is_test = any(number == 3 and value for number, value in parts)  # noqa: PLR2004
    return Field(_node(_one(parts, 1)), _text(_one(parts, 2)), is_test)


def _apply(encoded: bytes) -> Node:
    parts = _message(encoded)
    target = next(iter(_all(parts, 1)), None)
    return Apply(
        _text(_one(parts, 2)), None if target is None else _node(target), _nodes(_all(parts, 3))
    )


def _items(encoded: bytes) -> Node:
    return Items(_nodes(_all(_message(encoded), 1)))


def _entries(encoded: bytes) -> Node:
    entries = [_message(entry) for entry in _all(_message(encoded), 2)]
    keys = _nodes(key for entry in entries for key in _all(entry, 3))
    return Entries(keys, _nodes(_one(entry, 4) for entry in entries))


def _loop(encoded: bytes) -> Node:
    parts = _message(encoded)
    if _all(parts, 8):
        raise Unreadable("an expression loops with two variables")
    return Loop(
        variable=_text(_one(parts, 1)),
        over=_node(_one(parts, 2)),
        total=_text(_one(parts, 3)),
        start=_node(_one(parts, 4)),
        body=(_node(_one(parts, 5)), _node(_one(parts, 6))),
        result=_node(_one(parts, 7)),
    )


_READERS = {3: _literal, 4: _name, 5: _field, 6: _apply, 7: _items, 8: _entries, 9: _loop}
"""Field numbers of `cel.expr.Expr.expr_kind`."""


def _nodes(encoded: Iterator[bytes] | Sequence[bytes]) -> tuple[Node, ...]:
    return tuple(_node(one) for one in encoded)


def _message(encoded: bytes) -> Sequence[tuple[int, _Value]]:
    return tuple(_fields(encoded))


def _all(parts: Sequence[tuple[int, _Value]], number: int) -> Sequence[bytes]:
    found = [value for this, value in parts if this == number]
    if any(isinstance(value, int) for value in found):
        raise Unreadable(f"field {number} is a number")
    return [value for value in found if isinstance(value, bytes)]


def _one(parts: Sequence[tuple[int, _Value]], number: int) -> bytes:
    found = _all(parts, number)
    if len(found) != 1:
        raise Unreadable(f"field {number} is there {len(found)} times")
    return found[0]


def _text(encoded: bytes) -> str:
    try:
        return encoded.decode()
    except UnicodeDecodeError as error:
        raise Unreadable("a text is not UTF-8") from error


def _fields(encoded: bytes) -> Iterator[tuple[int, _Value]]:
    """Field numbers and values in wire order; a 64-bit value is its bits as an integer."""
    position = 0
    while position < len(encoded):
        key, position = _varint(encoded, position)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, position = _varint(encoded, position)
            yield number, value
            continue
        if kind == _LENGTH:
            size, position = _varint(encoded, position)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise Unreadable(f"wire type {kind} is not known")
        end = position + size
        if end > len(encoded):
            raise Unreadable("the bytes end within a field")
        chunk = encoded[position:end]
        yield number, chunk if kind == _LENGTH else int.from_bytes(chunk, "little")
        position = end


def _varint(encoded: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(encoded):
            raise Unreadable("the bytes end within a number")
        byte = encoded[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the last byte has no continuation bit
            return value & 0xFFFFFFFFFFFFFFFF, position
    raise Unreadable("a number is longer than 64 bits")
