"""ApprovalRequests and Grants as people's verbs know them: objects of the control API.

What only a cluster knows are further keys: `namespace`, of a request also `uid` and `answers`, of a
grant `phase`, `why` and `request`.
Pure: no clock, no network, no logging.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from mesh7_cli import cards, reading, spelled
from mesh7_cli.backend import Object
from mesh7_core.ledger import showing

OPEN: Final = frozenset({cards.PENDING, "approved"})
USED: Final = "used"
YES: Final = "Allow"
NO: Final = "Deny"


def requests(objects: Iterable[Mapping[str, object]]) -> list[Object]:
    """ApprovalRequests, oldest first; how many of their pod wait is counted among them."""
    found = [_request(one) for one in objects]
    waiting: dict[tuple[str, str], int] = {}
    for one in found:
        if one["state"] == cards.PENDING:
            waiting[_pod(one)] = waiting.get(_pod(one), 0) + 1
    for one in found:
        one["pending"] = waiting.get(_pod(one), 0)
    return sorted(found, key=lambda one: (str(one["openedAt"]), str(one["id"])))


def request(
    value: Mapping[str, object],
    others: Iterable[Mapping[str, object]] = (),
    grants: Iterable[Mapping[str, object]] = (),
    now: datetime | None = None,
) -> Object:
    """One ApprovalRequest.

    Args:
        others: of its namespace, itself among them; for what ran before and what waits beside it.
        grants: of its namespace; those that answer it show.
        now: for how long ago the same call ran.
    """
    found = _request(value)
    beside = requests(others)
    found["pending"] = next((one["pending"] for one in beside if one["id"] == found["id"]), 0)
    found["ranBefore"] = [_run(one, now) for one in beside if _is_same_call(one, found)]
    answers = [one for one in map(grant, grants) if one["request"] == found["id"]]
    found["answers"] = sorted(answers, key=lambda one: (str(one["madeAt"]), str(one["name"])))
    for rule in reading.objects(found, "rules"):
        rule["approvedBy"] = _approvers(rule, found)
    return found


def grant(value: Mapping[str, object]) -> Object:
    """One Grant."""
    name, where = (reading.text(value, "metadata", key) for key in ("name", "namespace"))
    spec = reading.one(value, "spec")
    policy = reading.one(spec, "policyRef")
    uses = reading.one(value, "status").get("uses")
    return {
        "name": name,
        "id": f"{where}/{name}",
        "namespace": where,
        "effect": _text(spec, "effect"),
        "tools": reading.texts(spec, "tools"),
        "agent": _text(spec, "subject", "serviceAccount"),
        "pod": _text(spec, "subject", "pod"),
        "policy": f"{policy.get('namespace')}/{policy.get('name')}" if policy else None,
        "when": _text(spec, "when"),
        "expiresAt": _text(value, "status", "expiresAt") or _text(spec, "expiresAt"),
        "maxUses": spec.get("maxUses"),
        "used": uses,
        "reason": _text(spec, "reason"),
        "by": _text(spec, "grantedBy", "username"),
        "madeAt": _text(value, "metadata", "creationTimestamp"),
        "from": "hand",
        "request": _text(spec, "requestRef", "name"),
        "phase": _text(value, "status", "phase"),
        "why": why_not(value),
    }


def accepted(value: Mapping[str, object]) -> Mapping[str, object]:
    """The condition `Accepted` of a Grant's status; empty while nobody has said anything."""
    conditions = reading.objects(value, "status", "conditions")
    return next((one for one in conditions if reading.text(one, "type") == "Accepted"), {})


def why_not(value: Mapping[str, object]) -> str | None:
    """Why a Grant is not in force; None where it is, or nobody has said yet."""
    condition = accepted(value)
    if not condition or reading.text(condition, "status") == "True":
        return None
    return reading.text(condition, "message") or reading.text(condition, "reason")


