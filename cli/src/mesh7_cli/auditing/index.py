"""Where the records are that share traits, a trace, a request or a number: an SQLite file.

It proves nothing and holds nothing that the files do not: whoever reads by it looks at the file
again. It is for one reader at a time; `keeping` sees to that.
"""

import json
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from mesh7_cli.auditing.segments import Line, Segment
from mesh7_core.audit import recorded
from mesh7_core.audit.recorded import Kind, Recorded, Traits

VERSION: Final = 1
"""Raised with every change of the tables: an index of another version is made anew."""
APPLICATION: Final = 0x6D376175
STRETCH_BITS: Final = 12
"""Records of a stretch, whose first and last time are kept: 4096."""
_BATCH: Final = 8192
_ID: Final = re.compile(r"([a-z0-9]{1,32})-([1-9][0-9]{0,17})")
_SCHEMA: Final = """
CREATE TABLE segments (
    number INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL UNIQUE, read_to INTEGER NOT NULL,
    tail BLOB NOT NULL, unreadable INTEGER NOT NULL
) STRICT;
CREATE TABLE traits (
    number INTEGER PRIMARY KEY, chain TEXT NOT NULL, kind TEXT NOT NULL, agent TEXT NOT NULL,
    pod TEXT NOT NULL, tool TEXT NOT NULL, decision TEXT NOT NULL, reason TEXT NOT NULL,
    outcome TEXT NOT NULL, rules TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL
) STRICT;
CREATE TABLE records (
    place INTEGER PRIMARY KEY, segment INTEGER NOT NULL, begin INTEGER NOT NULL,
    length INTEGER NOT NULL, at INTEGER, traits INTEGER NOT NULL, number INTEGER,
    trace TEXT, request TEXT
) STRICT;
CREATE TABLE stretches (number INTEGER PRIMARY KEY, first INTEGER, last INTEGER) STRICT;
"""
_WAYS: Final = (
    "CREATE INDEX IF NOT EXISTS by_traits ON records (traits)",
    "CREATE INDEX IF NOT EXISTS by_number ON records (number) WHERE number IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS by_trace ON records (trace) WHERE trace IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS by_request ON records (request) WHERE request IS NOT NULL",
)

Row = tuple[int, int, int, int, int | None, int, int | None, str | None, str | None]


class UnfitError(Exception):
    """The index is not of these files: damaged, foreign, older, or they were changed beneath it."""


@dataclass(slots=True)
class _Growth:
    """What is being added in one go.

    Attributes:
        place: of the next record; all places of newer records are higher.
        known: the number of traits with their chain, and the first and last place they have.
        highest: number of traits.
    """

    place: int
    known: dict[tuple[str, Traits], list[int]]
    highest: int
    touched: set[tuple[str, Traits]] = field(default_factory=set)
    stretches: dict[int, tuple[int, int]] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)


def create(connection: sqlite3.Connection) -> None:
    """Make the tables of an empty index."""
    connection.executescript(_SCHEMA)
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {VERSION}")


