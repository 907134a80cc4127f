from collections.abc import Sequence

import pytest

from e2e.stories import refunds
from e2e.stories.ground import Line, Story
from e2e.stories.refunds import Person, is_paid, name_of
from tests.peers.phoenix import Kept, Phoenix, above

_CALL = "tools/call create_refund"


@pytest.mark.promise("T1")
@pytest.mark.promise("T2")
@pytest.mark.promise("T5")
def test_one_trace_from_the_agent_over_a_person_to_the_tool_and_an_audit_that_tells_it(
    seen: Story, order: str, jane: Person, alice: Person, backend: Phoenix
) -> None:
    """Issue 8: one trace id across agent, sidecar, approval and tool, in the real backend."""
    request = _refunded(seen, order, jane)
    trace_id = request["spec"]["traceId"]
    spans = backend.await_spans(trace_id, _has_all)
    (ours,) = _ours(spans)
    below = [one.name for one in spans if one.parent_id == ours.span_id]
    assert below == ["policy.evaluate", "approval.wait", _CALL]
    assert above(ours, spans)[-1].name == "invoke_agent support"
    (wait,) = [one for one in spans if one.name == "approval.wait"]
    assert wait.attributes["mesh7.approval.id"] == name_of(request)
    # Nobody's name goes to the backend; the audit has it.
    assert "jane" not in str(spans)
    drawn = alice.does("trace", trace_id)
    assert "create_refund" in drawn
    assert "jane" in drawn
    assert name_of(request) in alice.does("audit", "--request", name_of(request), "-o", "json")
    assert alice.does("audit", "verify")


def _refunded(seen: Story, order: str, jane: Person) -> Line:
    with refunds.asked(seen, order) as call:
        request = refunds.await_request(seen, order, "Pending")
        jane.does("approve", name_of(request), "--reason", "the parcel was lost")
        assert is_paid(order)(call.answer())
    return request


def _ours(spans: Sequence[Kept]) -> list[Kept]:
    """What the agent sent, as its sidecar saw it."""
    return [one for one in spans if one.name == _CALL and "mesh7.policy.effect" in one.attributes]


def _has_all(spans: Sequence[Kept]) -> bool:
    """Whether the tool's own span is there, with all above it, and the person's wait."""
    ours, names = _ours(spans), {one.name for one in spans}
    is_deep = any(one in above(span, spans)[2:] for one in ours for span in spans)
    return is_deep and {"approval.wait", "invoke_agent support"} <= names
