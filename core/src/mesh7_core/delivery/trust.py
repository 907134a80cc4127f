"""Whom a sidecar believes: keys, floors, and what it has in force; one step per envelope found.

Pure: no clock, no network, no logging.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mesh7_core.delivery import envelopes


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What a sidecar knows; kept in its state folder so that a restart forgets nothing.

    Attributes:
        keys: public keys it was led to, oldest first; the first was given with the pod.
        newest: index of the newest key that has signed something accepted: older ones no longer do.
        floors: per kind, the lowest version that is accepted; grows with each that is.
    """

    namespace: str
    keys: tuple[bytes, ...]
    newest: int = 0
    floors: Mapping[envelopes.Kind, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """It is genuine and new enough; `trust` is what is known afterwards."""

    opened: envelopes.Opened
    trust: Trust


def consider(data: bytes, kind: envelopes.Kind, trust: Trust) -> Accepted | envelopes.Refused:
    """Whether to believe an envelope. The version in force is accepted again, an older one not."""
    raise NotImplementedError


def encode(trust: Trust) -> bytes:
    """For the state folder."""
    raise NotImplementedError


def decode(data: bytes, start: Trust) -> Trust:
    """What was kept, laid over what the pod was made with; `start` when it does not fit it.

    Keys that do not begin with the pod's own first key are ignored; floors never go below it.
    """
    raise NotImplementedError
