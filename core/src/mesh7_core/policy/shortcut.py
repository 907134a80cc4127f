"""Simple conditions computed in Python, beside the CEL runtime and held to it.

Comparisons of a named argument or variable with a literal, `in` a literal list, `startsWith`,
`endsWith`, `contains`, `has`, joined by `&&`, `||`, `!`. Python and CEL agree on values of the
kinds in `_is_plain`; for everything else a shortcut answers None and the runtime is asked.
A hypothesis law holds both to the same answer (tests/core/policy/test_shortcut.py).
Pure: no clock, no network, no logging.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from mesh7_core.policy import cel, cutting, named, syntax
from mesh7_core.policy.calls import Call

Answer = bool | cel.Fault
Shortcut = Callable[[Call], Answer | None]
"""The answer for a call, or None: ask the runtime."""

_Slots = list[object]
_Step = Callable[[_Slots], Answer]
Getter = Callable[[Call], object]

LARGEST_INTEGER = 1 << 53
"""Beyond it CEL compares an integer with a double after rounding, Python exactly."""

LONGEST_TEXT = 1024
MOST_KEYS = 1000

_ABSENT = object()
"""The key is not in its object."""

_BROKEN = object()
"""There is no object to look the key up in."""

_ORDERS: Mapping[str, Callable[..., bool]] = {
    "_<_": operator.lt,
    "_<=_": operator.le,
    "_>_": operator.gt,
    "_>=_": operator.ge,
}
_FLIPPED = {
    "_<_": "_>_",
    "_<=_": "_>=_",
    "_>_": "_<_",
    "_>=_": "_<=_",
    "_==_": "_==_",
    "_!=_": "_!=_",
}


class _NotSimple(Exception):  # noqa: N818 - never leaves this module
    pass


@dataclass(frozen=True, slots=True)
class _Leaf:
    """Where a named argument ends.

    Attributes:
        slot: where its value goes.
        is_test_only: only asked for by `has`, so that any value will do.
    """

    slot: int
    is_test_only: bool


class _Object:
    """What to pick from one object; `leaves` and `inner` are by key."""

    __slots__ = ("inner", "leaves", "part")

    def __init__(self, part: named.Part) -> None:
        self.part = part
        self.leaves: dict[str, _Leaf] = {}
        self.inner: dict[str, _Object] = {}


def shortcut_of(
    tree: syntax.Node, names: named.Named, variables: Mapping[str, Getter]
) -> Shortcut | None:
    """The shortcut for an expression, None when it is not simple.

    Args:
        tree: the expression.
        names: what it names.
        variables: how each variable but `args` and `now` is read off a call.
    """
    builder = _Builder(names, variables)
    try:
        step = builder.truth(tree)
    except _NotSimple:
        return None
    return _assembled(step, builder)


def _assembled(step: _Step, builder: "_Builder") -> Shortcut:
    objects, getters, empty = builder.objects, tuple(builder.getters), builder.empty()
    has_arguments = "args" in builder.names.variables

    def shortcut(call: Call) -> Answer | None:
        slots = empty.copy()
        if has_arguments:
            stop = _pick(objects, call.arguments, slots)
            if stop is not True:
                return stop
        for slot, getter in getters:
            value = getter(call)
            if value is not _ABSENT and not _is_plain(value):
                return None
            slots[slot] = value
        return step(slots)

    return shortcut


def _pick(wanted: _Object, found: Mapping[str, object], slots: _Slots) -> cel.Fault | bool | None:
    """Put the named values into their slots.

    Returns:
        True when all is well, else what the shortcut answers.
    """
    if len(found) > MOST_KEYS:
        return None
    if cutting.has_folded_twin(wanted.part, found):
        return cutting.FOLDED
    for key, leaf in wanted.leaves.items():
        value = found.get(key, _ABSENT)
        if not (leaf.is_test_only or value is _ABSENT or _is_plain(value)):
            return None
        slots[leaf.slot] = value
    for key, inner in wanted.inner.items():
        below = found.get(key)
        if isinstance(below, dict):
            stop = _pick(inner, below, slots)
            if stop is not True:
                return stop
        elif below is not None and not _is_plain(below):
            return None
    return True


def _is_plain(value: object) -> bool:
    """Whether Python and CEL agree on this value: no containers, no large or odd ones."""
    kind = type(value)
    if kind is int:
        return -LARGEST_INTEGER <= value <= LARGEST_INTEGER  # type: ignore[operator]
    if kind is str:
        return len(value) <= LONGEST_TEXT and value.isascii()  # type: ignore[arg-type,attr-defined]
    if kind is float:
        return isfinite(value)  # type: ignore[arg-type]
    return kind is bool or value is None


class _Builder:
    """Turns a tree into closures over slots; one slot per named path or variable."""

    __slots__ = ("getters", "names", "objects", "slots", "variables")

    def __init__(self, names: named.Named, variables: Mapping[str, Getter]) -> None:
        self.names = names
        self.variables = variables
        self.objects = _Object(names.arguments)
        self.getters: list[tuple[int, Getter]] = []
        self.slots: dict[tuple[str, ...], int] = {}

    def empty(self) -> _Slots:
        return [_BROKEN] * len(self.slots)

    def truth(self, node: syntax.Node) -> _Step:
        match node:
            case syntax.Apply(function="_&&_", arguments=(left, right)):
                return _both(self.truth(left), self.truth(right))
            case syntax.Apply(function="_||_", arguments=(left, right)):
                return _either(self.truth(left), self.truth(right))
            case syntax.Apply(function="!_", arguments=(inner,)):
                return _not(self.truth(inner))
            case syntax.Literal(value=bool() as value):
                return _always(value)
            case syntax.Apply():
                return self._test(node)
            case syntax.Field(of=of, field=field, is_test=True):
                return _has(self._argument(syntax.Field(of, field, is_test=False)))
            case _:
                return _flag(self._slot(node))

    def _test(self, node: syntax.Apply) -> _Step:
        match node:
            case syntax.Apply(function="_[_]"):
                return _flag(self._slot(node))
            case syntax.Apply(function="@in", arguments=(value, syntax.Items(elements=elements))):
                return _one_of(self._slot(value), [_literal(one) for one in elements])
            case syntax.Apply(
                function=function, target=None, arguments=(value, syntax.Literal() as literal)
            ):
                return _compared(function, self._slot(value), _literal(literal))
            case syntax.Apply(
                function=function, target=None, arguments=(syntax.Literal() as literal, value)
            ):
                flipped = _FLIPPED.get(function, "")
                return _compared(flipped, self._slot(value), _literal(literal))
            case syntax.Apply(
                function=("startsWith" | "endsWith" | "contains") as function,
                target=syntax.Name() | syntax.Field() | syntax.Apply() as value,
                arguments=(syntax.Literal(value=str() as text),),
            ):
                return _text_test(function, self._slot(value), text)
            case _:
                raise _NotSimple

    def _slot(self, node: syntax.Node) -> int:
        """The slot of a variable, of one label, or of a named argument."""
        if isinstance(node, syntax.Name):
            return self._variable_slot((node.name,), self.variables.get(node.name))
        found = named.literal_key(node)
        if found is not None and found[0] == syntax.Name("agent.labels"):
            label = found[1]
            return self._variable_slot(
                ("agent.labels", label), lambda call: call.agent.labels.get(label, _ABSENT)
            )
        return self._argument(node)

    def _variable_slot(self, key: tuple[str, ...], getter: Getter | None) -> int:
        if getter is None or key == ("agent.labels",):
            raise _NotSimple
        if key not in self.slots:
            self.slots[key] = len(self.slots)
            self.getters.append((self.slots[key], getter))
        return self.slots[key]

    def _argument(self, node: syntax.Node) -> int:
        path = _path(node)
        slot = self.slots.setdefault(("args", *path), len(self.slots))
        wanted = self.objects
        for key in path[:-1]:
            wanted = wanted.inner.setdefault(key, _Object(wanted.part.fields[key]))
        part = wanted.part.fields[path[-1]]
        wanted.leaves[path[-1]] = _Leaf(slot, not part.is_whole)
        return slot


def _path(node: syntax.Node) -> tuple[str, ...]:
    """The keys from `args` down; at least one."""
    found = named.literal_key(node)
    if found is None or (isinstance(node, syntax.Field) and node.is_test):
        raise _NotSimple
    of, key = found
    return (key,) if of == syntax.Name("args") else (*_path(of), key)


_Plain = bool | int | float | str | None


def _literal(node: syntax.Node) -> _Plain:
    if isinstance(node, syntax.Literal):
        value = node.value
        is_large = isinstance(value, int) and not -LARGEST_INTEGER <= value <= LARGEST_INTEGER
        is_odd = isinstance(value, float) and not isfinite(value)
        if not (is_large or is_odd or isinstance(value, bytes)):
            return value
    raise _NotSimple


def _always(value: bool) -> _Step:  # noqa: FBT001 - the literal itself
    return lambda _slots: value


def _both(left: _Step, right: _Step) -> _Step:
    def both(slots: _Slots) -> Answer:
        first = left(slots)
        if first is False:
            return False
        second = right(slots)
        return second if first is True or second is False else first

    return both


def _either(left: _Step, right: _Step) -> _Step:
    def either(slots: _Slots) -> Answer:
        first = left(slots)
        if first is True:
            return True
        second = right(slots)
        return second if first is False or second is True else first

    return either


def _not(inner: _Step) -> _Step:
    def negated(slots: _Slots) -> Answer:
        answer = inner(slots)
        return not answer if isinstance(answer, bool) else answer

    return negated


def _is_absent(value: object) -> bool:
    return value is _ABSENT or value is _BROKEN


def _misfit(value: object) -> cel.Fault:
    return cel.MISSING if _is_absent(value) else cel.WRONG_TYPE


def _flag(slot: int) -> _Step:
    def flag(slots: _Slots) -> Answer:
        value = slots[slot]
        return value if isinstance(value, bool) else _misfit(value)

    return flag


def _has(slot: int) -> _Step:
    def has(slots: _Slots) -> Answer:
        value = slots[slot]
        return cel.MISSING if value is _BROKEN else value is not _ABSENT

    return has


def _one_of(slot: int, literals: Sequence[_Plain]) -> _Step:
    # A bool equals a number in Python and not in CEL, so the kind is part of what is looked up.
    wanted = frozenset((isinstance(one, bool), one) for one in literals)

    def one_of(slots: _Slots) -> Answer:
        value = slots[slot]
        if _is_absent(value):
            return cel.MISSING
        return (value is True or value is False, value) in wanted

    return one_of


def _compared(function: str, slot: int, literal: _Plain) -> _Step:
    if function == "_==_":
        return _one_of(slot, [literal])
    if function == "_!=_":
        return _not(_one_of(slot, [literal]))
    order = _ORDERS.get(function)
    if order is None or literal is None or isinstance(literal, bool):
        raise _NotSimple
    kinds = (str,) if isinstance(literal, str) else (int, float)

    def compared(slots: _Slots) -> Answer:
        value = slots[slot]
        return order(value, literal) if type(value) in kinds else _misfit(value)

    return compared


_TEXT_TESTS: Mapping[str, Callable[[str, str], bool]] = {
    "startsWith": str.startswith,
    "endsWith": str.endswith,
    "contains": operator.contains,
}


def _text_test(function: str, slot: int, text: str) -> _Step:
    test = _TEXT_TESTS[function]

    def text_test(slots: _Slots) -> Answer:
        value = slots[slot]
        return test(value, text) if isinstance(value, str) else _misfit(value)

    return text_test
