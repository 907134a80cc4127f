"""The operator's own spans: docs/administrator/telemetry.md."""

import asyncio
import json
import logging
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh7_core import errors
from mesh7_core.telemetry import operator_instruments
from mesh7_core.telemetry.context import Context
from mesh7_core.telemetry.spans import Kind
from mesh7_operator import logs, metrics, tracing
from mesh7_operator.clock import Clock
from mesh7_operator.tracing import Tracer
from tests.operator.exchange import certificates
from tests.peers import otlp_receiver
from tests.peers.otlp_receiver import Receiver

_TRACE = "0af7651916cd43dd8448eb211c80319c"
_HELD = Context("12345678901234567890123456789012", "1234567890123456", is_sampled=True)


class _Told:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.wall_ns, self.monotonic_s = 1_700_000_000_000_000_000, 50.0
        self.clock = Clock(wall_ns=lambda: self.wall_ns, monotonic_s=lambda: self.monotonic_s)

    def passes(self, seconds: float) -> None:
        self.wall_ns += int(seconds * 1e9)
        self.monotonic_s += seconds


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with otlp_receiver.running() as running:
        yield running


def _tracer(receiver: Receiver, share: float, told: _Told) -> Tracer:
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "HOSTNAME": "mesh7-controller-0"}
    return tracing.of(environment, "mesh7-controller", share, told.clock)


def test_without_an_endpoint_nothing_is_begun() -> None:
    tracer = tracing.of({}, "mesh7-controller", 1.0, _Told().clock)
    assert tracer.begin() is None
    assert tracing.OFF.begin({"traceparent": f"00-{_TRACE}-00f067aa0ba902b7-01"}) is None


