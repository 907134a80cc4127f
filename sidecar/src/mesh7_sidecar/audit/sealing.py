"""Lines made into blocks of a chain and written, by the thread that only does that.

What could not be written is not in the chain, or, when a part of it stays there, covered by what
comes next; either way its records are counted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from mesh7_core.audit import moments
from mesh7_core.audit.chain import Chain
from mesh7_core.audit.heads import Head
from mesh7_sidecar.audit import segments
from mesh7_sidecar.audit.segments import Segment


@dataclass(frozen=True, slots=True)
class Wrote:
    """How far a write went.

    Attributes:
        size_bytes: that are there and stay.
        why: it went no further; empty when all is written.
    """

    size_bytes: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What came of some lines.

    Attributes:
        segments: those that are there.
        lost: how many records are not, those dropped before included.
        why: they are not; empty when all are there.
        besides: what else failed, which cost no record; empty when nothing did.
    """

    segments: tuple[Segment, ...]
    lost: int
    why: str
    besides: str = ""


class Output(Protocol):
    """Where blocks go; one thread at a time uses it, and it may block."""

    def write(self, content: bytes) -> Wrote:
        """Store it after what is there; a failure takes back what it can."""

    def settle(self, head: Head) -> None:
        """The chain stands there now, and all of it is written. Raises OSError.

        What failed is raised again at each call, until it no longer fails.
        """

    def sync(self) -> None:
        """Return once everything is on the disk. Raises OSError."""

    def sign(self, head: Head) -> None:
        """Say where the chain stands, in a way that lasts. Raises OSError."""

    def close(self) -> None:
        """Nothing more will be written."""


class Sealing:
    """One chain on its way to one output.

    Args:
        chain: goes on where the output ends.
        wall_ns: the time of seals.
    """

    def __init__(self, output: Output, chain: Chain, wall_ns: Callable[[], int]) -> None:
        self._output = output
        self._chain = chain
        self._wall_ns = wall_ns
        self._signed: Head | None = None

    def write(self, lines: Sequence[bytes], dropped: int) -> Stored:
        """Store lines, and how many were dropped before them unless that is 0."""
        given = len(lines)
        if dropped:
            lines = [*lines, b'{"dropped":%d}' % dropped]
        if not lines and not self._chain.is_torn:
            return Stored(segments=(), lost=0, why="")
        chain, before = self._chain, self._chain.head.total
        sealed = chain.seal(lines, moments.written(self._wall_ns()))
        wrote = self._output.write(sealed.content)
        if not wrote.why:
            chain.keep(sealed)
            why = _tried(lambda: self._output.settle(chain.head))
            return Stored(
                segments=segments.of(sealed, before, wrote.size_bytes),
                lost=0,
                why="",
                besides=why and f"the file is full, and no new one can be begun: {why}",
            )
        kept = chain.keep_part(sealed, wrote.size_bytes)
        return Stored(
            segments=segments.of(sealed, before, wrote.size_bytes),
            lost=given - kept + dropped,
            why=wrote.why,
        )

    def write_through(self, lines: Sequence[bytes], dropped: int) -> Stored:
        """The same, and return only when it is on the disk."""
        stored = self.write(lines, dropped)
        why = "" if stored.why else _tried(self._output.sync)
        besides = f"a power cut may lose them: {why}" if why else stored.besides
        return replace(stored, besides=besides)

    def sign(self) -> str:
        """Sign where the chain stands, when that was not signed yet; why not, or empty."""
        head = self._chain.head
        if not head.block or (self._signed is not None and self._signed.block == head.block):
            return ""
        why = _tried(lambda: self._output.sign(head))
        if not why:
            self._signed = head
        return why

    def close(self) -> str:
        """Sign the end; nothing more will be written. Why it is not signed, or empty."""
        why = self.sign()
        self._output.close()
        return why


def _tried(action: Callable[[], None]) -> str:
    """Why it failed; empty when it did not."""
    try:
        action()
    except OSError as error:
        why = error.strerror or "it fails"
        return why if error.filename is None else f"`{error.filename}`: {why}"
    return ""
