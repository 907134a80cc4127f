"""Which calls have audit lines: docs/reference/audit.md."""

import pytest

from mesh7_core.policy import calls
from mesh7_core.policy.decision import Decision, Verdict
from mesh7_core.policy.reasons import Reason
from mesh7_core.telemetry.passage import Passage
from mesh7_core.telemetry.records import Outcome, Record
from mesh7_sidecar.audit.share import by_share
from mesh7_sidecar.settings import AuditShare

AGENT = calls.Agent(namespace="default", service_account="default", pod="p", labels={})
CALL = calls.Call(AGENT, calls.Family.TOOLS, "s", "echo", {})


def _record(verdict: Verdict, reason: Reason) -> Record:
    decision = Decision(verdict, reason)
    passage = Passage("v1", 0)
    return Record(CALL, decision, Outcome.OK, passage, ended_ns=0, duration_ns=0, bundle="")


@pytest.mark.parametrize(("share", "kept"), [("all", 3), ("denied", 2), ("off", 0)])
def test_the_share_says_which_records_are_kept(share: str, kept: int) -> None:
    """docs/reference/audit.md."""
    records: list[Record] = []
    for consume in by_share(records.append, AuditShare(share)):
        consume(_record(Verdict.ALLOW, Reason.ALLOWED_BY_RULE))
        consume(_record(Verdict.HOLD, Reason.APPROVAL_REQUIRED))
        consume(_record(Verdict.DENY, Reason.DENIED_BY_RULE))

    assert len(records) == kept
    assert all(each.decision.verdict is not Verdict.ALLOW for each in records[-2:])
