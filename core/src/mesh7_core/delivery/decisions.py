"""What people decided about one held call, signed by the operator for the pod that asked.

    line 1   canonical JSON – the fields of `Decision`, and the key that signed
    line 2   base64 of the Ed25519 signature over line 1

It lies in Redis where the namespace's sidecars may only read. A sidecar believes it when a key of
its chain signed it, and it names the sidecar's own pod, the request and the digest of the call.
Pure: no clock, no network, no logging.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from mesh7_core.delivery import envelopes, keys

PURPOSE: Final = "mesh7.dev/decision-v1"
MAXIMUM_BYTES: Final = 16 * 1024
"""Of one; more is refused unread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One request's end, as far as people have a say in it.

    Attributes:
        request_id: `r-` and 26 letters or digits.
        digest: of the exact call (`policy.exact`).
        uid: of the pod that asked.
        is_approved: else it is denied.
        until_ms: by the ledger's clock: how long a yes can be used, or a no answers the same call.
        by: who decided, for people; at most 16.
        reason: what the last of them wrote; may be empty.
    """

    namespace: str
    request_id: str
    digest: str
    uid: str
    is_approved: bool
    until_ms: int
    by: tuple[str, ...] = ()
    reason: str = ""


def seal(decision: Decision, signer: keys.SigningKey) -> bytes:
    """Spell and sign; the same arguments give the same bytes."""
    raise NotImplementedError


def unseal(data: bytes, trusted: Collection[bytes]) -> Decision | envelopes.Refused:
    """The decision, if one of these keys signed exactly it. Total; nothing is read before that."""
    raise NotImplementedError
