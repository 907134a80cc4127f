"""What else is told of records that are stored: sealed blocks as they were written."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from mesh7_core.audit import chain, seals
from mesh7_core.audit.heads import Head

MOST_BYTES: Final = 512 * 1024
"""Of a segment of more than one block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Blocks of a chain, whole, in order.

    Attributes:
        first, last: the chain with the first and with the last of them.
        records: in these blocks.
        content: every byte that they cover, seals included.
    """

    first: Head
    last: Head
    records: int
    content: bytes = field(repr=False)


Follower = Callable[[Segment], None]
"""Whoever wants each segment once it is stored: on the loop, in order; never blocks or raises."""


def records_of(segment: Segment) -> Iterator[bytes]:
    """The lines of its records, without their newlines."""
    for line in segment.content.split(b"\n"):
        if line.startswith(seals.RECORD):
            yield line


def of(sealed: chain.Sealed, before: int, stored: int) -> tuple[Segment, ...]:
    """What `stored` bytes of it come to: its blocks that are whole, few at a time.

    Args:
        before: the total of the chain before these blocks.
    """
    content, offset = sealed.left + sealed.content, len(sealed.left)
    found: list[Segment] = []
    begin = first = 0
    count = sum(end <= stored for end in sealed.ends)
    for at in range(count):
        end = sealed.ends[at] + offset
        is_last = at + 1 == count
        if is_last or sealed.ends[at + 1] + offset - begin > MOST_BYTES:
            head = sealed.blocks[at]
            found.append(Segment(
                first=sealed.blocks[first], last=head, records=head.total - before,
                content=content[begin:end],
            ))  # fmt: skip
            begin, first, before = end, at + 1, head.total
    return tuple(found)
