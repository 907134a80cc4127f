"""What sidecars report: read back as written, within bounds, and nothing else is read."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_core.delivery import reports
from mesh7_core.delivery.reports import Drift, Origin, Report, SourceReport, Tool

DIGEST = "sha256:" + "a" * 64
SOURCE = SourceReport(
    name="billing",
    is_ready=True,
    protocol="2026-07-28",
    tools=(
        Tool(name="create_refund", digest=DIGEST),
        Tool(name="get_invoice", digest=DIGEST, drift=Drift.CHANGED),
        Tool(name="gone", digest=DIGEST, drift=Drift.REMOVED),
    ),
    tool_count=2,
)
REPORT = Report(
    pod="support-7d4b9c-x2x9z",
    uid="5c1f4d0e-7c3a-4a55-9d25-2f6f7a4c7f10",
    agent="support",
    labels={"app": "support", "example.com/team": ""},
    release="0.1.0",
    bundle=1795600000000,
    overlay=0,
    origin=Origin.CONFIG_MAP,
    refused={"old": 2, "unsigned": 1},
    sources=(SOURCE, SourceReport(name="crm", is_ready=False, error="it does not answer")),
)


def tools(count: int, drift: Drift | None = None) -> tuple[Tool, ...]:
    return tuple(
        Tool(name=f"{'z' if drift else 'a'}{at:05}", digest=DIGEST, drift=drift)
        for at in range(count)
    )


def test_a_report_is_read_back_as_it_was_written() -> None:
    assert reports.decode(reports.encode(REPORT)) == REPORT


@given(
    count=st.integers(0, 30),
    many=st.integers(0, 2100),
    error=st.text(max_size=2000),
    names=st.lists(st.text(max_size=1100), max_size=5),
    labels=st.dictionaries(
        st.from_regex(r"[a-z]{1,9}", fullmatch=True),
        st.from_regex(r"[a-zA-Z0-9]{0,63}", fullmatch=True),
        max_size=300,
    ),
)
def test_whatever_is_reported_fits_and_can_be_read(
    count: int, many: int, error: str, names: list[str], labels: dict[str, str]
) -> None:
    """A server may list anything; the store's entry stays bounded, and the pod stays seen."""
    found = (*(Tool(name=name, digest=DIGEST) for name in names), *tools(many))
    sources = tuple(
        SourceReport(name=f"s{at}", is_ready=False, error=error, protocol=error, tools=found)
        for at in range(count)
    )

    encoded = reports.encode(replace(REPORT, sources=sources, labels=labels))
    decoded = reports.decode(encoded)

    assert len(encoded) <= reports.MAXIMUM_BYTES
    assert decoded is not None
    assert len(decoded.sources) == count
    assert all(one.tool_count == len(found) for one in decoded.sources)


def test_the_fullest_report_keeps_every_source() -> None:
    """Tools go first, then the ends of errors."""
    sources = tuple(
        SourceReport(name=f"s{at:03}", is_ready=False, error='é"' * 600, tools=tools(3))
        for at in range(300)
    )

    decoded = reports.decode(reports.encode(replace(REPORT, sources=sources)))

    assert decoded is not None
    assert len(decoded.sources) == reports.MAXIMUM_SOURCES
    assert decoded.sources[0] == SourceReport(
        name="s000", is_ready=False, error='é"' * 64, tool_count=3
    )


def test_tools_that_drifted_stay_longest() -> None:
    """They are what people look for."""
    many = (*tools(2_500), *tools(10, Drift.CHANGED))
    sources = tuple(
        SourceReport(name=f"s{at}", is_ready=True, tools=many, tool_count=2_510) for at in range(9)
    )

    decoded = reports.decode(reports.encode(replace(REPORT, sources=sources)))

    assert decoded is not None
    for one in decoded.sources:
        assert one.tool_count == 2_510
        assert 10 < len(one.tools) < 2_000
        assert sum(tool.drift is Drift.CHANGED for tool in one.tools) == 10


def test_names_that_no_line_can_show_are_counted_and_not_named() -> None:
    hostile = tuple(
        Tool(name=name, digest=DIGEST)
        for name in ("a\nb", "\x1b[2J", "x" * 1025, "", "\ud800", "fine")
    )
    source = SourceReport(name="s", is_ready=True, error="two\nlines", tools=hostile)

    decoded = reports.decode(reports.encode(replace(REPORT, sources=(source,))))

    assert decoded is not None
    assert decoded.sources == (
        SourceReport(
            name="s",
            is_ready=True,
            error="two lines",
            tools=(Tool(name="fine", digest=DIGEST),),
            tool_count=6,
        ),
    )


def report_with(**changed: object) -> bytes:
    return json.dumps({**json.loads(reports.encode(REPORT)), **changed}).encode()


def with_source(**changed: object) -> bytes:
    source = {**json.loads(reports.encode(REPORT))["sources"][0], **changed}
    return report_with(sources=[source])


def with_tool(**changed: object) -> bytes:
    return with_source(tools=[{"name": "a", "digest": DIGEST, **changed}])


@pytest.mark.promise("K9")
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        reports.encode(REPORT)[:-1],
        b" " * reports.MAXIMUM_BYTES + reports.encode(REPORT),
        report_with(format=2),
        report_with(more=1),
        report_with(pod="Support"),
        report_with(pod="p" * 254),
        report_with(pod=None),
        report_with(uid=""),
        report_with(uid="a b"),
        report_with(uid="u" * 65),
        report_with(agent="../x"),
        report_with(labels=[]),
        report_with(labels={"a": 1}),
        report_with(labels={"": "a"}),
        report_with(labels={"a": "b" * 64}),
        report_with(labels={"a": "b\n"}),
        report_with(labels={f"a{at}": "" for at in range(257)}),
        report_with(release="a\nb"),
        report_with(release="a" * 65),
        report_with(bundle=-1),
        report_with(bundle=1.5),
        report_with(bundle=True),
        report_with(bundle=2**53),
        report_with(overlay="1"),
        report_with(origin="carrier pigeon"),
        report_with(origin=None),
        report_with(refused={"weather": 1}),
        report_with(refused={"old": -1}),
        report_with(refused=[]),
        report_with(sources={}),
        report_with(sources=[1]),
        report_with(sources=json.loads(reports.encode(REPORT))["sources"] * 2),
        with_source(name="a.b"),
        with_source(name="a" * 25),
        with_source(ready="yes"),
        with_source(error="a" * 1025),
        with_source(error="a\x1bb"),
        with_source(protocol="a b"),
        with_source(toolCount=1),
        with_source(toolCount=-1),
        with_source(tools={}),
        with_source(more=1),
        with_tool(name=""),
        with_tool(name="a" * 1025),
        with_tool(name="a\u2028b"),
        with_tool(digest="sha256:00"),
        with_tool(drift="Moved"),
        with_tool(drift=None),
        with_tool(more=1),
        with_source(tools=[{"name": "a", "digest": DIGEST}] * 2),
        with_source(
            tools=[{"name": f"a{at}", "digest": DIGEST} for at in range(2_001)], toolCount=2_001
        ),
    ],
)
def test_what_is_no_report_is_none(data: bytes) -> None:
    """Anybody who may write to the store may have written it; statuses are shown to people."""
    assert reports.decode(data) is None


@given(data=st.binary(max_size=300))
def test_whatever_is_there_is_read_or_none(data: bytes) -> None:
    assert reports.decode(data) is None
