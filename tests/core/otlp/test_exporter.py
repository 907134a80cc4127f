"""Spans reach a collector as they were made, and nothing is started where none is wanted."""

import functools
import subprocess
import sys
import threading
import time

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from mesh7_core.otlp import exporter, settings
from mesh7_core.otlp.exporter import opened
from mesh7_core.otlp.sending import Sender
from mesh7_core.otlp.unhurried import REST, STRETCH_S, Unhurried
from mesh7_core.telemetry.context import Context
from mesh7_core.telemetry.spans import Event, Kind, Span
from tests.core.otlp import parts
from tests.peers import otlp_receiver


def _has_sent(sending: Sender[Span], count: int) -> bool:
    return sending.counts.sent == count


def test_a_span_arrives_with_all_that_was_said_of_it() -> None:
    """Issue 8: traces over OTLP/HTTP with resource attributes and the schema URL set."""
    link = Context("12345678901234567890123456789012", "1234567890123456", is_sampled=False)
    made = Span(
        name="tools/call refund",
        kind=Kind.SERVER,
        context=Context(parts.TRACE, "00f067aa0ba902b7", is_sampled=True, state="v=1,w=2"),
        parent_id="b7ad6b7169203331",
        began_ns=1_700_000_000_000_000_000,
        ended_ns=1_700_000_000_123_456_789,
        attributes={"mcp.method.name": "tools/call", "server.port": 80, "ok": True, "x": ["a"]},
        error="denied by rule",
        events=(Event(name="found", at_ns=1_700_000_000_000_000_001, attributes={"n": 1}),),
        links=(link,),
    )
    with otlp_receiver.running() as receiver:
        sending = opened(parts.target(receiver), parts.RESOURCE)
        sending.add(made)
        parts.until(lambda: sending.counts.sent == 1)
        sending.close(30)
        (sent,) = receiver.spans()
        (request,) = receiver.asked
        resources = receiver.resources()
    assert resources == [parts.RESOURCE]
    assert b"https://opentelemetry.io/schemas/" in request.body
    assert sent.trace_id.hex() == parts.TRACE
    assert sent.span_id.hex() == "00f067aa0ba902b7"
    assert sent.parent_span_id.hex() == "b7ad6b7169203331"
    assert sent.trace_state == "v=1,w=2"
    assert (sent.name, sent.kind) == ("tools/call refund", Sent.SPAN_KIND_SERVER)
    assert sent.end_time_unix_nano - sent.start_time_unix_nano == 123_456_789
    assert otlp_receiver.attributes(sent.attributes) == made.attributes
    assert (sent.status.code, sent.status.message) == (Status.STATUS_CODE_ERROR, "denied by rule")
    assert [event.name for event in sent.events] == ["found"]
    assert sent.links[0].trace_id.hex() == link.trace_id


def test_what_is_compressed_and_carries_headers_arrives_too() -> None:
    with otlp_receiver.running() as receiver:
        target = parts.target(
            receiver,
            OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
            OTEL_EXPORTER_OTLP_HEADERS="x-tenant=blue",
        )
        sending = opened(target, parts.RESOURCE)
        sending.add(parts.span())
        sending.close(30)
        (request,) = receiver.asked
    assert request.headers["content-encoding"] == "gzip"
    assert request.headers["x-tenant"] == "blue"
    assert sending.counts.sent == 1


@pytest.mark.promise("T6")
def test_a_login_in_the_address_is_sent_as_one_and_a_header_wins() -> None:
    with otlp_receiver.running() as receiver:
        address = receiver.url.replace("://", "://me:s%40cret@")
        for headers, expected in (
            ("", "Basic bWU6c0BjcmV0"),
            ("Authorization=Bearer x", "Bearer x"),
        ):
            sending = opened(
                parts.target_at(address, OTEL_EXPORTER_OTLP_HEADERS=headers), parts.RESOURCE
            )
            sending.add(parts.span())
            sending.close(30)
            assert receiver.asked[-1].headers["authorization"] == expected


def test_what_waits_when_the_program_ends_is_still_sent() -> None:
    with otlp_receiver.running() as receiver:
        sending = opened(parts.target(receiver, OTEL_BSP_SCHEDULE_DELAY="3600000"), parts.RESOURCE)
        for number in range(1, 101):
            sending.add(parts.span(number))
        sending.close(30)
        assert len(receiver.spans()) == 100
    assert sending.counts.sent == 100


def test_a_full_batch_does_not_wait_for_its_time() -> None:
    with otlp_receiver.running() as receiver:
        sending = opened(
            parts.target(
                receiver,
                OTEL_BSP_SCHEDULE_DELAY="3600000",
                OTEL_BSP_MAX_EXPORT_BATCH_SIZE="10",
            ),
            parts.RESOURCE,
        )
        for sent in (10, 20):
            # Not all at once: what comes while a batch is taken begins another.
            for number in range(1, 11):
                sending.add(parts.span(number))
            parts.until(functools.partial(_has_sent, sending, sent))
        sending.close(30)


def test_without_an_endpoint_there_is_no_thread_and_nothing_is_imported() -> None:
    """In a process of its own, whose modules nobody else has imported."""
    script = (
        "import sys, threading\n"
        "from mesh7_core.otlp import exporter, logs, metrics, settings\n"
        "read = settings.read({}, {})\n"
        "assert exporter.of(read) is logs.of(read) is metrics.of(read) is None\n"
        "assert threading.active_count() == 1\n"
        "heavy = ('opentelemetry', 'google.protobuf')\n"
        "assert not [name for name in sys.modules if name.startswith(heavy)]"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_each_signal_that_is_on_has_its_exporter() -> None:
    with otlp_receiver.running() as receiver:
        read = settings.read({"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}, parts.RESOURCE)
        sending = exporter.of(read)
        assert sending is not None
        sending.add(parts.span())
        sending.close(30)
        assert len(receiver.spans()) == 1


def test_the_thread_rests_longer_than_it_works() -> None:
    """Issue 8: nothing that is sent may cost agents' calls much, at any rate."""
    hurry = threading.Event()
    worked_s = 0.0

    def make(number: int) -> int:
        nonlocal worked_s
        began_s = time.thread_time()
        sum(range(20_000))
        worked_s += time.thread_time() - began_s
        return number

    began_s = time.monotonic()
    made = list(Unhurried(range(64), make, hurry))
    took_s = time.monotonic() - began_s
    assert made == list(range(64))
    # After the last stretch, which is not over, there is no rest.
    assert took_s >= (worked_s - STRETCH_S - 4 * worked_s / 64) * REST
