"""What is counted of calls: docs/reference/telemetry.md. Exact, and bounded whoever calls."""

from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_core.ledger.protocol import OBSERVED_ADMITTED, OBSERVED_LOST
from mesh7_core.policy import calls, decision
from mesh7_core.policy.reasons import Reason
from mesh7_core.telemetry import sidecar_instruments as table
from mesh7_core.telemetry.instruments import OTHER, Distribution, Number
from mesh7_core.telemetry.records import Outcome
from mesh7_sidecar.seeing.metrics import MOST_HISTOGRAMS
from tests.sidecar.seeing.counted import MS, World, allowed, compiled, denied, record

REFUND = ("tools/call", "refund", "s", "")


def test_a_call_is_counted_by_effect_reason_rule_and_tool() -> None:
    """Issue 8: decisions by effect, rule and tool."""
    world = World("refund")
    world.metrics.count(record(allowed()))
    world.metrics.count(record(allowed()))
    world.metrics.count(record(denied(), Outcome.REFUSED))
    world.metrics.count(record(denied(Reason.LIMIT_EXCEEDED), Outcome.REFUSED))
    assert world.numbers(table.CALLS) == {
        ("allow", "allowed-by-rule", "shop/p/all", "s.refund"): 2,
        ("deny", "denied-by-rule", "shop/p/all", "s.refund"): 1,
        ("throttle", "limit-exceeded", "shop/p/all", "s.refund"): 1,
    }


def test_what_audit_mode_would_decide_is_counted_beside_it() -> None:
    """docs/reference/telemetry.md: `mesh7_would_be_calls_total`."""
    world = World("refund")
    world.metrics.count(record(allowed(would=denied(rule="all"))))
    world.metrics.count(record(allowed()))
    assert world.numbers(table.WOULD_BE_CALLS) == {
        ("deny", "denied-by-rule", "shop/p/all", "s.refund"): 1
    }
    assert sum(world.numbers(table.CALLS).values()) == 2


def test_durations_have_the_labels_of_the_conventions_on_both_sides() -> None:
    """protocols.md 4: `mcp.server.operation.duration` and `mcp.client.operation.duration`."""
    world = World("refund")
    world.metrics.count(record(allowed(), took_ns=30 * MS, sent_after_ns=10 * MS))
    world.metrics.count(record(denied(), Outcome.REFUSED, took_ns=2 * MS))
    world.metrics.count(record(allowed(), Outcome.TOOL_ERROR, sent_after_ns=MS))
    server, client = world.series(table.SERVER_DURATION), world.series(table.CLIENT_DURATION)
    failed = ("tools/call", "refund", "s", "tool_error")
    assert {values: sum(_counts(point)) for values, point in server.items()} == {
        REFUND: 1, failed: 2,
    }  # fmt: skip
    assert client[REFUND] == Distribution(REFUND, (0, 1, *[0] * 13), 0.02)
    assert sum(_counts(client[failed])) == 1


def test_doors_that_speak_no_mcp_have_durations_of_their_own() -> None:
    """A plain HTTP call is no MCP operation."""
    world = World("refund")
    world.metrics.count(record(allowed(), door="v1"))
    world.metrics.count(record(allowed(), door="mcp"))
    assert {
        values: sum(_counts(point)) for values, point in world.series(table.CALL_DURATION).items()
    } == {("v1", "allow"): 1, ("mcp", "allow"): 1}
    assert sum(_counts(world.series(table.SERVER_DURATION)[REFUND])) == 1


def test_resources_and_prompts_are_told_by_their_method_and_not_by_name() -> None:
    """Whoever calls chooses URIs."""
    world = World()
    for number in range(1_000):
        family = calls.Family.RESOURCES
        world.metrics.count(record(allowed(), family=family, name=f"file:///{number}"))
    assert list(world.series(table.SERVER_DURATION)) == [("resources/read", "", "s", "")]
    assert world.numbers(table.CALLS) == {("allow", "allowed-by-rule", "shop/p/all", ""): 1_000}