def _request(value: Mapping[str, object]) -> Object:
    where = reading.text(value, "metadata", "namespace")
    spec, status = reading.one(value, "spec"), reading.one(value, "status")
    size = reading.number(spec, "argumentsSize")
    of = reading.text(spec, "agent", "namespace") or where
    found: Object = {
        "id": reading.text(value, "metadata", "name"),
        "namespace": where,
        "uid": reading.text(value, "metadata", "uid"),
        "state": (reading.text(status, "state") or cards.PENDING).lower(),
        "tool": reading.text(spec, "tool"),
        "source": _source(spec),
        "agent": f"{of}/{reading.text(spec, 'agent', 'serviceAccount')}",
        "pod": reading.text(spec, "pod", "name"),
        "arguments": _arguments(reading.text(spec, "arguments"), is_cut=showing.is_cut(size)),
        "argumentsCutFrom": size if showing.is_cut(size) else None,
        "unseen": reading.truth(spec, "unseen") or showing.is_cut(size),
        "rules": [dict(one) for one in reading.objects(spec, "rules")],
        "openedAt": _text(spec, "openedAt"),
        "expiresAt": _text(spec, "expiresAt"),
        "usableUntil": _text(status, "usableUntil"),
        "definition": reading.text(spec, "definition"),
        "digest": reading.text(spec, "digest"),
        "decisions": [_decision(one) for one in reading.objects(status, "decisions")],
        "outcome": reading.text(status, "outcome"),
        "ranBefore": [],
        "pending": reading.number(spec, "pendingOfPod"),
        "waiting": None,
        "traceId": reading.text(spec, "traceId"),
    }
    for rule in reading.objects(found, "rules"):
        rule["approvedBy"] = _approvers(rule, found)
    return found


def _source(spec: Mapping[str, object]) -> Object | None:
    """Where its call goes; None of a request that a release before mirrored."""
    source = reading.one(spec, "source")
    names = ("name", "kind", "host", "path")
    return {name: reading.text(source, name) for name in names} if source else None


def _arguments(text: str, *, is_cut: bool) -> object:
    """What they say, where it is all there; else the text as it was shown."""
    if is_cut:
        return text
    try:
        return spelled.read(text)
    except (ValueError, RecursionError):
        return text


def _decision(value: Mapping[str, object]) -> Object:
    verdict = {"Approve": "approve", "Deny": "deny"}
    said = reading.text(value, "verdict")
    return {
        "person": reading.text(value, "username"),
        "name": reading.text(value, "username"),
        "groups": reading.texts(value, "groups"),
        "verdict": verdict.get(said, said),
        "reason": reading.text(value, "reason"),
        "at": reading.text(value, "at"),
    }


def _approvers(rule: Mapping[str, object], found: Mapping[str, object]) -> list[str]:
    """Whose yes counts for a rule, each once."""
    groups = set(reading.texts(rule, "groups"))
    policy = policy_of(reading.text(rule, "rule"))
    said = [
        reading.text(one, "name")
        for one in reading.objects(found, "decisions")
        if one["verdict"] == "approve"
        and (not groups or groups & set(reading.texts(one, "groups")))
        and _is_about(reading.text(one, "name"), policy, reading.objects(found, "answers"))
    ]
    return list(dict.fromkeys(said))


def _is_about(person: str, policy: str, answers: Sequence[Mapping[str, object]]) -> bool:
    """Whether somebody's yes was for the policy; one whose Grant is not seen may have been."""
    theirs = [
        one for one in answers if one["by"] == person and one["effect"] == YES and not one["why"]
    ]
    return not theirs or any(one["policy"] == policy for one in theirs)


def policy_of(rule: str) -> str:
    """`<namespace>/<policy>` of a rule's id."""
    return rule.rpartition("/")[0]


def _is_same_call(one: Mapping[str, object], found: Mapping[str, object]) -> bool:
    return one["digest"] == found["digest"] and one["id"] != found["id"] and one["state"] == USED


def _run(one: Mapping[str, object], now: datetime | None) -> Object:
    votes = reading.objects(one, "decisions")
    at = reading.text(votes[-1], "at") if votes else reading.text(one, "openedAt")
    moment = reading.moment({"at": at}, "at")
    ago = 0.0 if moment is None or now is None else (now - moment).total_seconds()
    return {
        "id": one["id"], "at": at, "secondsAgo": max(0, int(ago)), "outcome": one["outcome"],
    }  # fmt: skip


def _pod(one: Mapping[str, object]) -> tuple[str, str]:
    return str(one["namespace"]), str(one["pod"])


def _text(value: Mapping[str, object], *path: str) -> str | None:
    return reading.text(value, *path) or None
