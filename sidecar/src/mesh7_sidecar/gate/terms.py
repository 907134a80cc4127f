"""How a gate holds calls, as the composition root says it.

Pure: no clock, no network, no logging.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from mesh7_core.ledger import protocol
from mesh7_core.policy.rules import Per


def one(_per: Per) -> int:
    """A gateway that shares no limit."""
    return 1


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldTerms:
    """How long calls wait for people, and how they are counted.

    Attributes:
        hold_s: a held call is answered after as long at most; a rule may say less.
        caps: how many requests may be pending at once.
        replicas: how many gateways share a limit that says `onStoreLoss: Local`, by whose calls
            it counts together; 0 = not known. Asked when the store is lost.
        key: of the digests in loop keys, at most 64 bytes; gateways that share a ledger need
            the same one.
        salt: of the digests of exact calls; the same at every start.
    """

    hold_s: float = 50.0
    caps: protocol.Caps = field(default_factory=protocol.Caps)
    replicas: Callable[[Per], int] = one
    key: bytes = field(default=b"", repr=False)
    salt: str = field(default="", repr=False)