def test_a_held_call_is_counted_with_how_long_it_waited_and_what_became_of_it() -> None:
    """Issue 8: holds and waits."""
    world = World("refund")
    held = record(denied(Reason.DENIED_BY_PERSON), Outcome.REFUSED, took_ns=9_000 * MS)
    held.passage.wait_ns = held.passage.started_ns + 1_000 * MS
    held.passage.judged_ns = held.passage.wait_ns + 7_000 * MS
    world.metrics.count(held)
    assert world.numbers(table.HOLDS) == {(): 1}
    waited = ("denied-by-person",)
    assert world.series(table.HOLD_WAIT)[waited] == Distribution(waited, (0, 0, 1, *[0] * 8), 7.0)


def test_trips_to_the_ledger_are_timed_and_lost_ones_counted() -> None:
    """Issue 8: ledger latency."""
    world = World()
    world.metrics.count_trip(2 * MS, OBSERVED_ADMITTED)
    world.metrics.count_trip(3 * MS, OBSERVED_LOST)
    assert world.numbers(table.LEDGER_LOSSES) == {(): 1}
    assert sum(_counts(world.series(table.LEDGER_DURATION)[()])) == 2


def test_failures_of_a_source_are_counted_by_kind() -> None:
    """Issue 8: upstream health."""
    world = World("refund")
    for detail in ("timed-out", "timed-out", "closed"):
        world.metrics.count(record(allowed(), Outcome.FAILED, detail=detail, sent_after_ns=MS))
    assert world.numbers(table.SOURCE_FAILURES) == {("s", "timed-out"): 2, ("s", "closed"): 1}


@pytest.mark.promise("T4")
def test_a_million_made_up_tools_make_one_series() -> None:
    """Issue 8, faults: cardinality bomb."""
    world = World("refund")
    unknown = record(decision.UNKNOWN_TOOL, Outcome.REFUSED)
    for number in range(1_000_000):
        unknown.call.name = f"t{number}"
        world.metrics.count(unknown)
    assert world.numbers(table.CALLS) == {("deny", "unknown-tool", "", OTHER): 1_000_000}
    assert list(world.series(table.SERVER_DURATION)) == [("tools/call", OTHER, "s", "tool_error")]


@pytest.mark.promise("T4")
def test_made_up_sources_and_sessions_make_no_series() -> None:
    """Issue 8, faults: cardinality bomb."""
    world = World("refund")
    for number in range(10_000):
        unknown = record(decision.UNKNOWN_SOURCE, Outcome.REFUSED, source=f"s{number}")
        unknown.call.session = f"session-{number}"
        world.metrics.count(unknown)
    assert world.numbers(table.CALLS) == {("deny", "unknown-source", "", OTHER): 10_000}


@pytest.mark.promise("T4")
def test_a_source_that_lists_a_hundred_thousand_tools_gets_two_hundred_series() -> None:
    """docs/reference/telemetry.md: the others are `other`, and none is lost."""
    world = World(*(f"t{number}" for number in range(100_000)))
    for number in range(100_000):
        world.metrics.count(record(allowed(), name=f"t{number}", sent_after_ns=MS))
    counted = world.numbers(table.CALLS)
    assert len(counted) == table.MOST_TOOLS + 1
    assert sum(counted.values()) == 100_000
    assert world.size < 3 * (table.MOST_TOOLS + 1) + 20


@pytest.mark.promise("T4")
def test_rules_that_are_reloaded_a_thousand_times_leave_no_series_behind() -> None:
    """Issue 8, faults: cardinality bomb. The series of a rule that is gone is dropped."""
    world = World("refund")
    for number in range(1_000):
        world.current.swap(compiled(("s",), (f"r{number}",)))
        world.metrics.count(record(allowed(f"r{number}")))
    assert world.numbers(table.CALLS) == {
        ("allow", "allowed-by-rule", "shop/p/r999", "s.refund"): 1
    }


