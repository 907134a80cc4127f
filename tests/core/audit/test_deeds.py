"""A person's deed as a line of the audit file."""

import json

from mesh7_core.audit import deeds


def test_a_decision_is_one_line_that_says_who_and_how() -> None:
    """docs/reference/audit.md."""
    deed = deeds.Deed(
        at_ns=1_795_248_000_123_456_789,
        act=deeds.Act.APPROVE,
        person="uid:1000",
        name="ann",
        evidence="pid 71 /usr/bin/python3 < 70 /bin/zsh",
        request_id="r-1",
        tool="git.commit",
        agent="default/coder",
        reason="line\nbreak",
        trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
    )
    line = deeds.line(deed)
    assert b"\n" not in line
    assert json.loads(line) == {
        "time": "2026-11-21T08:00:00.123456Z",
        "deed": "approve",
        "by": {
            "person": "uid:1000",
            "name": "ann",
            "evidence": "pid 71 /usr/bin/python3 < 70 /bin/zsh",
        },
        "requestId": "r-1",
        "tool": "git.commit",
        "agent": "default/coder",
        "reason": "line\nbreak",
        "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
    }


def test_what_was_not_done_says_why_and_nothing_that_is_empty() -> None:
    deed = deeds.Deed(
        at_ns=0,
        act=deeds.Act.REVOKE,
        person="uid:1",
        name="1",
        evidence="pid 1 x",
        refused="no",
        grant="g",
    )
    assert json.loads(deeds.line(deed)) == {
        "time": "1970-01-01T00:00:00.000000Z",
        "deed": "revoke",
        "by": {"person": "uid:1", "name": "1", "evidence": "pid 1 x"},
        "refused": "no",
        "grant": "g",
    }
