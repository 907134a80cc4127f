"""What people decided about one held call, signed by the operator for the pod that asked.

    line 1   canonical JSON – the fields of `Decision`, and the key that signed
    line 2   base64 of the Ed25519 signature over line 1

It lies in Redis where the namespace's sidecars may only read. A sidecar believes it when a key of
its chain signed it, and it names the sidecar's own pod, the request and the digest of the call.
Pure: no clock, no network, no logging.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final

from mesh7_core.api.objects import DNS_LABEL
from mesh7_core.delivery import keys, spelled
from mesh7_core.delivery.envelopes import Refusal, Refused
from mesh7_core.errors import BundleError
from mesh7_core.policy import canonical

PURPOSE: Final = "mesh7.dev/decision-v1"
"""Of the signature, and the format."""
MAXIMUM_BYTES: Final = 16 * 1024
"""Of one; more is refused unread."""
MOST_NAMES: Final = 16
LONGEST_NAME: Final = 96
LONGEST_REASON: Final = 1024
"""Characters. With these, and each of them escaped, a decision fits."""
REQUEST_ID: Final = re.compile(r"r-[0-9a-z]{26}")

_ANY_FORMAT: Final = "mesh7.dev/decision-v"
_KEYS: Final = (
    "format", "namespace", "request", "digest", "uid", "verdict", "until", "by", "reason", "key",
)  # fmt: skip
_APPROVE: Final = "approve"
_DENY: Final = "deny"
_NAMESPACE: Final = re.compile(rf"(?=.{{1,63}}\Z){DNS_LABEL}")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_UID: Final = re.compile(r"[0-9A-Za-z-]{1,63}")


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
    """Spell and sign; the same arguments give the same bytes.

    `by` and `reason` are for people, and are cut to what fits.

    Raises:
        BundleError: a part is none that anybody would accept.
    """
    shown = replace(
        decision,
        by=tuple(_shown(one, LONGEST_NAME) for one in decision.by[:MOST_NAMES]),
        reason=_shown(decision.reason, LONGEST_REASON),
    )
    line = _line(shown, signer.public) if _is_sound(shown) else b""
    if not line:
        raise BundleError(
            f"the decision about request `{decision.request_id}` cannot be delivered, namespace, "
            "digest, uid and time have to be those of a pod's request"
        )
    return line + b"\n" + spelled.to_base64(signer.sign(PURPOSE, line)).encode()


def unseal(data: bytes, trusted: Collection[bytes]) -> Decision | Refused:
    """The decision, if one of these keys signed exactly it. Total.

    Rungs, the first that fails decides: size; shape of both lines, in their one spelling; a key
    that may sign; its signature.

    Args:
        data: as found; anybody may have written it.
        trusted: public keys that may have signed it.
    """
    if len(data) > MAXIMUM_BYTES:
        return Refused(
            refusal=Refusal.TOO_LARGE,
            message=f"{len(data)} bytes, at most {MAXIMUM_BYTES} are accepted",
        )
    line, _, written = data.partition(b"\n")
    signature = spelled.from_base64(written.decode("latin-1"), keys.SIGNATURE_BYTES)
    read = _read(line)
    if isinstance(read, Refused):
        return read
    if signature is None:
        return _malformed("line 2 is no signature")
    decision, key = read
    if key not in trusted:
        return _unsigned(f"key {keys.name_of(key)} is not one that may sign now")
    if not keys.verify(key, PURPOSE, line, signature):
        return _unsigned(f"key {keys.name_of(key)} did not sign it")
    return decision


def _line(decision: Decision, key: bytes) -> bytes:
    verdict = _APPROVE if decision.is_approved else _DENY
    return canonical.written({
        "format": PURPOSE, "namespace": decision.namespace, "request": decision.request_id,
        "digest": decision.digest, "uid": decision.uid, "verdict": verdict,
        "until": decision.until_ms, "by": list(decision.by), "reason": decision.reason,
        "key": spelled.to_base64(key),
    }).encode()  # fmt: skip


def _read(line: bytes) -> tuple[Decision, bytes] | Refused:
    found = spelled.json_object(line)
    if found is None:
        return _malformed("line 1 is no JSON object")
    form = found.get("format")
    if form != PURPOSE:
        if isinstance(form, str) and form.startswith(_ANY_FORMAT):
            return _malformed(f"its format is not `{PURPOSE}`, update the sidecar")
        return _malformed("it is no decision of mesh7")
    read = _meant(found)
    if read is None or _line(*read) != line:
        return _malformed("line 1 is not a decision in its one spelling")
    return read


def _meant(found: Mapping[str, object]) -> tuple[Decision, bytes] | None:
    fields = spelled.keyed(found, _KEYS)
    if fields is None:
        return None
    texts = [fields[name] for name in ("namespace", "request", "digest", "uid", "reason")]
    told = tuple(one for one in texts if isinstance(one, str))
    by = _names(fields["by"])
    until = spelled.number(fields["until"], 1)
    key = spelled.from_base64(fields["key"], keys.KEY_BYTES)
    verdict = fields["verdict"]
    if len(told) != len(texts) or verdict not in (_APPROVE, _DENY):
        return None
    if by is None or until is None or key is None:
        return None
    namespace, request_id, digest, uid, reason = told
    decision = Decision(
        namespace=namespace, request_id=request_id, digest=digest, uid=uid,
        is_approved=verdict == _APPROVE, until_ms=until, by=by, reason=reason,
    )  # fmt: skip
    return (decision, key) if _is_sound(decision) else None


def _is_sound(decision: Decision) -> bool:
    """Whether each part is what a pod's request could have."""
    return (
        bool(_NAMESPACE.fullmatch(decision.namespace))
        and bool(REQUEST_ID.fullmatch(decision.request_id))
        and bool(_DIGEST.fullmatch(decision.digest))
        and bool(_UID.fullmatch(decision.uid))
        and spelled.number(decision.until_ms, 1) is not None
    )


def _names(written: object) -> tuple[str, ...] | None:
    if not isinstance(written, list) or len(written) > MOST_NAMES:
        return None
    names = tuple(one for one in written if isinstance(one, str))
    return names if len(names) == len(written) else None


def _shown(text: str, most: int) -> str:
    """No longer than `most` characters, and none that no JSON has (half a surrogate pair)."""
    return text[:most].encode("utf-8", "replace").decode()


def _malformed(message: str) -> Refused:
    return Refused(refusal=Refusal.MALFORMED, message=message)


def _unsigned(message: str) -> Refused:
    return Refused(refusal=Refusal.UNSIGNED, message=message)
