"""A person's decision is a span with a link to the call that waited: docs/administrator."""

from datetime import UTC, datetime

import pytest

from mesh7_core.ledger.asked import Request, State, Verdict, Vote
from mesh7_operator import tracing
from mesh7_operator.clock import Clock
from mesh7_operator.controller.approving.witnessing import Witness
from tests.peers import otlp_receiver

_NOW_NS = 1_795_291_200_000_000_000
_CLOCK = Clock(wall_ns=lambda: _NOW_NS, monotonic_s=lambda: 1_000.0)
_HELD = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"


def _vote(person: str, verdict: Verdict) -> Vote:
    return Vote(person=person, name=person, groups=("finance",), verdict=verdict)


def _request(state: State, traceparent: str, *votes: Vote) -> Request:
    return Request(
        id="r-1", digest="sha256:0", agent="shop/support", pod="support-0", tool="billing.refund",
        arguments='{"card":"4111"}', definition="", asking=(), timeout_ms=1, use_within_ms=1,
        state=state, votes=votes, traceparent=traceparent,
    )  # fmt: skip


@pytest.mark.promise("T2")
@pytest.mark.parametrize(
    ("state", "effect", "people"), [(State.APPROVED, "allow", 2), (State.DENIED, "deny", 1)]
)
def test_a_decision_is_linked_to_the_span_that_waited_for_it(
    state: State, effect: str, people: int
) -> None:
    """Issue 8: the person's decision is a linked span from the operator."""
    request = _request(
        state,
        _HELD,
        _vote("jane@example.com", Verdict.APPROVE),
        _vote("ann@example.com", Verdict.APPROVE),
        _vote("bob@example.com", Verdict.DENY),
    )
    with otlp_receiver.running() as receiver:
        tracer = tracing.of({"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}, "x", 0.0, _CLOCK)
        said_at = datetime.fromtimestamp(_NOW_NS / 1e9 - 2, UTC)
        Witness(tracer).decided(request, "shop", said_at)
        tracer.close(30)
        (span,) = receiver.spans()
        (sent,) = receiver.asked
    (link,) = span.links
    assert (span.name, f"{link.trace_id.hex()}-{link.span_id.hex()}") == (
        "approval.decide",
        "0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7",
    )
    assert span.end_time_unix_nano - span.start_time_unix_nano == pytest.approx(2e9, abs=1e3)
    said = otlp_receiver.attributes(span.attributes)
    hashes = said.pop("mesh7.approval.approver.hash")
    assert isinstance(hashes, list)
    assert len(set(hashes)) == people
    assert said == {
        "mesh7.namespace": "shop",
        "mesh7.approval.id": "r-1",
        "mesh7.approval.verdict": state.value,
        "mesh7.policy.effect": effect,
    }
    assert b"example.com" not in sent.body
    assert b"4111" not in sent.body


def test_of_a_call_that_is_not_traced_the_share_decides() -> None:
    with otlp_receiver.running() as receiver:
        tracer = tracing.of({"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}, "x", 0.0, _CLOCK)
        for traceparent in ("", "nonsense", _HELD[:-2] + "00"):
            Witness(tracer).decided(_request(State.APPROVED, traceparent), "shop", None)
        tracer.close(30)
        assert receiver.spans() == []
