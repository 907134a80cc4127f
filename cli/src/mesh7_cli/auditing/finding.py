"""The newest records that are wanted, by the index: their places alone, no file is read here."""

import heapq
import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from mesh7_cli.auditing.index import STRETCH_BITS, traits_of
from mesh7_core.audit import wanted as wanting
from mesh7_core.audit.recorded import Kind
from mesh7_core.audit.wanted import Wanted

_EARLIEST: Final = -(1 << 62)
_LATEST: Final = 1 << 62
_END: Final = 1 << 62
_DIGITS: Final = 18

Found = tuple[int, int, int, int]
"""Place, number of the segment, offset and length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Which places are looked at: from `low` up to `before`, which is not."""

    low: int
    before: int


def newest(
    connection: sqlite3.Connection, wanted: Wanted, before: int | None, limit: int
) -> list[Found]:
    """At most `limit` records, newest first.

    Args:
        before: a place; only older ones. None = of all.
    """
    reach = _reach(connection, wanted, _END if before is None else before)
    if reach is None:
        return []
    single = _single(wanted)
    if single is not None:
        return _by_name(connection, wanted, reach, single, limit)
    if replace(wanted, since_us=None, until_us=None) == Wanted():
        return _by_place(connection, wanted, reach, limit)
    return _by_traits(connection, wanted, reach, limit)


def place_of(connection: sqlite3.Connection, segment: int, offset: int) -> int:
    """The lowest place that is not before this offset; beyond all when everything is."""
    low, high = connection.execute("SELECT min(place), max(place) FROM records").fetchone()
    if low is None:
        return 0
    high += 1
    # Places and offsets grow together, so a search in halves finds it without an index of its own.
    while low < high:
        middle = (low + high) // 2
        place, *where = connection.execute(
            "SELECT place, segment, begin FROM records WHERE place >= ? ORDER BY place LIMIT 1",
            (middle,),
        ).fetchone()
        if where < [segment, offset]:
            low = place + 1
        else:
            high = middle
    return int(low)


def _reach(connection: sqlite3.Connection, wanted: Wanted, before: int) -> Reach | None:
    """The stretches that may hold the asked time; None when none does."""
    if wanted.since_us is None and wanted.until_us is None:
        return Reach(low=0, before=before)
    first, last = connection.execute(
        "SELECT min(number), max(number) FROM stretches WHERE last >= ? AND first < ?",
        _times(wanted),
    ).fetchone()
    if first is None:
        return None
    return Reach(low=first << STRETCH_BITS, before=min(before, (last + 1) << STRETCH_BITS))


def _times(wanted: Wanted) -> tuple[int, int]:
    return (
        _EARLIEST if wanted.since_us is None else wanted.since_us,
        _LATEST if wanted.until_us is None else wanted.until_us,
    )


def _within(wanted: Wanted) -> tuple[str, tuple[int, ...]]:
    """The part of a query that asks for the time, and what it is given."""
    if wanted.since_us is None and wanted.until_us is None:
        return "", ()
    return " AND at >= ? AND at < ?", _times(wanted)


def _single(wanted: Wanted) -> tuple[str, str | int] | None:
    """The column that names few records at most, and what stands there; None = there is none."""
    if wanted.id:
        number = wanted.id.rpartition("-")[2]
        is_number = number.isascii() and number.isdigit() and len(number) <= _DIGITS
        return "number", int(number) if is_number else -1
    if wanted.request:
        return "request", wanted.request
    return ("trace", wanted.trace) if wanted.trace else None


def _by_name(
    connection: sqlite3.Connection,
    wanted: Wanted,
    reach: Reach,
    single: tuple[str, str | int],
    limit: int,
) -> list[Found]:
    column, value = single
    within, times = _within(wanted)
    such = {number for number, _, _ in _such(connection, wanted)}
    found: list[Found] = []
    rows = connection.execute(
        f"SELECT traits, trace, request, place, segment, begin, length FROM records"  # noqa: S608 - a column of ours
        f" WHERE {column} = ? AND place >= ? AND place < ?{within} ORDER BY place DESC",
        (value, reach.low, reach.before, *times),
    )
    for traits, trace, request, *where in rows:
        is_such = (
            traits in such
            and (not wanted.trace or trace == wanted.trace)
            and (not wanted.request or request == wanted.request)
        )
        if is_such:
            found.append(tuple(where))
            if len(found) == limit:
                break
    return found


def _by_place(
    connection: sqlite3.Connection, wanted: Wanted, reach: Reach, limit: int
) -> list[Found]:
    """The newest, whatever they are."""
    within, times = _within(wanted)
    return connection.execute(
        "SELECT place, segment, begin, length FROM records"  # noqa: S608 - nothing of anybody's
        f" WHERE place >= ? AND place < ?{within} ORDER BY place DESC LIMIT ?",
        (reach.low, reach.before, *times, limit),
    ).fetchall()


def _by_traits(
    connection: sqlite3.Connection, wanted: Wanted, reach: Reach, limit: int
) -> list[Found]:
    """The newest of each traits, as long as those may be newer than what was found."""
    within, times = _within(wanted)
    query = (
        "SELECT place FROM records"  # noqa: S608 - nothing of anybody's
        f" WHERE traits = ? AND place >= ? AND place < ?{within} ORDER BY place DESC LIMIT ?"
    )
    best: list[int] = []
    for number, first, last in _such(connection, wanted):
        low = best[0] if len(best) == limit else reach.low
        if last < low:
            break
        if first >= reach.before:
            continue
        for (place,) in connection.execute(query, (number, low, reach.before, *times, limit)):
            if len(best) < limit:
                heapq.heappush(best, place)
            elif place > best[0]:
                heapq.heapreplace(best, place)
            else:
                break
    return [_at(connection, place) for place in sorted(best, reverse=True)]


def _at(connection: sqlite3.Connection, place: int) -> Found:
    found: Found = connection.execute(
        "SELECT place, segment, begin, length FROM records WHERE place = ?", (place,)
    ).fetchone()
    return found


def _such(connection: sqlite3.Connection, wanted: Wanted) -> Iterator[tuple[int, int, int]]:
    """Number, first and last place of the traits that are wanted, who came last first."""
    asked: Sequence[tuple[str, str]] = (
        ("decision = ?", wanted.decision), ("reason = ?", wanted.reason),
        ("outcome = ?", wanted.outcome), ("pod = ?", wanted.pod),
        ("chain = ?", wanted.id.rpartition("-")[0]),
        # Without these nothing is meant; what is, is seen below.
        ("instr(agent, ?)", wanted.agent), ("instr(rules, ?)", json.dumps(wanted.rule)[1:-1]),
        ("instr(tool, ?)", wanted.tool.literal_prefix if wanted.tool else ""),
        ("kind = ?", Kind.DEED.value if wanted.is_deed else ""),
    )  # fmt: skip
    conditions = [(said, value) for said, value in asked if value]
    where = " AND ".join(said for said, _ in conditions) or "true"
    rows = connection.execute(
        f"SELECT * FROM traits WHERE {where} ORDER BY last DESC",  # noqa: S608 - columns of ours
        [value for _, value in conditions],
    )
    for number, _chain, kind, *others, first, last in rows:
        if wanting.means_such(wanted, traits_of(kind, others)):
            yield number, first, last
