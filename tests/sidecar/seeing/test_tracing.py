"""Which calls are traced: docs/user/tracing.md."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_core.policy import calls
from mesh7_core.policy.decision import Decision, Verdict
from mesh7_core.policy.reasons import Reason
from mesh7_core.policy.recording import Recording
from mesh7_core.telemetry.context import Context
from mesh7_core.telemetry.conventions import ARGUMENTS
from mesh7_core.telemetry.passage import Passage
from mesh7_core.telemetry.records import Outcome, Record
from mesh7_core.telemetry.spans import Span
from mesh7_sidecar.seeing.spans import Spans
from mesh7_sidecar.seeing.tracing import ASKED_PER_SECOND, Tracer, Untraced

SECRET = "ghp_" + "a1B2" * 9
TRACE = "0af7651916cd43dd8448eb211c80319c"
OTHER = "1bf7651916cd43dd8448eb211c80319c"
ASKING = Context(TRACE, "b7ad6b7169203331", is_sampled=True, state="a=1")
SILENT = Context(TRACE, "b7ad6b7169203331", is_sampled=False)


class World:
    """A tracer whose clock and dice are told.

    Attributes:
        now_s: of its clock.
        thrown: what its dice show.
    """

    def __init__(self, share: float) -> None:
        self.now_s = 1_000.0
        self.thrown = 0.5
        self._numbers = iter(range(1, 100_000))
        self.tracer = Tracer(
            share,
            now_s=lambda: self.now_s,
            random=lambda: self.thrown,
            fresh=lambda count: next(self._numbers).to_bytes(8, "big") * (count // 8),
        )

    def begin(self, ambient: Context | None = None, meta: object = None) -> Passage:
        return self.tracer.begin("mcp", 7, ambient, meta)

    def traced(self, count: int, ambient: Context | None = None) -> int:
        """How many of so many calls are traced."""
        return sum(self.begin(ambient).sampled is not None for _ in range(count))


def named(parent: Context) -> dict[str, str]:
    return {"traceparent": parent.traceparent, "tracestate": parent.state}


def _thrown() -> Iterator[float]:
    yield from (0.0, 0.009, 0.011, 0.999)


def test_a_share_of_all_calls_is_traced_and_roots_begin_a_trace() -> None:
    world = World(0.01)
    found = []
    for thrown in _thrown():
        world.thrown = thrown
        found.append(world.begin().sampled)

    assert [one is not None for one in found] == [True, True, False, False]
    first, second = found[0], found[1]
    assert first is not None
    assert second is not None
    assert first.parent is None
    assert first.server.is_sampled
    assert first.server.trace_id != second.server.trace_id


@pytest.mark.parametrize(("share", "traced"), [(0.0, 0), (1.0, 50)])
def test_nothing_and_everything_can_be_traced(share: float, traced: int) -> None:
    world = World(share)
    world.thrown = 0.0 if share == 0 else 0.999_999

    assert world.traced(50) == traced


def test_a_callers_flag_is_honoured_and_its_span_becomes_the_parent() -> None:
    """Design 11."""
    passage = World(0.0).begin(ASKING)

    assert passage.sampled is not None
    assert passage.sampled.parent == ASKING
    assert passage.sampled.link is None
    assert (passage.trace_id, passage.sampled.server.state) == (TRACE, "a=1")
    assert passage.sampled.server.span_id != ASKING.span_id


@pytest.mark.promise("X11")
def test_forged_flags_get_ten_traces_a_second_and_no_more() -> None:
    """The attack: an agent that wants everything traced fills the collector, and costs us time."""
    world = World(0.0)
    assert world.traced(1_000, ASKING) == ASKED_PER_SECOND

    world.now_s += 0.5
    assert world.traced(1_000, ASKING) == ASKED_PER_SECOND / 2
    world.now_s += 3600
    assert world.traced(1_000, ASKING) == ASKED_PER_SECOND


@pytest.mark.promise("X11")
def test_whoever_chooses_trace_ids_does_not_choose_what_is_traced() -> None:
    """The attack: ids that a sampler by id takes for chosen, in a context that says unsampled."""
    world = World(0.01)
    chosen = Context("0" * 31 + "1", "0" * 15 + "1", is_sampled=False)

    assert world.traced(1_000, chosen) == 0


def test_a_call_beyond_the_bound_still_has_its_chance() -> None:
    world = World(0.01)
    world.traced(ASKED_PER_SECOND, ASKING)
    world.thrown = 0.001
    found = world.begin(ASKING).sampled

    assert found is not None
    assert found.parent == ASKING


def test_what_meta_names_is_the_parent_and_the_ambient_context_a_link() -> None:
    """reference/protocols.md 4."""
    within = Context(OTHER, "c" * 16, is_sampled=True)
    passage = World(0.0).begin(ASKING, named(within))

    assert passage.sampled is not None
    assert (passage.sampled.parent, passage.sampled.link) == (within, ASKING)
    assert passage.trace_id == OTHER


def test_the_same_context_in_both_is_no_link() -> None:
    passage = World(0.0).begin(ASKING, named(ASKING))

    assert passage.sampled is not None
    assert (passage.sampled.parent, passage.sampled.link) == (ASKING, None)


@pytest.mark.parametrize(
    "meta",
    [None, [], "x", {}, {"traceparent": 7}, {"traceparent": None}, {"traceparent": "x" * 100_000},
     {"traceparent": ["a"]}, {"Traceparent": ASKING.traceparent}],
)  # fmt: skip
def test_what_is_no_context_in_meta_leaves_the_headers(meta: object) -> None:
    passage = World(0.0).begin(SILENT, meta)

    assert (passage.caller, passage.sampled) == (SILENT, None)


@pytest.mark.promise("X11")
def test_a_forged_tracestate_in_meta_starts_no_header_line() -> None:
    """The attack: `_meta` may hold what no header can, and we write it into one."""
    meta = {"traceparent": ASKING.traceparent, "tracestate": "a=1\r\nauthorization: Bearer x"}
    passage = World(0.0).begin(None, meta)

    assert passage.sampled is not None
    assert passage.sampled.server.state == ""


def test_without_a_collector_nothing_is_traced_and_the_record_still_knows_the_trace() -> None:
    passage = Untraced().begin("v1", 7, SILENT, named(ASKING))

    assert (passage.sampled, passage.caller, passage.trace_id) == (None, ASKING, TRACE)
    assert (passage.door, passage.started_ns) == ("v1", 7)


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 30)), max_size=30))
def test_never_more_than_the_bound_within_any_second(turns: list[tuple[float, int]]) -> None:
    """A law: of a whole run, ten and ten for each second that went by."""
    world, traced, passed_s = World(0.0), 0, 0.0
    for seconds, count in turns:
        world.now_s += seconds
        passed_s += seconds
        traced += world.traced(count, ASKING)

    assert traced <= ASKED_PER_SECOND * (1 + passed_s) + 1e-6


@pytest.mark.promise("T6")
@pytest.mark.parametrize("is_full", [None, False, True], ids=["digest", "redacted", "full"])
def test_arguments_are_in_a_span_where_policies_ask_for_them_and_masked(
    is_full: bool | None,
) -> None:
    """Issue 8: keyed digests unless the policy says Redacted or Full; secrets always masked."""
    agent = calls.Agent(namespace="shop", service_account="a", pod="p", labels={})
    call = calls.Call(agent, calls.Family.TOOLS, "s", "t", {"password": SECRET, "order": "o-1"})
    passage = World(1.0).begin()
    if is_full is not None:
        passage.recording = Recording(is_full=is_full, redact=())
    decision = Decision(Verdict.ALLOW, Reason.ALLOWED_BY_RULE)
    found: list[Span] = []
    record = Record(call, decision, Outcome.OK, passage, ended_ns=1, duration_ns=1, bundle="")
    Spans(found.append).consume(record)

    said = found[0].attributes.get(ARGUMENTS)
    assert SECRET not in repr(found)
    assert (said is None) == (is_full is None)
    assert said is None or "o-1" in str(said)
