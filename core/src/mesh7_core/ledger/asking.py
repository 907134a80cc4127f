"""What the rules that ask about one call come to: who has to say yes, and how long it all waits.

The sidecar asks by it and the operator answers by it, so that both mean the same.
Pure: no clock, no network, no logging.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from mesh7_core.ledger.asked import Asking
from mesh7_core.policy.voices import Voice

DEFAULT_TIME: Final = timedelta(minutes=10)
"""Of a rule that says nothing of how long it waits, or how long a yes is good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What rules say of a request that they ask for.

    Attributes:
        asking: each rule once, sorted by its id.
        timeout_ms, use_within_ms: the least that a rule says.
    """

    asking: tuple[Asking, ...]
    timeout_ms: int
    use_within_ms: int


def asked_of(voices: Sequence[Voice]) -> Asked:
    """What these ask for together."""
    approvals = [one.approval for one in voices if one.approval is not None]
    asking = {one.id: _asking(one) for one in voices}
    return Asked(
        asking=tuple(asking[rule] for rule in sorted(asking)),
        timeout_ms=_least([one.timeout for one in approvals]),
        use_within_ms=_least([one.use_within for one in approvals]),
    )


def _asking(voice: Voice) -> Asking:
    approval = voice.approval
    return Asking(
        rule=voice.id,
        groups=() if approval is None else approval.groups,
        count=1 if approval is None else approval.count,
        text=voice.text,
    )


def _least(said: Sequence[timedelta]) -> int:
    return min(said, default=DEFAULT_TIME) // timedelta(milliseconds=1)
