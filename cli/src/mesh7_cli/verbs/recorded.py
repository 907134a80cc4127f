"""What one audit record says, in a few words each.

Its writer may be older or newer, and names in it are the agent's own: what is printed of them goes
through `output`. Pure: no clock, no network, no logging.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mesh7_cli import reading, spelled
from mesh7_core.audit import recorded
from mesh7_core.audit.recorded import Kind

_SECOND_MS: Final = 1000.0
_MINUTE_MS: Final = 60 * _SECOND_MS
_SECONDS: Final = len("2026-11-21T10:00:00")
_LONGEST_MS: Final = 366 * 24 * 60 * _MINUTE_MS
SEAL: Final = Kind.SEAL.value
SAYINGS: Final = {
    "approve": "approved", "deny": "denied", "grant": "granted", "revoke": "revoked",
    "kill": "killed",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One record.

    Attributes:
        fields: all of it, numbers as they were spelled.
        what: `Allow`, `Deny`, `Hold`, what a person did, or which other kind of line it is.
        agent: `<namespace>/<service account>`; empty when it names none.
    """

    fields: Mapping[str, object]
    kind: Kind
    id: str
    what: str
    agent: str
    pod: str


def read(line: str) -> Said | None:
    """What a stored line says; None when it is no JSON object."""
    found = recorded.read(line.encode())
    if found is None:
        return None
    try:
        fields = spelled.read(line)
    except (ValueError, RecursionError):
        fields = found.fields
    kind = found.traits.kind
    what = found.traits.decision if kind is Kind.CALL else kind.value
    return Said(
        fields=fields if isinstance(fields, dict) else found.fields,
        kind=kind,
        id=found.id,
        what=reading.text(found.fields, "deed") if kind is Kind.DEED else what,
        agent=found.traits.agent,
        pod=found.traits.pod,
    )


def why(said: Said) -> str:
    """Why it came so, or what it tells, in one line."""
    fields = said.fields
    match said.kind:
        case Kind.CALL:
            rules = ", ".join(reading.texts(fields, "rules"))
            return f"{reading.text(fields, 'reason')} {rules}".rstrip()
        case Kind.DEED:
            return _deed(fields)
        case Kind.BUNDLE:
            return _bundle(reading.one(fields, "bundle"))
        case Kind.DROPPED:
            return f"{reading.text(fields, 'dropped')} records were dropped before this"
        case Kind.TORN:
            left = reading.number(fields, "torn", "records")
            return f"a crash left {left} records before this without a seal"
        case Kind.SEAL | Kind.OTHER:
            return ""


def person(fields: Mapping[str, object]) -> str:
    """Who did a deed: the name, and the stable id where it says more."""
    name, stable = reading.text(fields, "by", "name"), reading.text(fields, "by", "person")
    return f"{name} ({stable})" if name and stable and name != stable else name or stable


def milliseconds(fields: Mapping[str, object], key: str) -> float:
    """A span of the record; 0 when it says none, or none that can be."""
    found = fields.get(key)
    if isinstance(found, bool) or not isinstance(found, int | float):
        return 0.0
    return min(float(found), _LONGEST_MS) if found > 0 else 0.0


def span(length_ms: float) -> str:
    """`0.8ms`, `12ms`, `3.4s`, `2m 5s`."""
    if length_ms < _SECOND_MS:
        return f"{length_ms:.1f}ms" if length_ms < 10 else f"{length_ms:.0f}ms"  # noqa: PLR2004
    if length_ms < _MINUTE_MS:
        return f"{length_ms / _SECOND_MS:.1f}s"
    minutes, seconds = divmod(int(length_ms / _SECOND_MS), 60)
    return f"{minutes}m {seconds}s"


def took(said: Said) -> str:
    """How long a call took; empty of what is no call."""
    if "durationMs" not in said.fields:
        return ""
    return span(milliseconds(said.fields, "durationMs"))


def seconds(said: Said) -> str:
    """When it was, to the second; empty when it does not say."""
    text = reading.text(said.fields, "time")
    return f"{text[:_SECONDS]}Z" if recorded.moment(text) is not None else ""


def _bundle(change: Mapping[str, object]) -> str:
    words = [f"{reading.text(change, 'to') or 'nothing'} in force"]
    for key, before in (("version", "version "), ("origin", "from ")):
        if text := reading.text(change, key):
            words.append(f"{before}{text}")
    return ", ".join(words)


def _deed(fields: Mapping[str, object]) -> str:
    reason = reading.text(fields, "reason")
    refused = reading.text(fields, "refused")
    about = reading.text(fields, "requestId") or reading.text(fields, "grant")
    words = f"by {person(fields)}{f', {about}' if about else ''}"
    if refused:
        return f"{words}, refused: {refused}"
    return f"{words}: {reason}" if reason else words
