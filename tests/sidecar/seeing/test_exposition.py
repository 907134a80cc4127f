"""What Prometheus is given can be read, whatever stands in labels: read back by its own parser."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import parser
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import parser as open_parser

from mesh7_core.telemetry import sidecar_instruments as table
from mesh7_core.telemetry.instruments import Distribution, Number, Reading
from mesh7_sidecar.seeing import exposition
from mesh7_sidecar.seeing.exposition import OPEN_METRICS, TEXT, Format
from tests.sidecar.seeing.counted import MS, World, allowed, compiled, record

HOSTILE = (
    'quo"te', "back\\slash", "new\nline", "both\\\n", '"} 1\nmesh7_leader 1\n#', "tab\there",
    "zero\u200bwidth", "right\u202eleft", "line\u2028apart", "nul\0", "\x1b[31mred", "ünïcödé 💣",
    "x" * 10_000, "# HELP", " lead and trail ", "{}", "le=",
)  # fmt: skip
_PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0,"
    "application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)


def _read(readings: list[Reading], spelled: Format) -> Iterator[Metric]:
    text = b"".join(exposition.pieces(readings, spelled)).decode()
    if spelled.is_open_metrics:
        return iter(list(open_parser.text_string_to_metric_families(text + "# EOF\n")))  # type: ignore[no-untyped-call]
    return iter(list(parser.text_string_to_metric_families(text)))


@pytest.mark.promise("T4")
@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("spelled", [TEXT, OPEN_METRICS], ids=["text", "open-metrics"])
def test_a_hostile_tool_name_in_a_label_comes_back_as_it_was(name: str, spelled: Format) -> None:
    """Issue 8, faults: a hostile tool name in labels adds no line, and breaks none."""
    values = ("allow", "allowed-by-rule", "shop/p/all", f"s.{name}")
    readings = [
        Reading(table.CALLS, [Number(values, 7)]),
        Reading(table.CONNECTIONS, [Number((), 3)]),
    ]
    calls, connections = _read(readings, spelled)
    assert [(one.labels["tool"], one.value) for one in calls.samples] == [(f"s.{name}", 7)]
    assert [one.value for one in connections.samples] == [3]


@given(st.text(st.characters(codec="utf-8")))
def test_any_text_comes_back_as_it_was(name: str) -> None:
    """A law; a label that is empty is one that is not there."""
    readings = [Reading(table.SOURCE_RESTING, [Number((name,), 1)])]
    (resting,) = _read(readings, TEXT)
    assert resting.samples[0].labels.get("source", "") == name


def test_half_a_surrogate_hides_nothing_else() -> None:
    """It has no UTF-8."""
    readings = [Reading(table.SOURCE_RESTING, [Number(("a\ud800b",), 1), Number(("c",), 1)])]
    (resting,) = _read(readings, TEXT)
    assert [one.labels["source"] for one in resting.samples] == ["a?b", "c"]


@pytest.mark.parametrize("spelled", [TEXT, OPEN_METRICS], ids=["text", "open-metrics"])
def test_a_histogram_is_cumulative_and_ends_with_everything(spelled: Format) -> None:
    """docs: exposition formats; buckets are told by their upper bound."""
    point = Distribution(("mcp", "allow"), (1, 2, *[0] * 12, 4), 12.5)
    (family,) = _read([Reading(table.CALL_DURATION, [point])], spelled)
    told = {one.labels["le"]: one.value for one in family.samples if one.name.endswith("_bucket")}
    rest = {one.name: one.value for one in family.samples if not one.name.endswith("_bucket")}
    assert (family.type, told["0.01"], told["0.02"], told["300.0"], told["+Inf"]) == (
        "histogram", 1, 3, 3, 7,
    )  # fmt: skip
    assert rest == {"mesh7_call_duration_seconds_sum": 12.5, "mesh7_call_duration_seconds_count": 7}


@pytest.mark.parametrize("spelled", [TEXT, OPEN_METRICS], ids=["text", "open-metrics"])
def test_every_instrument_is_of_the_kind_that_the_table_says(spelled: Format) -> None:
    """Both formats, through the parsers of Prometheus' own library."""
    readings = []
    for one in table.ALL:
        values = tuple("x" for _ in one.labels)
        counts = (1,) * (len(one.buckets) + 1)
        whole = Distribution(values, counts, 1.0) if one.buckets else Number(values, 1)
        readings.append(Reading(one, [whole]))
    found = {
        family.name: (family.type, family.documentation) for family in _read(readings, spelled)
    }
    assert found == {one.family: (one.kind.value, one.help) for one in table.ALL}


@pytest.mark.parametrize(
    ("accept", "spelled"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/plain;version=0.0.4", TEXT),
        ("application/openmetrics-text", OPEN_METRICS),
        ("application/openmetrics-text; version=1.0.0; charset=utf-8,*/*;q=0.1", OPEN_METRICS),
        ("application/openmetrics-text;version=0.0.1;q=0.75,text/plain;q=0.5", TEXT),
        ("application/openmetrics-text;q=0,text/plain", TEXT),
        (
            _PROMETHEUS,
            OPEN_METRICS,
        ),
    ],
)
def test_open_metrics_is_for_whoever_asks_for_it(accept: str, spelled: Format) -> None:
    """Prometheus 2.42 asks as in the last line."""
    assert exposition.wanted(accept) is spelled


def test_a_large_answer_comes_in_pieces_so_that_calls_have_their_turn() -> None:
    """No piece has many more lines than `LINES_AT_ONCE`, and together they are whole."""
    tools = [f"t{number}" for number in range(200)]
    world = World(*tools)
    world.current.swap(compiled(("s",), [f"r{rule}" for rule in range(50)]))
    for rule in range(50):
        for name in tools:
            world.metrics.count(record(allowed(f"r{rule}"), name=name, sent_after_ns=MS))
    found = list(exposition.pieces(world.metrics.readings(), TEXT))
    assert max(piece.count(b"\n") for piece in found) < exposition.LINES_AT_ONCE + 50
    families = parser.text_string_to_metric_families(b"".join(found).decode())
    calls = next(family for family in families if family.name == "mesh7_calls")
    assert sum(one.value for one in calls.samples) == 10_000
