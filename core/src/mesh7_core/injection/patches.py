"""The JSON patch (RFC 6902) that makes one JSON value another: small, index by index, in order.

Entries of a list are matched by their `name` where they have one, so that a container put before
others is one `add`. Pure: no clock, no network, no logging.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher


def difference(
    before: Mapping[str, object], after: Mapping[str, object]
) -> tuple[dict[str, object], ...]:
    """Operations `add`, `replace`, `remove`; empty = they are equal."""
    return tuple(_between(before, after, ""))


def _between(before: object, after: object, path: str) -> Iterator[dict[str, object]]:
    if before is after:
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        yield from _mappings(before, after, path)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _lists(before, after, path)
    # True is 1 to Python and not to JSON.
    elif type(before) is not type(after) or before != after:
        yield {"op": "replace", "path": path, "value": after}


def _mappings(
    before: Mapping[str, object], after: Mapping[str, object], path: str
) -> Iterator[dict[str, object]]:
    for key in before:
        if key not in after:
            yield {"op": "remove", "path": _below(path, key)}
    for key, value in after.items():
        if key in before:
            yield from _between(before[key], value, _below(path, key))
        else:
            yield {"op": "add", "path": _below(path, key), "value": value}


def _lists(
    before: Sequence[object], after: Sequence[object], path: str
) -> Iterator[dict[str, object]]:
    matcher = SequenceMatcher(
        None, [_sign(one) for one in before], [_sign(one) for one in after], autojunk=False
    )
    # Entries before `start` are as in `after` by now, so that its indexes are those of the patch.
    for _, low, high, start, end in matcher.get_opcodes():
        both = min(high - low, end - start)
        for step in range(both):
            yield from _between(before[low + step], after[start + step], f"{path}/{start + step}")
        for _ in range(high - low - both):
            yield {"op": "remove", "path": f"{path}/{start + both}"}
        for index in range(start + both, end):
            yield {"op": "add", "path": f"{path}/{index}", "value": after[index]}


def _sign(entry: object) -> str:
    """What an entry is known by: its name, or all of it."""
    name = entry.get("name") if isinstance(entry, Mapping) else None
    return f"name {name}" if isinstance(name, str) else json.dumps(entry, sort_keys=True)


def _below(path: str, key: str) -> str:
    return f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
