"""New lines of the audit as they come, in the order they were written, through every rotation."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mesh7_cli.auditing import segments
from mesh7_cli.auditing.cursors import Position
from mesh7_cli.auditing.segments import Segment

_LAST_BYTES: Final = 256 * 1024
_ID: Final = re.compile(r"(.+)-([1-9][0-9]{0,17})")


class Tail:
    """The end of the audit as it moves.

    Attributes:
        position: behind the last line that was taken; None before there is any file.
    """

    def __init__(self, state: Path) -> None:
        self._state = state
        self._lost = ""
        with segments.opened(state) as files:
            self.position = _end(files[-1]) if files else None

    def fresh(self) -> Iterator[bytes]:
        """The whole lines that were added since, each taken once."""
        with segments.opened(self._state) as files:
            for segment, offset in self._ahead(files):
                for line in segment.lines(offset):
                    self.position = Position(segment.fingerprint, line.offset + line.length + 1)
                    yield line.content

    def lost(self) -> str:
        """What happened to the files that may have cost lines, told once; empty = nothing."""
        told, self._lost = self._lost, ""
        return told

    def _ahead(self, files: list[Segment]) -> Iterator[tuple[Segment, int]]:
        known = [segment.fingerprint for segment in files]
        if self.position is None:
            yield from ((segment, 0) for segment in files)
            return
        if self.position.fingerprint not in known:
            if files:
                self._lost = "files went away before they were read to their end"
            yield from ((segment, 0) for segment in files)
            return
        at = known.index(self.position.fingerprint)
        if self.position.offset > files[at].size_bytes:
            self._lost = f"`{files[at].name}` became shorter than it was"
            self.position = _end(files[at])
        yield files[at], self.position.offset
        yield from ((segment, 0) for segment in files[at + 1 :])


class Numbers:
    """The numbers of records, chain by chain: what is missing between two of them is seen."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}

    def gap(self, identifier: str) -> str:
        """What stands between this record and the one before it; empty when nothing does."""
        found = _ID.fullmatch(identifier)
        if found is None:
            return ""
        chain, number = found[1], int(found[2])
        before = self._last.get(chain)
        is_other = bool(self._last) and before is None
        self._last = {chain: number}
        if is_other:
            return f"another chain of records begins, `{chain}`"
        if before is not None and number != before + 1:
            return (
                f"record `{identifier}` follows `{chain}-{before}`, which is not the one before it"
            )
        return ""


def last_lines(state: Path) -> list[bytes]:
    """Some of the newest whole lines, newest first, read quickly."""
    with segments.opened(state) as files:
        if not files:
            return []
        newest = files[-1]
        begin = max(0, newest.size_bytes - _LAST_BYTES)
        lines = newest.read(begin, _LAST_BYTES).split(b"\n")
    # The first may have begun before, the last is not ended.
    return lines[-2 : 0 if begin else None : -1]


def _end(segment: Segment) -> Position:
    """Behind the last whole line."""
    end = segment.size_bytes
    while end > 0:
        begin = max(0, end - segments.LONGEST_LINE)
        feed = segment.read(begin, end - begin).rfind(b"\n")
        if feed >= 0:
            return Position(segment.fingerprint, begin + feed + 1)
        end = begin
    return Position(segment.fingerprint, 0)
