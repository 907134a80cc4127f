"""Chains of which nothing is kept need not be listed any longer, so that an anchor stays small.

What becomes a part of the sum has nothing left that could be held against it: whoever folds a chain
has taken away its entries first (`evicting`). That it was there is remembered for as long as there
is room, for its writer may be quiet and not gone. Pure: no clock, no network, no logging.
"""

from collections.abc import Container, Iterable
from dataclasses import replace
from hashlib import sha256
from typing import Final

from mesh7_core.audit import heads
from mesh7_core.delivery import spelled
from mesh7_operator.anchoring.anchor import MOST_CHAIN_BYTES, Anchor, Chained, Folded

MOST_OPEN: Final = 1500
"""Folded chains whose writers may go on; who was folded longest ago is forgotten first."""
_BYTES: Final = 80
"""Of a chain as it is written, without what is counted: names of 12 letters, a time, marks."""
_HEAD_BYTES: Final = 110


def is_over(anchor: Anchor) -> bool:
    """Whether there are more chains than can be written."""
    return size(anchor) > MOST_CHAIN_BYTES


def size(anchor: Anchor) -> int:
    """Bytes of all chains as they are written, or a few more."""
    return sum(size_of(one) for one in anchor.chains.values())


def size_of(one: Chained) -> int:
    """Bytes of one."""
    has_base = one.base.block and one.base != one.head
    written = [one.head, one.base] if has_base else [one.head]
    numbers = sum(len(f"{head.block}{head.total}{head.first}") for head in written)
    key = len(one.key) * 4 // 3 + 4
    return _BYTES + _HEAD_BYTES * len(written) + numbers + len(one.pod) + len(one.uid) + key


def over(anchor: Anchor, ended: Container[str]) -> Anchor:
    """The same without chains of which nothing is kept, not even the word that they ended.

    Args:
        anchor: as it stands.
        ended: names of chains whose end was taken away.
    """
    is_over = (
        name
        for name, one in anchor.chains.items()
        if name in ended and one.base.block == one.head.block
    )
    return without(anchor, is_over)


def without(anchor: Anchor, names: Iterable[str]) -> Anchor:
    """The same without these chains, of which nothing is kept."""
    chains, folded = dict(anchor.chains), anchor.folded
    is_open = dict(folded.open)
    for name in names:
        one = chains.pop(name, None)
        if one is None:
            continue
        is_open.pop(name, None)
        if not one.is_ended:
            is_open[name] = one.head.block
        content = folded.digest.encode() + heads.canonical(one.head)
        folded = Folded(
            chains=folded.chains + 1,
            records=min(folded.records + one.head.total, spelled.MOST),
            digest=sha256(content).hexdigest(),
        )
    if folded is anchor.folded:
        return anchor
    newest = dict(list(is_open.items())[-MOST_OPEN:])
    return replace(anchor, chains=chains, folded=replace(folded, open=newest))
