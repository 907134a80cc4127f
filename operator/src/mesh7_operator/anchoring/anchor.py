"""What the controller knows, and signs, of one namespace's audit: where each chain stands.

Pure: no clock, no network, no logging.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from mesh7_core.audit.heads import Head

MOST_CHAIN_BYTES: Final = 368 * 1024
"""Of all chains as they are written; beyond, some go (`evicting`)."""
MOST_FINDINGS: Final = 100
"""The newest are kept, and `MOST_OF_EACH` of each kind at most; all are counted."""
MOST_OF_EACH: Final = 14


class Trouble(StrEnum):
    """What is not as it was written."""

    EDITED = "edited"
    """A block does not bear its hash, or does not continue the one before."""
    GAP = "gap"
    """Blocks never came, and their writer did not say so."""
    REPEATED = "repeated"
    """Blocks came again, or others in their place."""
    FORGED = "forged"
    """It claims a chain or records of another writer, or is nothing that we write."""
    CUT = "cut"
    """Entries that were there are there no longer, and we did not take them away."""
    WITHHELD = "withheld"
    """Its writer's own word: these blocks were not sent, and are on its stdout."""
    UNANCHORED = "unanchored"
    """The anchor was gone, or changed by somebody else: what was before it is not vouched for."""
    EVICTED = "evicted"
    """We took them away before their time, for their writer had written too much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One of it.

    Attributes:
        at_ms: when it was found, by the server's clock; 0 = while verifying.
        chain: empty = of none.
        pod: whose chain, by its writer's word; empty or `-` = not known.
        block: the first block concerned; 0 = of none.
        entry: the id in the stream; empty = of none.
        said: what it is, for people; never what stands in a record.
    """

    trouble: Trouble
    said: str
    at_ms: int = 0
    chain: str = ""
    pod: str = ""
    block: int = 0
    entry: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chained:
    """One chain.

    Attributes:
        head: where it stands.
        base: where it stood before the oldest block that is kept.
        uid, pod: whose it is, by its writer's word; `-` = nobody's.
        key: that it is named by, public; empty = it is the controller's, which needs none.
        is_operators: the controller writes it.
        is_ended: its writer has said that nothing follows.
        seen_ms: when its last entry came, by the server's clock.
    """

    head: Head
    base: Head
    uid: str = "-"
    pod: str = "-"
    key: bytes = b""
    is_operators: bool = False
    is_ended: bool = False
    seen_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """Chains that are listed no longer, for nothing of them is kept.

    Attributes:
        records: in all of their blocks.
        digest: SHA-256 over the one before it and the canonical head of each, in hex.
        open: the last block of those that may go on, by name; who was folded lately last.
    """

    chains: int = 0
    records: int = 0
    digest: str = ""
    open: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trimmed:
    """What we took away ourselves.

    Attributes:
        up_to: the id of the last entry that went; empty = none did.
        entries: how many, ever.
    """

    up_to: str = ""
    entries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Evicted:
    """What went of one writer before its time, for that writer had written too much.

    Attributes:
        uid: whose; `operator` = ours, empty = nobody's, or of several.
        entries, records: how many.
        since, until: ids of the first and the last of them.
    """

    uid: str
    pod: str
    entries: int
    records: int
    since: str
    until: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """All of one namespace.

    Attributes:
        chains: by name.
        last: the id of the newest entry that was followed; empty = none.
        entries, size_bytes: of what was followed and is kept.
        findings: the newest, oldest of them first; none that is older than what is kept.
        found: how many of each there were, ever.
        evicted: what else would still be kept, by writer.
        going: ids of entries that are being taken away at this moment.
    """

    namespace: str
    chains: Mapping[str, Chained] = field(default_factory=dict)
    last: str = ""
    entries: int = 0
    size_bytes: int = 0
    trimmed: Trimmed = field(default_factory=Trimmed)
    folded: Folded = field(default_factory=Folded)
    findings: tuple[Finding, ...] = ()
    found: Mapping[Trouble, int] = field(default_factory=dict)
    evicted: tuple[Evicted, ...] = ()
    going: tuple[str, ...] = ()
