"""What verifying found, as the status that says it. Pure: no clock, no network, no logging."""

from datetime import UTC, datetime, timedelta
from typing import Final

from mesh7_operator.anchoring.anchor import Finding
from mesh7_operator.anchoring.verifying import Verified
from mesh7_operator.querying.answers import NOTHING, Status

MOST_FINDINGS: Final = 100
_MOST_PLACE: Final = 512
_MOST_WORDS: Final = 1024
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NOBODY: Final = frozenset({"", "-"})


def status(found: Verified) -> Status:
    """What is to be written of a walk over all that is kept."""
    shown = found.findings[:MOST_FINDINGS]
    verified: dict[str, object] = {
        "sound": found.is_whole,
        "records": found.records,
        "entries": found.entries,
        "chains": found.chains,
        "anchored": _anchored(found),
        "findings": [_finding(one) for one in shown],
    }
    if found.found > len(shown):
        verified["more"] = found.found - len(shown)
    said: dict[str, object] = {"phase": "Done", "scanned": found.records, "verified": verified}
    if not found.entries and not found.found:
        said["message"] = NOTHING
    return said


def _anchored(found: Verified) -> Status:
    if not found.signed_ms:
        return {"newer": found.newer}
    until = _EPOCH + timedelta(milliseconds=found.signed_ms)
    return {"until": until.isoformat(timespec="milliseconds")[:-6] + "Z", "newer": found.newer}


def _finding(found: Finding) -> Status:
    parts = [
        f"pod {found.pod}" if found.pod not in _NOBODY else "",
        f"chain {found.chain}" if found.chain else "",
        f"block {found.block}" if found.block else "",
        f"entry {found.entry}" if found.entry else "",
    ]
    return {
        "kind": found.trouble.value,
        "where": (", ".join(filter(None, parts)) or "the stream")[:_MOST_PLACE],
        "says": found.said[:_MOST_WORDS],
    }
