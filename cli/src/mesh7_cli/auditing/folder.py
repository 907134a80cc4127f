"""The records of one state folder, whether or not a gateway runs: found by the index, and read."""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

from mesh7_cli.auditing import cursors, finding, index, keeping, sealed, segments
from mesh7_cli.auditing.segments import Segment
from mesh7_cli.backend import Voice
from mesh7_cli.records import Page, Seal, Wish
from mesh7_core import errors
from mesh7_core.audit import recorded
from mesh7_core.audit import wanted as wanting
from mesh7_core.audit.wanted import Wanted

VOICE: Final = Voice(program="mesh7", complaint="mesh7: ")
KEEP_FROM_BYTES: Final = 1024 * 1024
T = TypeVar("T")
Ask = Callable[[sqlite3.Connection, dict[int, Segment]], T]
"""Asks the index, which knows the files by these numbers."""


class Folder:
    """The audit of a state folder, as `records.Records` wants it.

    Args:
        state: the folder; `places` says whether it is one, here it need not be there.
        tell: is told how many bytes of how many are read while the index grows.
        patience_s: how long another reader of the index is waited for.
        keep_from_bytes: of files, from which on an index is kept; fewer are as quickly read anew.
    """

    def __init__(
        self,
        state: Path,
        tell: Callable[[int, int], None] = lambda _done, _all: None,
        patience_s: float = keeping.PATIENCE_S,
        keep_from_bytes: int = KEEP_FROM_BYTES,
    ) -> None:
        self._state = state
        self._tell = tell
        self._patience_s = patience_s
        self._keep_from_bytes = keep_from_bytes

    @property
    def voice(self) -> Voice:
        """Of `mesh7`."""
        return VOICE

    def query(self, wish: Wish) -> Page:
        """The newest records that are wanted.

        Raises:
            SettingsError: a file cannot be read, or the cursor is none.
        """
        after = cursors.read(wish.cursor) if wish.cursor else None
        with segments.opened(self._state) as files:
            if not files:
                note = f"`{self._state}` has no audit files – `mesh7 audit verify` says more"
                return Page(lines=(), notes=(note,))
            return self._asked(
                files, lambda connection, numbers: _page(connection, numbers, wish, after)
            )

    def seal(self, identifier: str) -> Seal:
        """Of the block that this record lies in.

        Raises:
            SettingsError: a file cannot be read.
        """
        wanted = Wanted(id=identifier)

        def ask(connection: sqlite3.Connection, numbers: dict[int, Segment]) -> Seal:
            for _, segment, offset, _ in finding.newest(connection, wanted, None, 1):
                return sealed.at(numbers[segment], offset)
            return Seal.NONE

        with segments.opened(self._state) as files:
            return self._asked(files, ask) if files and identifier else Seal.NONE

    def _asked(self, files: Sequence[Segment], ask: Ask[T]) -> T:
        """What the index says, which is kept when the files are large."""
        if sum(each.size_bytes for each in files) < self._keep_from_bytes:
            return self._indexed(files, ask, may_keep=False)
        with keeping.held(self._state, self._patience_s) as may_keep:
            return self._indexed(files, ask, may_keep=may_keep)

    def _indexed(self, files: Sequence[Segment], ask: Ask[T], *, may_keep: bool) -> T:
        place = str(self._state / keeping.NAME)
        # As it is, else made anew, else in memory, where no disk can be full.
        for kept in (place, place, keeping.MEMORY) if may_keep else (keeping.MEMORY,):
            try:
                with keeping.connected(kept) as connection:
                    numbers = index.grow(connection, files, self._telling(files))
                    return ask(connection, numbers)
            except (index.UnfitError, sqlite3.DatabaseError):
                if kept != keeping.MEMORY:
                    keeping.discard(self._state)
        message = (
            f"the audit files in `{self._state}` were changed while they were read – try again"
        )
        raise errors.SettingsError(message)

    def _telling(self, files: Sequence[Segment]) -> Callable[[Segment, int], None]:
        before = {
            one.fingerprint: sum(each.size_bytes for each in files[:number])
            for number, one in enumerate(files)
        }
        whole = sum(each.size_bytes for each in files)
        return lambda segment, read_to: self._tell(before[segment.fingerprint] + read_to, whole)


def _page(
    connection: sqlite3.Connection,
    numbers: dict[int, Segment],
    wish: Wish,
    after: cursors.Position | None,
) -> Page:
    notes = _notes(connection, numbers)
    before = None
    if after is not None:
        known = {segment.fingerprint: number for number, segment in numbers.items()}
        if after.fingerprint not in known:
            return Page(
                lines=(), notes=("what is older than this cursor is no longer kept", *notes)
            )
        before = finding.place_of(connection, known[after.fingerprint], after.offset)
    found = finding.newest(connection, wish.wanted, before, wish.limit + 1)
    shown = found[: wish.limit]
    lines = tuple(
        _line(numbers[segment], at, length, wish.wanted) for _, segment, at, length in shown
    )
    cursor = ""
    if len(found) > len(shown):
        _, segment, at, _ = shown[-1]
        cursor = cursors.write(cursors.Position(numbers[segment].fingerprint, at))
    return Page(lines=lines, cursor=cursor, notes=notes)


def _line(segment: Segment, offset: int, length: int, wanted: Wanted) -> str:
    """The line that the index points at; a file that was edited beneath it is indexed anew."""
    content = segment.read(offset, length + 1)
    if not content.endswith(b"\n") or b"\n" in content[:-1]:
        raise index.UnfitError
    record = recorded.read(content)
    if record is None or not wanting.means(wanted, record):
        raise index.UnfitError
    return content[:-1].decode()


def _notes(connection: sqlite3.Connection, numbers: dict[int, Segment]) -> tuple[str, ...]:
    count = index.unreadable(connection)
    notes = []
    if count:
        what = "1 line is no record" if count == 1 else f"{count:,} lines are no records"
        notes.append(f"{what} – `mesh7 audit verify` says where")
    newest = numbers[max(numbers)]
    if newest.size_bytes and newest.read(newest.size_bytes - 1, 1) != b"\n":
        notes.append(
            f"the last line of `{newest.name}` is not whole: it is being written, or was cut"
        )
    return tuple(notes)
