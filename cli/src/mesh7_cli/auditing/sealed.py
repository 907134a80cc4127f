"""Whether the one block that a record lies in is as it was sealed; nothing else is read for it."""

from collections.abc import Iterator
from typing import Final

from mesh7_cli.auditing.segments import Segment
from mesh7_cli.records import Seal
from mesh7_core.audit import seals

_MARK: Final = b"\n" + seals.SEAL
_PIECE: Final = 256 * 1024
_LONGEST: Final = 64 * 1024 * 1024
"""Bytes before and after a record in which a seal is looked for; blocks of ours are shorter."""


def at(segment: Segment, offset: int) -> Seal:
    """Of the record whose line begins at `offset`."""
    begin, end = _begin(segment, offset), _end(segment, offset)
    if end is None:
        return Seal.NONE
    if begin is None:
        return Seal.DIFFERS
    stored = segment.read(begin, end + seals.LONGEST_SEAL - begin)
    seal = seals.read(stored, end - begin)
    is_true = seal is not None and seals.is_true(memoryview(stored), 0, seal)
    return Seal.AGREES if is_true else Seal.DIFFERS


def _begin(segment: Segment, offset: int) -> int | None:
    """Behind the last line before `offset` that claims to be a seal; None: no block begins so."""
    for begin in _back(offset):
        stored = segment.read(begin, min(_PIECE + seals.LONGEST_SEAL, offset - begin))
        found = stored.rfind(_MARK)
        # A mark lies in the piece with all of its line, for pieces overlap.
        if found >= 0 or (not begin and stored.startswith(seals.SEAL)):
            feed = stored.find(b"\n", found + 1)
            return begin + feed + 1 if feed >= 0 else None
    return 0 if offset <= _LONGEST else None


def _back(offset: int) -> Iterator[int]:
    """Where pieces begin, the last one first."""
    begin = offset
    while begin > max(0, offset - _LONGEST):
        begin = max(0, begin - _PIECE)
        yield begin


def _end(segment: Segment, offset: int) -> int | None:
    """Where the next line begins that claims to be a seal; None when there is none near."""
    begin = offset
    while begin < min(segment.size_bytes, offset + _LONGEST):
        stored = segment.read(begin, _PIECE + len(_MARK))
        found = stored.find(_MARK)
        if found >= 0:
            return begin + found + 1
        begin += _PIECE
    return None
