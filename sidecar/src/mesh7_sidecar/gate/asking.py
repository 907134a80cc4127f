"""The request that people see of a held call, and what is read back from it.

Pure but for the made-up id: no clock, no network, no logging.
"""

import base64
import secrets
from collections.abc import Sequence
from typing import Final

from mesh7_core.ledger.asked import Request, State, Verdict
from mesh7_core.ledger.asking import asked_of
from mesh7_core.ledger.protocol import Lost, Unknown
from mesh7_core.policy import exact, judge
from mesh7_core.policy.voices import Voice

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
    traceparent: str,
) -> Request:
    """A request for one exact call: every rule that asks, the shortest of their times.

    Args:
        text: what is forwarded, as people read it.
        traceparent: what their decision links to; empty = nothing.
    """
    meant = asked_of(asked)
    return Request(
        id=_fresh_id(),
        digest=digest,
        agent=f"{call.namespace}/{call.service_account}",
        pod=call.pod,
        tool=call.tool,
        arguments=text,
        definition=call.definition,
        asking=meant.asking,
        timeout_ms=meant.timeout_ms,
        use_within_ms=meant.use_within_ms,
        trace_id=trace_id,
        traceparent=traceparent,
        uid=call.uid,
        family=call.family,
        source_kind=call.source_kind,
        source_host=call.source_host,
        source=call.source,
        mark=call.mark,
        salt=call.salt,
    )


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


def _fresh_id() -> str:
    return "r-" + base64.b32encode(secrets.token_bytes(16)).decode().rstrip("=").lower()
