"""What is to be done for one namespace's held calls: values, carried out in the order given here.

Pure: no clock, no network, no logging.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mesh7_core.ledger.asked import Request
from mesh7_operator.reconciling.plan import Event, StatusChange


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """Exchange a request in Redis for what it is by our word, and tell the sidecars.

    Attributes:
        before: as it was read; whoever changed it meanwhile wins, and the next round looks again.
        after: approved, denied, withdrawn, or pending again where somebody else decided.
        decision: put there first, for as long as the request is kept; empty = none.
        forged: why what was there was nobody's word, for logs and a counter; empty = it was ours.
    """

    before: Request
    after: Request
    decision: bytes = field(default=b"", repr=False)
    forged: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """Create an ApprovalRequest, and write its status at once.

    Attributes:
        manifest: whole, without status.
    """

    name: str
    manifest: Mapping[str, object] = field(repr=False)
    status: Mapping[str, object] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """In this order: what sidecars wait for first.

    Attributes:
        doubted: ids of requests that are not mirrored, and why: what they claim is not so (yet);
            for the log and a counter.
        deleted: names and uids of ApprovalRequests.
        gone: ids of those of them that closed: none of their requests ever comes again.
        kept_bytes: what ApprovalRequests come to after this (`mirrored.size_bytes`).
        look_again_at: when the clock alone changes something; None = never.
    """

    settle: tuple[Settle, ...] = ()
    mirror: tuple[Mirror, ...] = ()
    statuses: tuple[StatusChange, ...] = ()
    deleted: tuple[tuple[str, str], ...] = ()
    gone: tuple[str, ...] = ()
    kept_bytes: int = 0
    events: tuple[Event, ...] = ()
    doubted: Mapping[str, str] = field(default_factory=dict)
    look_again_at: datetime | None = None