@pytest.mark.promise("T4")
def test_rules_and_tools_beyond_all_bounds_are_counted_together() -> None:
    """docs/reference/telemetry.md: at most 10,000 series of decisions."""
    tools = [f"t{number}" for number in range(table.MOST_TOOLS)]
    world = World(*tools)
    for rule in range(60):
        for name in tools:
            world.metrics.count(record(allowed(f"r{rule}"), name=name))
    world.current.swap(compiled(("s",), [f"r{rule}" for rule in range(60)]))
    counted = world.numbers(table.CALLS)
    assert len(counted) == table.MOST_SERIES + 1
    assert counted["allow", "allowed-by-rule", OTHER, OTHER] == 60 * 200 - table.MOST_SERIES


@pytest.mark.promise("T4")
def test_words_that_a_source_makes_up_as_errors_stay_few() -> None:
    """A source chooses the codes of its JSON-RPC errors."""
    world = World("refund")
    for number in range(10_000):
        failed = record(allowed(), Outcome.PROTOCOL_ERROR, detail=f"-{number}", sent_after_ns=MS)
        world.metrics.count(failed)
    durations = world.series(table.SERVER_DURATION)
    assert len(durations) <= 51
    assert sum(sum(_counts(point)) for point in durations.values()) == 10_000


def test_series_of_durations_are_bounded_and_lose_nothing() -> None:
    """Beyond so many, tools are `other`."""
    tools = [f"t{number}" for number in range(200)]
    world = World(*tools)
    for name in tools:
        for code in range(20):
            world.metrics.count(record(allowed(), Outcome.PROTOCOL_ERROR, name, detail=f"-{code}"))
    durations = world.series(table.SERVER_DURATION)
    assert len(durations) <= MOST_HISTOGRAMS + 20
    assert sum(sum(_counts(point)) for point in durations.values()) == 4_000


def test_a_source_that_is_gone_loses_its_series_and_begins_anew() -> None:
    """docs/reference/telemetry.md: what is removed loses its series."""
    world = World("refund", sources=("s", "old"))
    world.metrics.count(record(allowed()))
    world.metrics.count(record(allowed(), Outcome.FAILED, source="old", detail="closed"))
    del world.listed["old"]
    world.current.swap(compiled(("s",), ("all",)))
    assert [values[3] for values in world.numbers(table.CALLS)] == ["s.refund"]
    assert world.numbers(table.SOURCE_FAILURES) == {}
    assert {values[2] for values in world.series(table.SERVER_DURATION)} == {"s"}
    world.metrics.count(record(allowed()))
    assert list(world.numbers(table.CALLS).values()) == [2]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["mcp", "aggregate", "v1", "http"]),
            st.sampled_from(["refund", "read", "made-up"]),
            st.integers(0, 400_000 * MS),
        )
    )
)
def test_all_histograms_agree_with_counting_one_by_one(made: list[tuple[str, str, int]]) -> None:
    """A law: whatever comes in whatever order, nothing is lost and nothing in a wrong bucket."""
    world = World("refund", "read")
    for door, name, took_ns in made:
        world.metrics.count(record(allowed(), name=name, door=door, took_ns=took_ns))
    bounds = table.CALL_DURATION.buckets
    for (door, _), point in world.series(table.CALL_DURATION).items():
        took = [took_ns / 1e9 for one, _, took_ns in made if one == door]
        naive = [0] * (len(bounds) + 1)
        for seconds in took:
            naive[bisect_left(bounds, seconds)] += 1
        assert isinstance(point, Distribution)
        assert point.counts == tuple(naive)
        assert point.total == pytest.approx(sum(took))
    assert sum(world.numbers(table.CALLS).values()) == len(made)


def test_requests_that_are_no_calls_are_counted_by_why() -> None:
    """Issue 8: by host, origin, token or path."""
    world = World()
    world.metrics.count_refused(Reason.FORBIDDEN_HOST)
    world.metrics.count_refused(Reason.FORBIDDEN_HOST)
    assert world.numbers(table.REFUSED_REQUESTS) == {("forbidden-host",): 2}


def _counts(point: Number | Distribution) -> tuple[int, ...]:
    assert isinstance(point, Distribution)
    return point.counts
