"""A call's arguments cut down to what an expression names, or why it fails whatever it says.

The runtime converts everything it is given (67 ms for an unused list of 100,000 objects), so it
is given only what is named, within a budget. The same walk refuses keys that a case-insensitive
upstream would read as a named one. Pure: no clock, no network, no logging.
"""

from collections.abc import Mapping

from mesh7_core.policy import cel
from mesh7_core.policy.folding import fold
from mesh7_core.policy.named import Named, Part

FOLDED = cel.Fault("a key of the call equals a name of the expression but for case or spelling")
TOO_LARGE = cel.Fault("what the expression names is larger than it may be")

MAXIMUM_NODES = 10_000
"""Values, keys and every `CHARACTERS_A_NODE` characters of what an expression names."""

MOST_LEARNED = 256
LONGEST_LEARNED = 64
CHARACTERS_A_NODE = 256
MAXIMUM_DEPTH = 250
SMALLEST_INTEGER = -(1 << 63)
LARGEST_INTEGER = (1 << 64) - 1
"""What CEL's `int` and `uint` hold together."""


def cut(named: Named, arguments: Mapping[str, object]) -> Mapping[str, object] | cel.Fault:
    """The arguments with only what is named, or why the expression fails whatever it says.

    What is left out could not have changed the answer. Total.
    """
    walk = _Cut(named)
    try:
        walk.left -= 1
        return walk.keys(named.arguments, arguments, 0)
    except _Refused as refused:
        return refused.fault


def has_folded_twin(part: Part, found: Mapping[str, object]) -> bool:
    """Whether a key of the object equals a named one only after folding.

    Also when two named keys that fold alike are both there: no upstream reads both.
    """
    fields, folded = part.fields, part.folded
    if not part.harmless.issuperset(found):
        for key in found:
            if key not in fields and (key.lower() if key.isascii() else fold(key)) in folded:
                return True
        _learn(part, found)
    if len(folded) == len(fields):
        return False
    present = [fold(key) for key in fields if key in found]
    return len(present) > len(set(present))


def _learn(part: Part, found: Mapping[str, object]) -> None:
    """Calls of one tool mostly have the same keys; whoever makes up others fills no memory."""
    if len(part.harmless) + len(found) <= MOST_LEARNED:
        part.harmless.update(key for key in found if len(key) <= LONGEST_LEARNED)


class _Cut:
    """One walk over one call's arguments; `left` is what remains of the node budget."""

    __slots__ = ("left", "named")

    def __init__(self, named: Named) -> None:
        self.named = named
        self.left = MAXIMUM_NODES

    def value(self, part: Part, found: object, depth: int) -> object:
        self._spend(1, depth)
        if isinstance(found, dict):
            return self.keys(part, found, depth)
        if isinstance(found, list):
            return self._list(part, found, depth)
        if not part.is_whole and not part.fields and not part.elements and not part.is_looped:
            return None  # only asked for: its presence is all that counts
        self._check_scalar(found)
        return found

    def keys(self, part: Part, found: Mapping[str, object], depth: int) -> Mapping[str, object]:
        if part.fields or part.is_whole or part.is_looped:
            self._spend(len(found), depth)
            if has_folded_twin(part, found):
                raise _Refused(FOLDED)
        if part.is_whole:
            self._whole_object(part, found, depth)
            return found
        kept: dict[str, object] = dict.fromkeys(found) if part.is_looped else {}
        for key, inner in part.fields.items():
            if key in found:
                kept[key] = self.value(inner, found[key], depth + 1)
        return kept

    def _list(self, part: Part, found: list[object], depth: int) -> list[object]:
        if part.is_whole:
            self._spend(len(found), depth)
            for element in found:
                self._whole(part.elements or _NOTHING, element, depth + 1)
            return found
        if part.elements is None:
            return []  # a list where an object is needed fails alike, whatever is in it
        return [self.value(part.elements, element, depth + 1) for element in found]

    def _whole_object(self, part: Part, found: Mapping[str, object], depth: int) -> None:
        if self.named.anywhere and any(
            self._is_odd(key) for key in found if key not in part.fields
        ):
            raise _Refused(FOLDED)
        for key, inner in found.items():
            self._spend(len(key) // CHARACTERS_A_NODE, depth)
            self._whole(part.fields.get(key, _NOTHING), inner, depth + 1)

    def _whole(self, part: Part, found: object, depth: int) -> None:
        """Walk what is passed as it is: budget, keys, integers."""
        if isinstance(found, dict):
            self._spend(len(found), depth)
            if part.fields and has_folded_twin(part, found):
                raise _Refused(FOLDED)
            self._whole_object(part, found, depth)
        elif isinstance(found, list):
            self._spend(len(found), depth)
            for element in found:
                self._whole(part.elements or _NOTHING, element, depth + 1)
        else:
            self._check_scalar(found)

    def _is_odd(self, key: str) -> bool:
        return key not in self.named.anywhere and fold(key) in self.named.anywhere_folded

    def _check_scalar(self, found: object) -> None:
        if isinstance(found, str):
            self._spend(len(found) // CHARACTERS_A_NODE, 0)
        elif isinstance(found, int) and not SMALLEST_INTEGER <= found <= LARGEST_INTEGER:
            raise _Refused(cel.BIG_INTEGER)

    def _spend(self, nodes: int, depth: int) -> None:
        self.left -= nodes
        if self.left < 0 or depth > MAXIMUM_DEPTH:
            raise _Refused(TOO_LARGE)


_NOTHING = Part()


class _Refused(Exception):  # noqa: N818 - never leaves this module
    def __init__(self, fault: cel.Fault) -> None:
        super().__init__(fault.why)
        self.fault = fault
