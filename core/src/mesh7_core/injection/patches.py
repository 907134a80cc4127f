"""The JSON patch (RFC 6902) that makes one JSON value another: small, index by index, in order.

Entries of a list are matched by their `name` where they have one, so that a container put before
others is one `add`. Pure: no clock, no network, no logging.
"""

from collections.abc import Iterator, Mapping, Sequence


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
    # Entries before `start` are as in `after` by now, so that its indexes are those of the patch.
    low = start = 0
    for match_low, match_start in _matches(before, after):
        both = min(match_low - low, match_start - start)
        for step in range(both):
            yield from _between(before[low + step], after[start + step], f"{path}/{start + step}")
        for _ in range(match_low - low - both):
            yield {"op": "remove", "path": f"{path}/{start + both}"}
        for index in range(start + both, match_start):
            yield {"op": "add", "path": f"{path}/{index}", "value": after[index]}
        if match_low < len(before):
            yield from _between(before[match_low], after[match_start], f"{path}/{match_start}")
        low, start = match_low + 1, match_start + 1


def _matches(before: Sequence[object], after: Sequence[object]) -> Iterator[tuple[int, int]]:
    """Indexes of what is the same entry in both, in order, and the two ends.

    In one pass: whoever makes a pod chooses how long its lists are, and what is in them.
    """
    least = min(len(before), len(after))
    same = (index for index in range(least) if not _is_same(before[index], after[index]))
    head = next(same, least)
    yield from ((index, index) for index in range(head))
    most = least - head
    other = (step for step in range(most) if not _is_same(before[~step], after[~step]))
    tail = next(other, most)
    yield from _named(
        before, after, range(head, len(before) - tail), range(head, len(after) - tail)
    )
    for step in range(tail, 0, -1):
        yield len(before) - step, len(after) - step
    yield len(before), len(after)


def _named(
    before: Sequence[object], after: Sequence[object], middle: range, later: range
) -> Iterator[tuple[int, int]]:
    """Entries between the common ends, by name; of those that changed places not all."""
    places = {_name(before[index]): index for index in reversed(middle)}
    least = middle.start
    for index in later:
        name = _name(after[index])
        found = places.get(name, -1) if name is not None else -1
        if found >= least:
            yield found, index
            least = found + 1


def _is_same(one: object, other: object) -> bool:
    """Whether they are one entry, which may have changed where it has a name."""
    name = _name(one)
    return name == _name(other) and (name is not None or one == other)


def _name(entry: object) -> str | None:
    name = entry.get("name") if isinstance(entry, Mapping) else None
    return name if isinstance(name, str) else None


def _below(path: str, key: str) -> str:
    return f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
