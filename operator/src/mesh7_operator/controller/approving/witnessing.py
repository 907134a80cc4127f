"""People's decisions as spans: each linked to the call that waited for it, and nobody named."""

import hashlib
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from mesh7_core.ledger.asked import Request, State, Verdict
from mesh7_core.telemetry import context, conventions, operator_spans
from mesh7_core.telemetry.spans import Kind
from mesh7_operator.tracing import Tracer

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_KEY_BYTES: Final = 32
_HASH_BYTES: Final = 16


class Witness:
    """Tells of decisions.

    Args:
        fresh: that many random bytes. Hashes of names can be guessed, so they are keyed, with a key
            that nobody learns and that ends with this process.
    """

    def __init__(self, tracer: Tracer, fresh: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._tracer = tracer
        self._key = fresh(_KEY_BYTES)

    def decided(self, request: Request, namespace: str, said_at: datetime | None) -> None:
        """People's answer was signed and written.

        Args:
            request: as it is by their word.
            said_at: when the last of their Grants was made; None = not known.
        """
        waiting = context.read(request.traceparent)
        begun = self._tracer.begin(
            links=() if waiting is None else (waiting,),
            began_ns=None if said_at is None else (said_at - _EPOCH) // _MICROSECOND * 1000,
        )
        if begun is None:
            return
        is_approved = request.state is State.APPROVED
        verdict = Verdict.APPROVE if is_approved else Verdict.DENY
        people = [one.person for one in request.votes if one.verdict is verdict]
        self._tracer.end(
            begun,
            operator_spans.DECIDE,
            Kind.INTERNAL,
            {
                operator_spans.NAMESPACE: namespace,
                conventions.APPROVAL_ID: request.id,
                operator_spans.VERDICT: request.state.value,
                conventions.EFFECT: "allow" if is_approved else "deny",
                operator_spans.APPROVERS: [self._hash(one) for one in people],
            },
        )

    def _hash(self, person: str) -> str:
        hashed = hashlib.blake2b(person.encode(), key=self._key, digest_size=_HASH_BYTES)
        return f"b2:{hashed.hexdigest()}"
