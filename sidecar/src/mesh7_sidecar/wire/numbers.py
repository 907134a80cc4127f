"""What jiter still lets through in JSON: overflowed floats, endless digits, one level too many.

The checks first ask the raw bytes whether there can be anything to find: `bytes.translate` turns
every digit into `0`, and a search for a telling run costs a tenth of a microsecond. Only a hit is
looked at properly. Pure: no clock, no network, no logging.
"""

import math
import re
from collections.abc import Iterable

MAXIMUM_DEPTH = 200
"""Nested containers, the root counted."""

MAXIMUM_DIGITS = 400
"""Digits of one number, all its parts together."""

# `{` becomes `[` so that one count bounds the depth; `+` is deleted so that `e+309` is `e309`.
_CLASSES = bytes.maketrans(b"123456789E{", b"000000000e[")
# A number beyond `MAXIMUM_DIGITS` has a part (whole, fraction, exponent) of at least a third of it;
# one that overflows without an exponent of three digits has a whole part of more than 200.
_LONG_RUN = b"0" * (MAXIMUM_DIGITS // 3)
_LONG_EXPONENT = b"0e000"
_STRING_OR_NUMBER = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|-?[0-9][0-9.eE+-]*+', re.DOTALL)
_DIGITS = [b"%d" % digit for digit in range(10)]


def is_bounded(body: bytes, value: object) -> bool:
    """Whether no number overflows or is too long and nothing nests too deep.

    Args:
        body: JSON that jiter has accepted.
        value: what jiter made of it.
    """
    classes = body.translate(_CLASSES, b"+")
    if (
        len(body) > 2 * MAXIMUM_DEPTH
        and classes.count(b"[") > MAXIMUM_DEPTH
        and _depth(value) > MAXIMUM_DEPTH
    ):
        return False
    has_run = _LONG_RUN in classes
    if not has_run and _LONG_EXPONENT not in classes:
        return True
    return not (has_run and _has_long_number(body)) and _is_finite(value)


def _depth(value: object) -> int:
    """Levels of containers; stops counting one level beyond the limit."""
    level = _containers([value])
    depth = 0
    while level and depth <= MAXIMUM_DEPTH:
        depth += 1
        level = [
            inner
            for node in level
            for inner in _containers(node.values() if isinstance(node, dict) else node)
        ]
    return depth


def _containers(values: Iterable[object]) -> list[dict[str, object] | list[object]]:
    return [value for value in values if isinstance(value, dict | list)]


def _is_finite(value: object) -> bool:
    pending = [value]
    while pending:
        node = pending.pop()
        if isinstance(node, float) and not math.isfinite(node):
            return False
        if isinstance(node, dict):
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)
    return True


def _has_long_number(body: bytes) -> bool:
    return any(
        len(token) > MAXIMUM_DIGITS and sum(map(token.count, _DIGITS)) > MAXIMUM_DIGITS
        for token in _STRING_OR_NUMBER.findall(body)
        if not token.startswith(b'"')
    )
