"""Records made into blocks of a chain: each block closed by a hash over it and the one before.

The format stands in `seals`. What a crash left behind without a seal is covered by the next block,
whose record `torn` says so; hence nothing is ever taken out of what is stored.
Pure: no clock, no network, no logging; names and times are arguments.
"""

import base64
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from mesh7_core.audit import heads, seals
from mesh7_core.audit.heads import Head

MOST_RECORDS: Final = 64
"""Of a block, but for those that a crash left before it."""
MOST_BYTES: Final = 384 * 1024
"""Of the records of a block likewise; a longer record has a block of its own."""
_NAME_LENGTH: Final = 12
_NAME_BYTES: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """Blocks that are ready to be stored by one write; nothing has happened yet.

    Attributes:
        left: what is stored already since the last seal; the first block covers it.
        content: what is to be written.
        blocks: where the chain stands after each block.
        ends: where each ends within `content`.
    """

    left: bytes
    content: bytes
    blocks: tuple[Head, ...]
    ends: tuple[int, ...]


class Chain:
    """One writer's sequence of records.

    Args:
        head: where it stands; `heads.begun` for a new one.
        left: what is stored after that head's seal, as a crash left it.
    """

    def __init__(self, head: Head, left: bytes = b"") -> None:
        self.head = head
        self._left = left

    @property
    def is_torn(self) -> bool:
        """Whether something is stored that no seal covers yet."""
        return bool(self._left)

    def seal(self, lines: Sequence[bytes], time: str) -> Sealed:
        """Number the records and put them into blocks; say `keep` once they are stored.

        Args:
            lines: one JSON object each, not empty, without a newline; `id` is put before its
                fields. At least one, unless the chain is torn.
            time: of the seals, `moments.written`.
        """
        head, left, size = self.head, self._left, 0
        blocks: list[Head] = []
        ends: list[int] = []
        parts: list[bytes] = []
        for some in _portions(lines):
            content, count = _mended(left, head) if left else (b"", 0)
            content += _numbered(head.chain, head.total + count + 1, some)
            seal, head = seals.sealed(left + content, head, count + len(some), time)
            size += len(content) + len(seal)
            parts += (content, seal)
            blocks.append(head)
            ends.append(size)
            left = b""
        return Sealed(
            left=self._left, content=b"".join(parts), blocks=tuple(blocks), ends=tuple(ends)
        )

    def keep(self, sealed: Sealed) -> None:
        """All of it is stored."""
        self.head = sealed.blocks[-1]
        self._left = b""

    def keep_part(self, sealed: Sealed, written: int) -> int:
        """Only so many bytes of it are stored, and cannot be taken back.

        Returns:
            How many of the lines given are stored whole.
        """
        before, end = self._stored() + bool(self._left), 0
        for head, at in zip(sealed.blocks, sealed.ends, strict=True):
            if at <= written:
                self.head, self._left, end = head, b"", at
        self._left += sealed.content[end:written]
        return max(0, self._stored() - before)

    def _stored(self) -> int:
        """Records, those included that no seal covers."""
        head = self.head
        left = seals.count_records(self._left + b"\n", head.chain, head.total + 1)
        return head.total + left


def continued(stored: bytes) -> Chain | None:
    """The chain that ends there; None when it has no whole seal.

    Args:
        stored: the end of a file; at least from its last seal on.
    """
    seal = seals.last(stored)
    return None if seal is None else Chain(seal.head, stored[seal.end :])


def new(name: str) -> Chain:
    """One without a record; its name is `fresh_name`, or says whose it is (`audit_writers`)."""
    return Chain(heads.begun(name))


def fresh_name(random: Callable[[int], bytes]) -> str:
    """A name that no other chain has: 12 characters of lower-case base32, 60 random bits.

    Args:
        random: as many random bytes.
    """
    return base64.b32encode(random(_NAME_BYTES)).decode().lower()[:_NAME_LENGTH]


def _portions(lines: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    begin = size = 0
    for at, line in enumerate(lines):
        if at > begin and (at - begin == MOST_RECORDS or size + len(line) > MOST_BYTES):
            yield lines[begin:at]
            begin, size = at, 0
        size += len(line)
    yield lines[begin:]


def _mended(left: bytes, head: Head) -> tuple[bytes, int]:
    """The record that says what was left, and how many records there are with it."""
    newline = _ending(left)
    count = seals.count_records(left + newline, head.chain, head.total + 1)
    number = head.total + count + 1
    said = b'{"torn":{"records":%d,"bytes":%d}}' % (count, len(left))
    return newline + _numbered(head.chain, number, (said,)), count + 1


def _ending(left: bytes) -> bytes:
    """What ends a line that was cut off; a seal must not come to stand whole by it."""
    if left.endswith(b"\n"):
        return b""
    return b"~\n" if left[left.rfind(b"\n") + 1 :].startswith(seals.SEAL) else b"\n"


def _numbered(chain: str, first: int, lines: Sequence[bytes]) -> bytes:
    name = chain.encode()
    return b"".join(
        b'{"id":"%b-%d",%b\n' % (name, number, line[1:]) for number, line in enumerate(lines, first)
    )
