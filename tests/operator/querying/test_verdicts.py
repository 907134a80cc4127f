"""What verifying found, as a status."""

from mesh7_core.ledger.audit_entries import Entry
from mesh7_operator.anchoring import following
from mesh7_operator.anchoring.anchor import Anchor
from mesh7_operator.anchoring.verifying import verify
from mesh7_operator.querying import verdicts
from tests.crds import judging, schemas
from tests.operator.querying.trails import BEGAN_MS, CHAIN, SHOP, Trail, line


def _trail() -> Trail:
    trail = Trail()
    for at in range(4):
        trail.write(line(BEGAN_MS + at), line(BEGAN_MS + at))
    return trail


def _status(entries: list[Entry], anchored: list[Entry]) -> dict[str, object]:
    anchor = following.follow(Anchor(namespace=SHOP), anchored).anchor
    found = dict(verdicts.status(verify(entries, anchor)))
    judged = {"metadata": {}, "spec": {"requestedBy": "jane"}, "status": found}
    assert judging.complaints(schemas.whole("AuditQuery"), judged) == []
    return found


def test_a_sound_audit_says_what_was_looked_at_and_until_when_it_is_vouched_for() -> None:
    trail = _trail()
    assert _status(trail.entries, trail.entries[:3])["verified"] == {
        "sound": True, "records": 8, "entries": 4, "chains": 1, "findings": [],
        "anchored": {"until": "2026-11-21T11:02:18.000Z", "newer": 1},
    }  # fmt: skip


def test_an_end_that_was_cut_is_a_finding_with_its_place() -> None:
    """Attack: the newest entries are taken out of Redis."""
    trail = _trail()
    found = _status(trail.entries[:2], trail.entries)["verified"]
    assert isinstance(found, dict)
    assert (found["sound"], found["findings"]) == (
        False,
        [{
            "kind": "cut",
            "where": f"pod support-7d9f, chain {CHAIN}, block 3",
            "says": "blocks 3 to 4 were anchored and are gone",
        }],
    )  # fmt: skip


def test_findings_beyond_a_hundred_are_counted() -> None:
    trail = _trail()
    for at in range(150):
        trail.add(None, BEGAN_MS + 10_000 + at)
    found = _status(trail.entries, [])["verified"]
    assert isinstance(found, dict)
    assert (len(found["findings"]), found["more"]) == (100, 50)


def test_an_audit_without_records_says_so() -> None:
    found = _status([], [])
    assert found["message"] == "nothing is recorded here that is still kept"
