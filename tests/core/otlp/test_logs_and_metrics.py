"""Audit lines as log records, and snapshots of instruments as metrics: docs/administrator."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import pytest

from mesh7_core.otlp import logs, metrics, settings
from mesh7_core.otlp.counts import Lost
from mesh7_core.otlp.metrics import MetricExporter
from mesh7_core.otlp.moments import Snapshot
from mesh7_core.otlp.sending import Sender
from mesh7_core.otlp.settings import Target
from mesh7_core.telemetry.instruments import (
    Distribution,
    Instrument,
    Kind,
    Label,
    Number,
    Program,
    Reading,
)
from tests.conftest import Eventually
from tests.core.otlp import parts
from tests.peers import otlp_receiver
from tests.peers.otlp_receiver import Manner, Receiver

_LABEL = Label(attribute="mesh7.effect", values=("allow",))
_CALLS = Instrument(
    name="mesh7.calls",
    programs=(Program.SIDECAR,),
    kind=Kind.COUNTER,
    unit="{call}",
    labels=(_LABEL,),
    help="Calls.",
)
_AGE = Instrument(
    name="mesh7.age", programs=(Program.SIDECAR,), kind=Kind.GAUGE, unit="s", help="Age."
)
_TOOK = Instrument(
    name="mesh7.took",
    programs=(Program.SIDECAR,),
    kind=Kind.HISTOGRAM,
    unit="s",
    help="Took.",
    buckets=(0.1, 1.0),
)
_READINGS = (
    Reading(_CALLS, (Number(("allow",), 3), Number(("",), 1))),
    Reading(_AGE, (Number((), 1.5),)),
    Reading(_TOOK, (Distribution((), (1, 0, 2), 7.5),)),
)


def _settings(receiver: Receiver, **more: str) -> settings.Settings:
    return settings.read(
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "OTEL_LOGS_EXPORTER": "otlp",
            "OTEL_METRICS_EXPORTER": "otlp",
            **more,
        },
        parts.RESOURCE,
    )


@pytest.mark.parametrize(
    ("line", "severity", "event"),
    [
        (b'{"id":"c-1","decision":"Allow","outcome":"ok","bundle":"b"}', 9, "decision"),
        (b'{"id":"c-1","decision":"Hold","outcome":"refused"}', 10, "decision"),
        (b'{"id":"c-1","decision":"Deny","outcome":"refused"}', 13, "decision"),
        (b'{"id":"c-1","decision":"Allow","outcome":"failed"}', 17, "decision"),
        (b'{"id":"c-1","deed":"approve","by":{}}', 9, "deed"),
        (b'{"id":"c-1","deed":"approve","by":{},"refused":"x"}', 13, "deed"),
        (b'{"id":"c-1","bundle":{"from":"a","to":"b"}}', 9, "bundle"),
        (b'{"id":"c-1","dropped":4}', 13, "dropped"),
        (b'{"id":"c-1","torn":{}}', 13, "torn"),
        (b'{"seal":{"block":1}}', 5, "seal"),
        (b"\xff no JSON", 13, "unknown"),
        (b'["a"]', 13, "unknown"),
    ],
)
def test_an_audit_line_becomes_a_log_record_of_its_kind_and_severity(
    line: bytes, severity: int, event: str
) -> None:
    with otlp_receiver.running() as receiver:
        sending = logs.of(_settings(receiver))
        assert sending is not None
        sending.add(line)
        sending.close(30)
        (record,) = receiver.log_records()
    assert sending.counts.sent == 1
    assert record.body.string_value == line.decode(errors="replace")
    assert int(record.severity_number) == severity
    assert record.event_name == f"mesh7.audit.{event}"


def test_a_log_record_names_its_time_and_its_span() -> None:
    """Issue 8: OpenTelemetry log correlation."""
    line = (
        b'{"id":"c-7","time":"2026-11-21T20:00:00.000001Z","decision":"Allow",'
        b'"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"00f067aa0ba902b7"}'
    )
    with otlp_receiver.running() as receiver:
        sending = logs.of(_settings(receiver))
        assert sending is not None
        sending.add(line)
        sending.close(30)
        (record,) = receiver.log_records()
    assert record.time_unix_nano == 1_795_291_200_000_001_000
    assert record.trace_id.hex() == parts.TRACE
    assert record.span_id.hex() == "00f067aa0ba902b7"
    assert otlp_receiver.attributes(record.attributes) == {
        "mesh7.audit.id": "c-7",
        "mesh7.audit.kind": "decision",
    }


@pytest.mark.promise("T3")
def test_lines_that_a_collector_refuses_are_counted() -> None:
    with otlp_receiver.running() as receiver:
        receiver.manner = Manner(status=403)
        sending = logs.of(_settings(receiver))
        assert sending is not None
        sending.add(b"{}")
        parts.until(lambda: sending.waiting == 0)
        sending.close(30)
        sending.add(b"{}")
    assert sending.counts.sent == 0
    assert sum(sending.counts.lost.values()) == 2


def test_readings_become_cumulative_metrics() -> None:
    with otlp_receiver.running() as receiver:
        sending = metrics.of(_settings(receiver))
        assert sending is not None
        sending.add(Snapshot(since_ns=1_000, at_ns=5_000, readings=_READINGS))
        parts.until(lambda: sending.counts.sent == 1)
        sending.close(30)
        calls, age, took = receiver.metrics()
    assert (calls.name, calls.unit, calls.description) == ("mesh7.calls", "{call}", "Calls.")
    assert calls.sum.is_monotonic
    assert calls.sum.aggregation_temporality == 2  # cumulative
    first, second = calls.sum.data_points
    assert (first.as_int or first.as_double) == 3
    assert (first.start_time_unix_nano, first.time_unix_nano) == (1_000, 5_000)
    assert otlp_receiver.attributes(first.attributes) == {"mesh7.effect": "allow"}
    assert otlp_receiver.attributes(second.attributes) == {}
    assert age.gauge.data_points[0].as_double == 1.5
    (point,) = took.histogram.data_points
    assert (point.count, point.sum) == (3, 7.5)
    assert list(point.bucket_counts) == [1, 0, 2]
    assert list(point.explicit_bounds) == [0.1, 1.0]
    assert not point.HasField("min")


async def test_metrics_are_handed_over_again_and_again_and_once_more_at_the_end(
    eventually: Eventually,
) -> None:
    with otlp_receiver.running() as receiver:
        sending = metrics.of(_settings(receiver, OTEL_METRIC_EXPORT_INTERVAL="5"))
        assert sending is not None
        keeping = asyncio.create_task(
            metrics.keep(sending, lambda: _READINGS, now_ns=lambda: 1_000)
        )
        await eventually(lambda: sending.counts.sent >= 2)
        before = len(receiver.metrics())
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await asyncio.to_thread(sending.close, 30)
        assert len(receiver.metrics()) > before
    assert sending.counts.lost[Lost.CLOSED] == 0


@pytest.mark.promise("T3")
async def test_instruments_that_cannot_be_read_once_are_read_again_and_it_is_said(
    eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    """The task ended unseen, and no metrics were ever sent again."""
    failing = iter([True, True, False, True])

    def read() -> Sequence[Reading]:
        if next(failing, False):
            raise KeyError("a defect")
        return _READINGS

    with otlp_receiver.running() as receiver:
        sending = metrics.of(_settings(receiver, OTEL_METRIC_EXPORT_INTERVAL="5"))
        assert sending is not None
        keeping = asyncio.create_task(metrics.keep(sending, read, now_ns=lambda: 1_000))
        await eventually(lambda: sending.counts.sent >= 2)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await asyncio.to_thread(sending.close, 30)
    assert [record.levelname for record in caplog.records if record.exc_info] == ["ERROR"] * 2


@pytest.mark.parametrize("kind", [logs.opened, MetricExporter])
def test_what_sends_may_be_closed_more_than_once(
    kind: Callable[[Target, Mapping[str, str]], Sender[bytes] | MetricExporter],
) -> None:
    with otlp_receiver.running() as receiver:
        sending = kind(parts.target(receiver), parts.RESOURCE)
        sending.close(30)
        sending.close(30)
