"""Grants and vetoes as people's programs get them, whatever stands in a document made by hand."""

from collections.abc import Mapping
from datetime import datetime

from mesh7_core.compiling import grants
from mesh7_core.ledger import protocol
from mesh7_core.policy import bundle
from mesh7_sidecar.people import shown

Shown = dict[str, object]
_MOST_USES = 1 << 53


def by_hand(standing: protocol.Standing, namespace: str) -> Shown:
    """As written; a field that cannot be read (anybody may write to a store) shows nothing."""
    document = grants.read_standing(standing.document) or {}
    spec = _mapping(document.get("spec"))
    subject, policy = _mapping(spec.get("subject")), _mapping(spec.get("policyRef"))
    reference = "/".join(
        str(_text(policy.get(key))) for key in ("namespace", "name") if key in policy
    )
    return {
        "name": _plain(standing.name),
        "id": _plain(f"{namespace}/{standing.name}"),
        "effect": _text(spec.get("effect")),
        "tools": _texts(spec.get("tools")),
        "agent": _text(subject.get("serviceAccount")),
        "pod": _text(subject.get("pod")),
        "policy": reference or None,
        "when": _text(spec.get("when")),
        "expiresAt": _text(spec.get("expiresAt")),
        "maxUses": _number(spec.get("maxUses")),
        "used": None,
        "reason": _text(spec.get("reason")) or "",
        "by": _plain(standing.by),
        "madeAt": shown.when(standing.made_at_ms),
        "from": "hand",
    }


def of_file(grant: bundle.Grant) -> Shown:
    """One of the folder's."""
    return {
        "name": grant.id.rpartition("/")[2],
        "id": grant.id,
        "effect": grant.effect,
        "tools": [each.text for each in grant.patterns],
        "agent": grant.service_account or None,
        "pod": grant.pod or None,
        "policy": grant.policy or None,
        "when": grant.condition.text if grant.condition is not None else None,
        "expiresAt": _moment(grant.expires_at),
        "maxUses": grant.maximum_uses,
        "used": None,
        "reason": grant.reason,
        "by": None,
        "madeAt": _moment(grant.created_at),
        "from": "file",
    }


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return _plain(value) if isinstance(value, str) else None


def _texts(value: object) -> list[str]:
    return [_plain(one) for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _number(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < _MOST_USES else None


def _plain(text: str) -> str:
    """Without halves of characters, which JSON text may name and no encoding can write."""
    return text.encode("utf-8", "replace").decode()


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else shown.when(int(moment.timestamp() * 1000))
