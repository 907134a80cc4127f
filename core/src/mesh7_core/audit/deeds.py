"""What a person did: decided, granted, revoked, killed, or was kept from it; and its audit line.

Its fields are documented in docs/reference/audit.md. Pure: no clock, no network, no logging.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

import orjson

from mesh7_core.telemetry import chosen

_MOST_WRITTEN: Final = 1024
"""Characters of what a person wrote."""


class Act(StrEnum):
    """What was done, or tried."""

    APPROVE = "approve"
    DENY = "deny"
    GRANT = "grant"
    REVOKE = "revoke"
    KILL = "kill"
    AUDIT = "audit"
    """Asked for records of the audit, or whether they are sound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """One of it.

    Attributes:
        at_ns: Unix time in nanoseconds.
        person: a stable id, `uid:<n>`.
        evidence: how they said it: pid, program and its ancestors.
        refused: why it was not done; empty = it was.
        request_id, tool, agent, trace_id: of the call that was decided about; empty elsewhere,
            and where it is not known.
        grant: the grant's or veto's name; empty elsewhere.
        grant_uid: of that object, in a cluster.
        groups: of the person, those that a rule names; in a cluster.
        reason: what they wrote.
    """

    at_ns: int
    act: Act
    person: str
    name: str
    evidence: str
    refused: str = ""
    request_id: str = ""
    tool: str = ""
    agent: str = ""
    grant: str = ""
    grant_uid: str = ""
    groups: tuple[str, ...] = ()
    reason: str = ""
    trace_id: str = ""


def line(deed: Deed) -> bytes:
    """One JSON object, without the newline."""
    seconds, nanoseconds = divmod(deed.at_ns, 1_000_000_000)
    date = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    said = {
        "refused": chosen.text(deed.refused, most=_MOST_WRITTEN),
        "requestId": deed.request_id,
        "tool": chosen.text(deed.tool, is_uri=chosen.is_uri(deed.tool)),
        "agent": deed.agent,
        "grant": deed.grant,
        "grantUid": deed.grant_uid,
        "groups": deed.groups,
        "reason": chosen.text(deed.reason, most=_MOST_WRITTEN),
        "traceId": deed.trace_id,
    }
    return orjson.dumps(
        {
            "time": f"{date}.{nanoseconds // 1000:06d}Z",
            "deed": deed.act,
            "by": {"person": deed.person, "name": deed.name, "evidence": deed.evidence},
            **{name: value for name, value in said.items() if value},
        }
    )
