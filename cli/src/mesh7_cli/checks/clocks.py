"""The check of clocks: the person's, the leader's and the nodes' against the API server's.

Times of grants, leases and certificates are compared by them. The API server's is when it answered
who is asking. Pure: no clock, no network, no logging.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from mesh7_cli import reading
from mesh7_cli.checks.findings import Check, Facts, Finding, ok, warn

MOST: Final = timedelta(seconds=10)
BEFORE: Final = "before"
AFTER: Final = "after"
"""Members of the answer: the person's clock around the question."""
NODES: Final = "node-leases"


def _clocks(facts: Facts) -> Finding:
    asked = facts.value("clock")
    told = reading.moment(asked, "metadata", "creationTimestamp")
    before, after = reading.moment(asked, BEFORE), reading.moment(asked, AFTER)
    if told is None or before is None or after is None:
        return ok("the API server does not say its time")
    # It says whole seconds.
    off = max(before - told - timedelta(seconds=1), told - after, timedelta())
    wrong = []
    if off > MOST:
        way = "ahead of" if told < before else "behind"
        wrong.append(f"yours: {_shown(off)} {way} the API server")
    # No later than this it was there when the last lease was read.
    latest = told + timedelta(seconds=1) + facts.took
    wrong.extend(
        f"{whose}: {_shown(at - latest)} ahead of the API server"
        for whose, at in _renewed(facts)
        if at - latest > MOST
    )
    if wrong:
        return warn(
            "clocks differ: grants, leases and certificates end at other times than people think "
            "– see to NTP on these machines",
            wrong,
        )
    return ok()


def _renewed(facts: Facts) -> Iterator[tuple[str, datetime]]:
    """Leases by who renews them; one that is behind may as well be dead, and is not judged here."""
    # Before an installation nobody leads.
    lease = facts.value("lease") if "lease" in facts.looks else {}
    if (leader := reading.moment(lease, "spec", "renewTime")) is not None:
        yield "the leading controller", leader
    for name, lease in facts.named(NODES).items():
        renewed = reading.moment(lease, "spec", "renewTime")
        if renewed is not None:
            yield f"node {name}", renewed


def _shown(span: timedelta) -> str:
    return f"{span.total_seconds():.0f} s"


CLOCKS: Final = Check(name="clocks", title="clocks agree", judge=_clocks, needs=("clock",))
