"""All audit files of a state folder held against their seals, its signed heads, and kept ones."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mesh7_cli import reading
from mesh7_cli.auditing import places, segments, signed
from mesh7_cli.auditing.segments import Segment
from mesh7_core.audit import recorded, seals, verifying
from mesh7_core.audit.findings import Finding, Kind, Verified
from mesh7_core.audit.heads import Head

_LOOKS: Final = 4
_BETWEEN_LOOKS_S: Final = 0.05
"""As long as a gateway keeps records to itself."""
_LONGEST_BLOCK: Final = 64 * 1024 * 1024
_LOOKED_AT: Final = 100
"""Lines of the oldest file in which a time is looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A head that somebody kept elsewhere, and what the files say to it.

    Attributes:
        trouble: why it cannot be said that they agree; empty = they do.
    """

    head: Head
    trouble: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of it.

    Attributes:
        files: how many were read.
        began: the time of the oldest record; empty when it has none.
        key: the name of the key that the folder's heads are signed by; empty when it has none.
        unsigned: chains that no head of the folder names.
        kept: the heads that were given.
    """

    found: Verified
    files: int
    began: str
    key: str
    unsigned: tuple[str, ...]
    kept: tuple[Held, ...]

    @property
    def is_sound(self) -> bool:
        """Whether the records are as they were written, as far as files can say."""
        is_held = all(not one.trouble for one in self.kept)
        return self.found.is_intact and is_held and not self.unsigned


def verify(
    state: Path,
    kept: Sequence[Head],
    tell: Callable[[int, int], None],
    pause: Callable[[float], None] = time.sleep,
) -> Verdict:
    """Read everything.

    Args:
        kept: heads that were kept elsewhere, which are believed.
        tell: is told how many bytes of how many are read.
        pause: for so many seconds, while a block is being written.

    Raises:
        SettingsError: there is no such folder, or something cannot be read.
    """
    places.there(state)
    public = signed.key(state)
    before = signed.read(state)
    with segments.opened(state) as files:
        own = signed.standing(before, signed.read(state))
        found = verifying.verify(_contents(files, tell, pause), [*own, *kept])
        began = _began(files[0]) if files else ""
    named = {head.chain for head in own}
    return Verdict(
        found=found,
        files=len(files),
        began=began,
        key=signed.name(public) if public is not None else "",
        unsigned=tuple(one.end.chain for one in found.chains if one.end.chain not in named),
        kept=tuple(Held(head=head, trouble=_trouble(head, found)) for head in kept),
    )


def _contents(
    files: Sequence[Segment], tell: Callable[[int, int], None], pause: Callable[[float], None]
) -> Iterator[tuple[str, bytes]]:
    whole = sum(one.size_bytes for one in files)
    done = 0
    for one in files:
        tell(done, whole)
        stored = one.read(0, one.size_bytes)
        yield one.name, stored if one is not files[-1] else _ended(one, stored, pause)
        done += one.size_bytes


def _ended(newest: Segment, stored: bytes, pause: Callable[[float], None]) -> bytes:
    """With the rest of a block that a gateway was just writing; as it is when none comes."""
    for _ in range(_LOOKS):
        last = seals.last(stored)
        if last is not None and last.end == len(stored):
            break
        stored += newest.read(len(stored), _LONGEST_BLOCK)
        last = seals.last(stored)
        if last is not None and last.end > newest.size_bytes:
            return stored[: last.end]
        pause(_BETWEEN_LOOKS_S)
    return stored[: newest.size_bytes]


def _began(oldest: Segment) -> str:
    for number, line in enumerate(oldest.lines()):
        record = recorded.read(line.content)
        if record is not None and record.at_us is not None:
            return reading.text(record.fields, "time")
        if number >= _LOOKED_AT:
            break
    return ""


def _trouble(head: Head, found: Verified) -> str:
    """Why the files cannot be said to agree with a kept head."""
    stretch = next((one for one in found.chains if one.end.chain == head.chain), None)
    if stretch is None:
        return f"no block of chain {head.chain} is there"
    if head.block > stretch.end.block:
        return f"block {head.block} is not there, the files end with block {stretch.end.block}"
    if head.block < stretch.first:
        return (
            f"block {head.block} is no longer kept, the oldest is {stretch.first}: nothing can be"
            " said by this head any more"
        )
    if head.block == stretch.end.block and head.hash != stretch.end.hash:
        return f"block {head.block} is another than the one that was kept"
    if any(_bears_on(head, one) for one in found.findings):
        return f"up to block {head.block} not all is as it was sealed, see the findings"
    return ""


def _bears_on(head: Head, one: Finding) -> bool:
    return one.kind is not Kind.TORN and one.chain == head.chain and one.block <= head.block
