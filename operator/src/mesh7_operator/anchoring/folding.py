"""Chains that need not be listed any longer become one sum, so that an anchor stays small.

Pure: no clock, no network, no logging.
"""

from collections.abc import Container, Iterable
from dataclasses import replace
from hashlib import sha256
from typing import Final

from mesh7_core.audit import heads
from mesh7_operator.anchoring.anchor import MOST_CHAIN_BYTES, Anchor, Chained, Folded

_BYTES: Final = 400
"""Of a chain as it is written, without names: two heads and what stands between."""


def within(anchor: Anchor) -> Anchor:
    """The same, short enough to be written: chains that were silent longest go first."""
    size = sum(_size(one) for one in anchor.chains.values())
    gone = []
    for one in _silent_longest(anchor) if size > MOST_CHAIN_BYTES else ():
        if size <= MOST_CHAIN_BYTES:
            break
        size -= _size(one)
        gone.append(one)
    return _without(anchor, gone)


def over(anchor: Anchor, ended: Container[str]) -> Anchor:
    """The same without chains of which nothing is kept, not even the word that they ended.

    Args:
        anchor: as it stands.
        ended: names of chains whose end was trimmed.
    """
    is_over = (
        one
        for name, one in anchor.chains.items()
        if name in ended and one.base.block == one.head.block
    )
    return _without(anchor, is_over)


def _silent_longest(anchor: Anchor) -> list[Chained]:
    """Those that have ended before those that have not."""
    return sorted(anchor.chains.values(), key=lambda one: (not one.is_ended, one.seen_ms))


def _without(anchor: Anchor, gone: Iterable[Chained]) -> Anchor:
    chains, folded = dict(anchor.chains), anchor.folded
    for one in gone:
        del chains[one.head.chain]
        content = folded.digest.encode() + heads.canonical(one.head)
        folded = Folded(
            chains=folded.chains + 1,
            records=folded.records + one.head.total,
            digest=sha256(content).hexdigest(),
        )
    return anchor if folded is anchor.folded else replace(anchor, chains=chains, folded=folded)


def _size(one: Chained) -> int:
    return _BYTES + len(one.pod) + len(one.uid)
