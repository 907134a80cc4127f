"""What is ignored is counted always, and told seldom."""

import logging

import pytest

from mesh7_core.delivery.envelopes import Kind, Refusal, Refused
from mesh7_core.delivery.reports import Origin
from mesh7_sidecar.bundles.refusals import TELL_EVERY_S, Refusals
from tests.core.ledger.contract import request_id

UNSIGNED = Refused(refusal=Refusal.UNSIGNED, message="nobody has signed that it is approved")


class Seconds:
    """Monotonic time that a test tells."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_decision_that_is_not_believed_is_named_by_its_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """docs/administrator/delivery.md, Why something was ignored."""
    refusals = Refusals(Seconds())
    with caplog.at_level(logging.WARNING):
        refusals.add_decision(request_id(7), UNSIGNED)
    told = (
        f"the decision about request `{request_id(7)}` in Redis is ignored (unsigned, 1 since this"
        " was last said): nobody has signed that it is approved – somebody else wrote it; see who"
        " has the namespace's Redis credentials"
    )
    assert caplog.messages == [told]


@pytest.mark.promise("K9")
def test_a_flood_of_forged_decisions_does_not_fill_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whoever may write to Redis must not write our log full."""
    time = Seconds()
    refusals = Refusals(time)
    with caplog.at_level(logging.WARNING):
        for number in range(1000):
            refusals.add_decision(request_id(number), UNSIGNED)
        refusals.add(Kind.BUNDLE, Origin.REDIS, UNSIGNED)
        time.now_s += TELL_EVERY_S
        refusals.add_decision("", UNSIGNED)
    assert refusals.counts[Refusal.UNSIGNED] == 1002
    assert len(caplog.messages) == 2
    assert caplog.messages[1].startswith("an answer in Redis is ignored (unsigned, 1001 since")
