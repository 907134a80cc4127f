"""The request that people see of a held call, and what is read back from it.

Pure but for the made-up id: no clock, no network, no logging.
"""

import base64
import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from mesh7_core.ledger.asked import Asking, Request, State, Verdict
from mesh7_core.ledger.protocol import Lost, Unknown
from mesh7_core.policy import exact, judge
from mesh7_core.policy.rules import Approval
from mesh7_core.policy.voices import Voice

DEFAULT_TIMEOUT: Final = timedelta(minutes=10)
"""Of a rule that says nothing of how long it waits."""
_REFUSALS: Final = {
    State.EXPIRED: judge.Ledger.EXPIRED,
    State.LAPSED: judge.Ledger.EXPIRED,
    State.USED: judge.Ledger.UNKNOWN_OUTCOME,
    State.DENIED: judge.Ledger.DENIED,
}


def request_for(
    call: exact.ExactCall,
    asked: Sequence[Voice],
    *,
    digest: str,
    text: str,
    trace_id: str,
) -> Request:
    """A request for one exact call: every rule that asks, the shortest of their times.

    Args:
        text: what is forwarded, as people read it.
    """
    approvals = [voice.approval for voice in asked if voice.approval is not None]
    timeouts = [one.timeout for one in approvals] or [DEFAULT_TIMEOUT]
    return Request(
        id=_fresh_id(),
        digest=digest,
        agent=f"{call.namespace}/{call.service_account}",
        pod=call.pod,
        tool=call.tool,
        arguments=text,
        definition=call.definition,
        asking=tuple(sorted({voice.id: _asking(voice) for voice in asked}.values(), key=_rule)),
        timeout_ms=min(timeouts) // timedelta(milliseconds=1),
        use_within_ms=use_within(asked) // timedelta(milliseconds=1),
        trace_id=trace_id,
        uid=call.uid,
        family=call.family,
        source_kind=call.source_kind,
        source_host=call.source_host,
        source=call.source,
        mark=call.mark,
        salt=call.salt,
    )


def use_within(asked: Sequence[Voice]) -> timedelta:
    """How long people's yes can be used: the least that a rule says."""
    said = [voice.approval.use_within for voice in asked if voice.approval is not None]
    return min(said, default=DEFAULT_TIMEOUT)


def hold_of(asked: Sequence[Voice], hold_s: float) -> float:
    """Seconds that a caller waits: the least that a rule or the gateway's own setting says."""
    said = [voice.approval.hold for voice in asked if voice.approval is not None]
    return min([hold_s, *(one.total_seconds() for one in said if one is not None)])


def refusal(request: Request | Unknown | Lost) -> judge.Ledger | None:
    """Why a request will never be of use any more; None when it may, or is not known."""
    return _REFUSALS.get(request.state) if isinstance(request, Request) else None


def denial(request: Request | Unknown | Lost) -> str:
    """What the person wrote who said no; empty when nobody did, or nobody knows."""
    if not isinstance(request, Request):
        return ""
    words = [vote.reason for vote in request.votes if vote.verdict is Verdict.DENY]
    return words[-1] if words else ""


def _asking(voice: Voice) -> Asking:
    approval: Approval | None = voice.approval
    return Asking(
        rule=voice.id,
        groups=() if approval is None else approval.groups,
        count=1 if approval is None else approval.count,
        text=voice.text,
    )


def _rule(asking: Asking) -> str:
    return asking.rule


def _fresh_id() -> str:
    return "r-" + base64.b32encode(secrets.token_bytes(16)).decode().rstrip("=").lower()
