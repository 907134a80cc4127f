"""The files of one audit, opened all of one moment, however they rotate meanwhile."""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from mesh7_core import errors

NAME: Final = "audit.jsonl"
LONGEST_LINE: Final = 16 * 1024 * 1024
"""Bytes; what is longer is no line of ours, and is skipped without being held in memory."""
_PIECE: Final = 1 << 20
_FINGERPRINT_BYTES: Final = 16
_TAIL_BYTES: Final = 256
_FIRST_BYTES: Final = 64 * 1024
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,3}")
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(slots=True)
class Line:
    """One line, ended by a line feed that is not part of `content`.

    Attributes:
        offset: of its first byte in the file.
        length: of its bytes, without the line feed.
        content: empty when it is longer than `LONGEST_LINE`.
    """

    offset: int
    length: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Segment:
    """One file, open.

    Attributes:
        name: as it was called when it was opened.
        fingerprint: of its first line, so that it is known again under another name; of two with
            the same first line the second has another.
        size_bytes: then; what is appended later is not looked at.
    """

    name: str
    descriptor: int
    fingerprint: str
    size_bytes: int

    def read(self, offset: int, length: int) -> bytes:
        """Bytes; fewer where the file has ended, or was cut, meanwhile."""
        return os.pread(self.descriptor, length, offset)

    def tail(self, offset: int) -> bytes:
        """A digest of what stands before `offset`, which an edit with another length changes."""
        begin = max(0, offset - _TAIL_BYTES)
        return sha256(self.read(begin, offset - begin)).digest()[:_FINGERPRINT_BYTES]

    def lines(self, offset: int = 0) -> Iterator[Line]:
        """The whole lines from `offset` on, which is where one begins."""
        begin = place = offset
        held, length = b"", 0
        while place < self.size_bytes:
            piece = self.read(place, min(_PIECE, self.size_bytes - place))
            if not piece:
                return
            place += len(piece)
            *ended, rest = piece.split(b"\n")
            for part in ended:
                length += len(part)
                content = held + part if length <= LONGEST_LINE else b""
                yield Line(begin, length, content)
                begin += length + 1
                held, length = b"", 0
            length += len(rest)
            held = held + rest if length <= LONGEST_LINE else b""


@contextmanager
def opened(state: Path) -> Iterator[list[Segment]]:
    """The files of a state folder that have a line, oldest first; none when there are none.

    Raises:
        SettingsError: one of them cannot be read.
    """
    descriptors: list[tuple[str, int]] = []
    try:
        _open(state, descriptors)
        yield _segments(descriptors)
    finally:
        for _, descriptor in descriptors:
            os.close(descriptor)


def _open(state: Path, descriptors: list[tuple[str, int]]) -> None:
    """All generations, newest first: one that is renamed meanwhile is met again, never missed."""
    known: set[tuple[int, int]] = set()
    number = 0
    # Looked for anew at each step: a rotation makes one more.
    while number <= _oldest(state):
        name = f"{NAME}.{number}" if number else NAME
        number += 1
        try:
            descriptor = os.open(state / name, _FLAGS)
        except FileNotFoundError:
            continue
        except OSError as error:
            message = f"`{state / name}` cannot be read: {error.strerror}"
            raise errors.SettingsError(message) from error
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode) and (found.st_dev, found.st_ino) not in known:
            known.add((found.st_dev, found.st_ino))
            descriptors.append((name, descriptor))
        else:
            os.close(descriptor)


def _oldest(state: Path) -> int:
    """The highest number of a generation; 0 when there is none."""
    try:
        names = [path.name for path in state.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except OSError as error:
        message = f"`{state}` cannot be read: {error.strerror}"
        raise errors.SettingsError(message) from error
    numbers = (name.removeprefix(f"{NAME}.") for name in names if name.startswith(f"{NAME}."))
    return max((int(one) for one in numbers if _NUMBER.fullmatch(one)), default=0)


def _segments(descriptors: list[tuple[str, int]]) -> list[Segment]:
    found: list[Segment] = []
    seen: dict[str, int] = {}
    for name, descriptor in reversed(descriptors):
        fingerprint = _fingerprint(descriptor)
        if not fingerprint:
            continue
        seen[fingerprint] = seen.get(fingerprint, 0) + 1
        if seen[fingerprint] > 1:
            fingerprint = f"{fingerprint}-{seen[fingerprint]}"
        size_bytes = os.fstat(descriptor).st_size
        found.append(Segment(name, descriptor, fingerprint, size_bytes))
    return found


def _fingerprint(descriptor: int) -> str:
    """Of the first line, or of as much of it as tells files apart; empty when there is none."""
    begin = os.pread(descriptor, _FIRST_BYTES, 0)
    line, feed, _ = begin.partition(b"\n")
    if not feed and len(begin) < _FIRST_BYTES:
        return ""
    return sha256(line).hexdigest()[: 2 * _FINGERPRINT_BYTES]