def test_a_variable_that_cannot_be_used_stops_the_program() -> None:
    with pytest.raises(errors.SettingsError, match="OTEL_EXPORTER_OTLP_ENDPOINT"):
        tracing.of({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector"}, "x", 1.0, _Told().clock)


def test_a_span_lasts_as_long_as_the_work_whatever_the_wall_clock_does(receiver: Receiver) -> None:
    told = _Told()
    tracer = _tracer(receiver, 1.0, told)
    begun = tracer.begin()
    told.passes(1.5)
    told.wall_ns -= 3_600_000_000_000
    tracer.end(begun, "reconcile", Kind.INTERNAL, {"mesh7.namespace": "team-a"}, error="failed")
    tracer.close(30)
    (span,) = receiver.spans()
    (resource,) = receiver.resources()
    assert (span.name, span.parent_span_id, span.status.message) == ("reconcile", b"", "failed")
    assert span.start_time_unix_nano == 1_700_000_000_000_000_000
    assert span.end_time_unix_nano - span.start_time_unix_nano == 1_500_000_000
    assert resource["service.name"] == "mesh7-controller"
    assert resource["service.instance.id"] == "mesh7-controller-0"


def test_headers_go_over_tls_to_the_collector_that_the_given_authorities_vouch_for(
    tmp_path: Path,
) -> None:
    """What the chart's `telemetry.otlp.ca` and `headersSecret` come to."""
    certificate, key = tmp_path / "ca.crt", tmp_path / "key.pem"
    certificates.write_pair(certificate, key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with otlp_receiver.running(context) as receiver:
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "OTEL_EXPORTER_OTLP_CERTIFICATE": str(certificate),
            "OTEL_EXPORTER_OTLP_HEADERS": "api-key=k%2C1",
        }
        tracer = tracing.of(environment, "mesh7-controller", 1.0, _Told().clock)
        tracer.end(tracer.begin(), "reconcile", Kind.INTERNAL, {})
        tracer.close(30)
        assert receiver.url.startswith("https://")
        assert [one.name for one in receiver.spans()] == ["reconcile"]
        assert {one.headers["api-key"] for one in receiver.asked} == {"k,1"}


@pytest.mark.parametrize(("flag", "sent"), [("01", 1), ("00", 0)])
def test_the_parent_decides_whether_its_child_is_sampled(
    receiver: Receiver, flag: str, sent: int
) -> None:
    """Issue 8: parent-based sampling. The API server names its span in headers."""
    tracer = _tracer(receiver, 1.0 - sent, _Told())
    begun = tracer.begin({"traceparent": f"00-{_TRACE}-00f067aa0ba902b7-{flag}"})
    tracer.end(begun, "admission inject", Kind.SERVER, {})
    tracer.close(30)
    found = [(one.trace_id.hex(), one.parent_span_id.hex()) for one in receiver.spans()]
    assert found == [(_TRACE, "00f067aa0ba902b7")] * sent


def test_what_others_have_us_trace_is_bounded(receiver: Receiver) -> None:
    """Whoever asks can say that it is sampled: ten a second are."""
    told = _Told()
    tracer = _tracer(receiver, 0.0, told)
    asked = {"traceparent": f"00-{_TRACE}-00f067aa0ba902b7-01"}
    assert [tracer.begin(asked) is not None for _ in range(12)] == [True] * 10 + [False] * 2
    told.passes(0.1)
    assert tracer.begin(asked) is not None
    tracer.close(30)


def test_a_span_that_is_linked_to_a_sampled_one_is_a_trace_of_its_own(receiver: Receiver) -> None:
    tracer = _tracer(receiver, 0.0, _Told())
    begun = tracer.begin(links=(_HELD,), began_ns=1_699_999_999_000_000_000)
    tracer.end(begun, "approval.decide", Kind.INTERNAL, {})
    tracer.close(30)
    (span,) = receiver.spans()
    (link,) = span.links
    assert (link.trace_id.hex(), link.span_id.hex()) == (_HELD.trace_id, _HELD.span_id)
    assert span.trace_id.hex() != _HELD.trace_id
    assert span.end_time_unix_nano - span.start_time_unix_nano == pytest.approx(1e9)


def test_the_share_is_a_share_of_trace_ids(receiver: Receiver) -> None:
    """The last seven bytes decide, as W3C's random trace ids have it."""
    told = _Told()
    sending = _tracer(receiver, 0.0, told)
    ids = iter([b"\0" * 9 + b"\x7f" + b"\xff" * 6, b"\1" * 8, b"\0" * 9 + b"\x80" + b"\0" * 6])
    half = Tracer(sending.sending, 0.5, told.clock, lambda _: next(ids))
    assert half.begin() is not None
    assert half.begin() is None
    sending.close(30)


@pytest.mark.promise("T3")
def test_what_became_of_spans_is_among_the_metrics(receiver: Receiver) -> None:
    """Issue 8: drop counters, of the operator's programs too."""
    registry = metrics.registry()
    measured = metrics.TelemetryMetrics(registry)
    assert registry.get_sample_value("mesh7_otlp_sent_total", {"signal": "traces"}) is None
    tracer = _tracer(receiver, 1.0, _Told())
    measured.counts = tracer.counts
    tracer.end(tracer.begin(), "reconcile", Kind.INTERNAL, {})
    tracer.close(30)
    tracer.end(tracer.begin(), "reconcile", Kind.INTERNAL, {})
    of_traces = {"signal": "traces"}
    assert registry.get_sample_value("mesh7_otlp_sent_total", of_traces) == 1
    dropped = registry.get_sample_value(
        "mesh7_otlp_dropped_total", of_traces | {"reason": "closed"}
    )
    assert dropped == 1


def test_what_is_logged_within_a_span_names_it(receiver: Receiver) -> None:
    """Issue 8: OpenTelemetry log correlation."""
    tracer = _tracer(receiver, 1.0, _Told())
    lines = logs.JsonLines()
    record = logging.LogRecord("x", logging.INFO, "", 0, "published", None, None)
    begun = tracer.begin()
    assert begun is not None
    during = json.loads(lines.format(record))
    tracer.end(begun, "reconcile", Kind.INTERNAL, {})
    after = json.loads(lines.format(record))
    tracer.close(30)
    assert during["trace_id"] == begun.context.trace_id
    assert during["span_id"] == begun.context.span_id
    assert "trace_id" not in after


async def test_metrics_are_sent_as_they_are_scraped_where_they_are_asked_for(
    receiver: Receiver,
) -> None:
    """The last reading goes out at the end, and the interval is a minute: nothing else is sent."""
    registry = metrics.registry()
    measured = metrics.ControllerMetrics(registry)
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_METRICS_EXPORTER": "otlp"}
    tracer = tracing.of(environment, "mesh7-controller", 0.0, _Told().clock)
    measured.telemetry.counts = tracer.counts
    tracer.measure(registry)
    await asyncio.sleep(0)
    measured.leader.set(1)
    measured.guarded_pods.labels("team-a").set(3)
    measured.api.errors.labels(*["x"] * len(operator_instruments.API_ERRORS.labels)).inc()
    for took_s in (0.002, 0.002, 60.0):
        measured.reconciles.labels("done").observe(took_s)
    await tracer.end_metrics()
    await asyncio.to_thread(tracer.close, 30)
    sent = {one.name: one for one in receiver.metrics()}
    assert sent["mesh7.leader"].gauge.data_points[0].as_double == 1
    (pods,) = sent["mesh7.guarded.pods"].gauge.data_points
    assert otlp_receiver.attributes(pods.attributes) == {"namespace": "team-a"}
    (took,) = sent["mesh7.reconcile"].histogram.data_points
    assert (took.count, round(took.sum)) == (3, 60)
    assert list(took.bucket_counts) == [0, 2, *[0] * 9, 1]
    assert list(took.explicit_bounds) == list(operator_instruments.RECONCILE.buckets)
    assert tracer.counts["metrics"].sent == 1
    assert not [name for name in sent if name.startswith("process")]


async def test_metrics_are_only_scraped_where_nobody_asked_for_more(receiver: Receiver) -> None:
    tracer = tracing.of({"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}, "x", 0.0, _Told().clock)
    tracer.measure(metrics.registry())
    await tracer.end_metrics()
    await asyncio.to_thread(tracer.close, 30)
    assert set(tracer.counts) == {"traces"}
    assert receiver.metrics() == []
