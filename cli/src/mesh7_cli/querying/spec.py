"""What somebody wants to see, as the spec of an AuditQuery.

Pure: no clock, no network, no logging.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from mesh7_cli.records import Wish
from mesh7_core import names

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def manifest(namespace: str, name: str, person: str, asked: dict[str, object]) -> dict[str, object]:
    """The AuditQuery.

    Args:
        namespace: whose audit is asked for.
        name: of the object.
        person: who asks, as the API server knows them; it takes no other.
        asked: `of_wish`, or `VERIFY`.
    """
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.AUDIT_QUERY,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"requestedBy": person, **asked},
    }


VERIFY: Final[dict[str, object]] = {"verify": True}


def of_wish(wish: Wish) -> dict[str, object]:
    """All that is wanted; what asks nothing is left away."""
    wanted = wish.wanted
    said: dict[str, object] = {
        "id": wanted.id,
        "agent": wanted.agent,
        "pod": wanted.pod,
        "tool": wanted.tool.text if wanted.tool is not None else "",
        "decision": wanted.decision,
        "reason": wanted.reason,
        "outcome": wanted.outcome,
        "rule": wanted.rule,
        "deeds": wanted.is_deed,
        "trace": wanted.trace,
        "request": wanted.request,
        "since": _moment(wanted.since_us),
        "until": _moment(wanted.until_us),
        "cursor": wish.cursor,
    }
    return {name: value for name, value in said.items() if value} | {"limit": wish.limit}


def _moment(at_us: int | None) -> str:
    if at_us is None:
        return ""
    return (_EPOCH + timedelta(microseconds=at_us)).isoformat().replace("+00:00", "Z")