def is_ours(connection: sqlite3.Connection) -> bool:
    """Whether this is an index, and of this version."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return (application, version) == (APPLICATION, VERSION)


def grow(
    connection: sqlite3.Connection,
    segments: Sequence[Segment],
    tell: Callable[[Segment, int], None],
) -> dict[int, Segment]:
    """Take in what was written since, in one transaction; the segments by their numbers here.

    Args:
        segments: all there are, oldest first.
        tell: is told now and then up to which byte of a file was read.

    Raises:
        UnfitError: the files are not those that were indexed, or no longer in that order.
    """
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        numbers = _numbered(connection, segments)
        behind = {one: each for one, each in numbers.items() if _is_behind(connection, one, each)}
        if behind:
            growth = _begun(connection)
            for number, segment in behind.items():
                _take_in(connection, growth, number, segment, tell)
            _store(connection, growth)
    return numbers


def unreadable(connection: sqlite3.Connection) -> int:
    """How many lines are no records, whatever made them so."""
    (count,) = connection.execute("SELECT total(unreadable) FROM segments").fetchone()
    return int(count)


def _numbered(connection: sqlite3.Connection, segments: Sequence[Segment]) -> dict[int, Segment]:
    """Forget segments that are gone, number those that are new; the order must be the same."""
    known = dict(
        connection.execute("SELECT fingerprint, number FROM segments ORDER BY number").fetchall()
    )
    there = {segment.fingerprint for segment in segments}
    gone = [number for fingerprint, number in known.items() if fingerprint not in there]
    kept = [number for number in known.values() if number not in gone]
    # Only the oldest go by themselves.
    if gone and kept and max(gone) > min(kept):
        raise UnfitError
    _forget(connection, gone, has_more=bool(kept))
    numbers: dict[int, Segment] = {}
    last = max(known.values(), default=0)
    for segment in segments:
        number = known.get(segment.fingerprint)
        if number is None:
            last = number = last + 1
            connection.execute(
                "INSERT INTO segments VALUES (?, ?, 0, ?, 0)",
                (number, segment.fingerprint, segment.tail(0)),
            )
        if numbers and number < max(numbers):
            raise UnfitError
        numbers[number] = segment
    return numbers


def _is_behind(connection: sqlite3.Connection, number: int, segment: Segment) -> bool:
    """Whether lines of this segment are not in yet."""
    read_to, tail = connection.execute(
        "SELECT read_to, tail FROM segments WHERE number = ?", (number,)
    ).fetchone()
    if read_to > segment.size_bytes or segment.tail(read_to) != tail:
        raise UnfitError
    return bool(read_to < segment.size_bytes)


def _forget(connection: sqlite3.Connection, gone: Sequence[int], *, has_more: bool) -> None:
    if not gone:
        return
    if not has_more:
        # Nothing of it is left, and a new one is quicker than a million deletions.
        raise UnfitError
    for number in gone:
        connection.execute("DELETE FROM segments WHERE number = ?", (number,))
    (floor,) = connection.execute(
        "SELECT coalesce(min(place), 0) FROM records WHERE segment > ?", (max(gone),)
    ).fetchone()
    connection.execute("DELETE FROM records WHERE place < ?", (floor,))
    connection.execute("DELETE FROM traits WHERE last < ?", (floor,))
    connection.execute("DELETE FROM stretches WHERE number < ?", (floor >> STRETCH_BITS,))


def _begun(connection: sqlite3.Connection) -> _Growth:
    (last,) = connection.execute("SELECT coalesce(max(place), 0) FROM records").fetchone()
    known = {
        (chain, traits_of(kind, others)): [number, first, last_place]
        for number, chain, kind, *others, first, last_place in connection.execute(
            "SELECT * FROM traits"
        )
    }
    return _Growth(last + 1, known, max((one[0] for one in known.values()), default=0))


def traits_of(kind: str, others: Sequence[str]) -> Traits:
    """The traits of a row: its kind and the texts after it, rules last."""
    agent, pod, tool, decision, reason, outcome, rules = others
    spoke = tuple(json.loads(rules))
    return Traits(Kind(kind), agent, pod, tool, decision, reason, outcome, spoke)


def _take_in(
    connection: sqlite3.Connection,
    growth: _Growth,
    number: int,
    segment: Segment,
    tell: Callable[[Segment, int], None],
) -> None:
    """All whole lines of a segment that are not in yet."""
    (read_to,) = connection.execute(
        "SELECT read_to FROM segments WHERE number = ?", (number,)
    ).fetchone()
    odd = 0
    for line in segment.lines(read_to):
        read_to = line.offset + line.length + 1
        record = recorded.read(line.content)
        if record is None:
            odd += bool(line.length)
        elif record.traits.kind is not Kind.SEAL:
            _add(growth, number, line, record)
            if len(growth.rows) >= _BATCH:
                _flush(connection, growth)
                tell(segment, read_to)
    connection.execute(
        "UPDATE segments SET read_to = ?, tail = ?, unreadable = unreadable + ? WHERE number = ?",
        (read_to, segment.tail(read_to), odd, number),
    )
    tell(segment, segment.size_bytes)


def _add(growth: _Growth, segment: int, line: Line, record: Recorded) -> None:
    named = _ID.fullmatch(record.id)
    key = (named[1] if named else "", record.traits)
    place = growth.place
    growth.place += 1
    seen = growth.known.get(key)
    if seen is None:
        growth.highest += 1
        seen = growth.known[key] = [growth.highest, place, place]
    seen[2] = place
    growth.touched.add(key)
    at = record.at_us
    if at is not None:
        stretch = place >> STRETCH_BITS
        first, last = growth.stretches.get(stretch, (at, at))
        growth.stretches[stretch] = (min(first, at), max(last, at))
    growth.rows.append((
        place, segment, line.offset, line.length, at, seen[0],
        int(named[2]) if named else None, record.trace_id or None, record.request_id or None,
    ))  # fmt: skip


def _flush(connection: sqlite3.Connection, growth: _Growth) -> None:
    connection.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", growth.rows)
    growth.rows.clear()


def _store(connection: sqlite3.Connection, growth: _Growth) -> None:
    """What is left of the rows, and what was learnt of all of them."""
    _flush(connection, growth)
    for way in _WAYS:
        # Sorted at the end a million are in sooner than one by one.
        connection.execute(way)
    connection.executemany(
        "INSERT INTO traits VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (number) DO UPDATE SET last = excluded.last",
        _rows_of_traits(growth),
    )
    connection.executemany(
        "INSERT INTO stretches VALUES (?, ?, ?) ON CONFLICT (number) DO UPDATE SET"
        " first = min(first, excluded.first), last = max(last, excluded.last)",
        [(number, *times) for number, times in growth.stretches.items()],
    )


def _rows_of_traits(growth: _Growth) -> Iterator[tuple[int | str, ...]]:
    for key in growth.touched:
        number, first, last = growth.known[key]
        chain, (*texts, rules) = key
        yield (number, chain, *texts, json.dumps(rules), first, last)
