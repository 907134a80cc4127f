"""Within one block: whether its lines are what its seal says, and if not, which are to blame.

Pure: no clock, no network, no logging.
"""

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from mesh7_core.audit import seals
from mesh7_core.audit.findings import Kind
from mesh7_core.audit.heads import Head
from mesh7_core.audit.seals import RECORD, SEAL, Seal

_OPENING: Final = re.compile(rb'\{"id":"([a-z2-7]{12})-([1-9][0-9]{0,15})",')
_TORN: Final = re.compile(rb'\{"id":"[a-z2-7]{12}-[1-9][0-9]{0,15}","torn":\{')
_MOST_LOST: Final = 1024
"""Records that can be said to be missing of one block; ours have far fewer."""
OF_BEFORE_SEALS: Final = b'{"time":"'
"""What every line began with before records had ids and seals."""
_BETWEEN: Final = b'\n{"id":"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One line or more that are to blame, from `offset` on."""

    kind: Kind
    offset: int
    what: str


@dataclass(frozen=True, slots=True)
class _Line:
    """One, with its newline; `number` is its record's, 0 for a line that is no record of it."""

    offset: int
    text: bytes
    number: int


def is_plain(stored: bytes, begin: int, seal: Seal) -> bool:
    """Whether the block has its records in order and nothing else; asked of true blocks."""
    first = seal.total - seal.records + 1
    if not stored.startswith(f'{{"id":"{seal.chain}-{first}",'.encode(), begin):
        return False
    if seal.records == 1:
        return stored.find(b"\n", begin) == seal.begin - 1
    return (
        stored.count(b"\n", begin, seal.begin) == seal.records
        and stored.count(_BETWEEN, begin, seal.begin) == seal.records - 1
    )


def troubles(stored: bytes, begin: int, seal: Seal) -> tuple[Trouble, ...]:
    """What is wrong with a block that is not plain or not true."""
    head, first = seal.head, seal.head.total - seal.records + 1
    lines = _lines(stored, begin, seal.begin, head.chain)
    if seal.records > len(lines) + _MOST_LOST:
        # Whoever forges a seal must not have us count to what it says.
        what = f"block {head.block} is sealed for more records than it can have"
        return (Trouble(kind=Kind.EDITED, offset=seal.begin, what=what),)
    if seals.is_true(memoryview(stored), begin, seal):
        return (_left(lines, seal, first),)
    added = [one for one in lines if not one.number]
    if added and _is_true_without(added, stored, begin, seal):
        return tuple(_foreign(one) for one in added)
    numbers = [one.number for one in lines]
    expected = list(range(first, head.total + 1))
    name = f"block {head.block}"
    if numbers != expected and sorted(numbers) == expected:
        at = next(at for at, number in enumerate(numbers) if number != expected[at])
        what = f"records of {name} stand in another order"
        return (Trouble(kind=Kind.REORDERED, offset=lines[at].offset, what=what),)
    lost = sorted(set(expected) - set(numbers))
    if lost and not added and set(numbers) < set(expected):
        return (_gap(lines, lost, seal),)
    offset = _blamed(lines, begin, first)
    what = f"{name} (records {first} to {head.total}) is not what was sealed"
    return (Trouble(kind=Kind.EDITED, offset=offset, what=what),)


def chain_at(stored: bytes, begin: int) -> str:
    """Whose record the line is that begins there; empty when it is none."""
    opening = _OPENING.match(stored, begin)
    return "" if opening is None else opening[1].decode()


def unsealed(stored: bytes, begin: int, before: Head) -> tuple[Trouble, ...]:
    """What stands after the last seal, `before`'s: left by a crash, or by others."""
    lines = _lines(stored, begin, len(stored), before.chain)
    foreign = tuple(_foreign(one) for one in lines if _is_foreign(one, before))
    if len(foreign) == len(lines):
        return foreign
    count = len(lines) - len(foreign)
    what = (
        f"{count} lines after block {before.block} have no seal: the writer was killed, or writes"
    )
    return (Trouble(kind=Kind.TORN, offset=begin, what=what), *foreign)


def is_of_before_seals(stored: bytes) -> bool:
    """Whether all its lines look as records did then; anybody can make such lines."""
    count = stored.count(b"\n" + OF_BEFORE_SEALS) + stored.startswith(OF_BEFORE_SEALS)
    return count > 0 and count == stored.count(b"\n") + (not stored.endswith(b"\n"))


def _is_foreign(line: _Line, before: Head) -> bool:
    """A whole line that is no record of the chain; the beginning of one was cut by a crash."""
    if line.number > before.total:
        return False
    if line.text.endswith(b"\n") or not before.chain:
        return True
    openings = (RECORD + before.chain.encode() + b"-", SEAL + before.chain.encode() + b'"')
    return not any(one.startswith(line.text) or line.text.startswith(one) for one in openings)


def _left(lines: list[_Line], seal: Seal, first: int) -> Trouble:
    """A true block has other lines beside its records: those that a crash left, and it says so."""
    chain = seal.head.chain
    at = max((at for at, one in enumerate(lines) if _TORN.match(one.text)), default=-1)
    count = seals.count_records(b"".join(one.text for one in lines), chain, first)
    after = [one.number for one in lines[at + 1 :]]
    is_ours = after == list(range(seal.head.total - len(after) + 1, seal.head.total + 1))
    if at < 0 or count != seal.records or not is_ours:
        what = f"block {seal.head.block} is sealed and has other records than its seal says"
        return Trouble(
            kind=Kind.FOREIGN, offset=lines[0].offset if lines else seal.begin, what=what
        )
    what = f"a crash of the writer stands before record {chain}-{lines[at].number}"
    return Trouble(kind=Kind.TORN, offset=lines[at].offset, what=what)


def _is_true_without(added: list[_Line], stored: bytes, begin: int, seal: Seal) -> bool:
    """Whether the block is what was sealed once these lines are taken out."""
    rest, at = sha256(), begin
    for one in added:
        rest.update(stored[at : one.offset])
        at = one.offset + len(one.text)
    line = stored[seal.begin : seal.end]
    rest.update(stored[at : seal.begin] + line[: line.rindex(b',"hash":"')])
    return rest.hexdigest() == seal.head.hash


def _gap(lines: list[_Line], lost: list[int], seal: Seal) -> Trouble:
    after = next((one.offset for one in lines if one.number > lost[0]), seal.begin)
    what = f"of block {seal.head.block} {len(lost)} records are missing, from {lost[0]} on"
    return Trouble(kind=Kind.GAP, offset=after, what=what)


def _blamed(lines: list[_Line], begin: int, first: int) -> int:
    """Where the first line is that does not look as it should; else where the block begins."""
    for number, one in enumerate(lines, first):
        if one.number != number or not seals.is_json(one.text):
            return one.offset
    return begin


def _foreign(line: _Line) -> Trouble:
    return Trouble(
        kind=Kind.FOREIGN, offset=line.offset, what="this line is no record of the chain"
    )


def _lines(stored: bytes, begin: int, end: int, chain: str) -> list[_Line]:
    found = []
    while begin < end:
        newline = stored.find(b"\n", begin, end)
        after = end if newline < 0 else newline + 1
        text = stored[begin:after]
        opening = _OPENING.match(text)
        is_ours = opening is not None and opening[1] == chain.encode() and after > begin
        number = int(opening[2]) if opening is not None and is_ours else 0
        found.append(_Line(begin, text, number))
        begin = after
    return found
