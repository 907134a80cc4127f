"""A collector that fails costs nobody anything but what it does not take: promise T3.

No test here measures how long something took: frozen peers are waited for without end, so that
what would wait for them would never come to its end.
"""

import contextlib
import dataclasses
import functools
import itertools
import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from mesh7_core.otlp import wire
from mesh7_core.otlp.counts import Lost
from mesh7_core.otlp.exporter import opened
from mesh7_core.otlp.sending import Outcome, Sender
from mesh7_core.telemetry.spans import Span
from tests.core.otlp import parts
from tests.operator.exchange import certificates
from tests.peers import otlp_receiver
from tests.peers.otlp_receiver import Fault, Manner, Receiver

_SOON = {"OTEL_EXPORTER_OTLP_TIMEOUT": "500"}
"""For faults that are tried again until then."""
_FOREVER = {"OTEL_EXPORTER_OTLP_TIMEOUT": "3600000"}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with otlp_receiver.running() as running:
        yield running


def _lost(sending: Sender[Span]) -> dict[Lost, int]:
    return {reason: count for reason, count in sending.counts.lost.items() if count}


def _has_lost(sending: Sender[Span], reason: Lost, count: int) -> bool:
    return _lost(sending) == {reason: count}


def _told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def _add_until_one_times_out(sending: Sender[Span]) -> None:
    """On a slow machine the time may be over before there is a connection: then once more."""
    for count in itertools.count(sum(sending.counts.lost.values()) + 1):
        sending.add(parts.span())
        parts.until(functools.partial(_has_lost_in_all, sending, count))
        if sending.counts.lost[Lost.TIMED_OUT]:
            return


def _has_lost_in_all(sending: Sender[Span], count: int) -> bool:
    return sum(sending.counts.lost.values()) == count


def _is_over(sending: Sender[Span]) -> bool:
    return sending.counts.sent + sum(sending.counts.lost.values()) == 1


@pytest.mark.promise("T3")
def test_a_collector_that_is_down_is_counted_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and listens not
        port = bound.getsockname()[1]
        sending = opened(parts.target_at(f"http://127.0.0.1:{port}", **_SOON), parts.RESOURCE)
        for round_ in (1, 2):
            sending.add(parts.span())
            parts.until(functools.partial(_has_lost, sending, Lost.UNREACHABLE, round_))
        sending.close(30)
    (said,) = _told(caplog)
    assert said.startswith(
        "telemetry: spans are dropped and counted: the collector at "
        f"http://127.0.0.1:{port} was not reached"
    )
    assert said.endswith("; this is not said again until it takes them")


@pytest.mark.promise("T3")
def test_adding_does_not_wait_for_a_frozen_collector_and_overflow_is_counted(
    receiver: Receiver,
) -> None:
    """The queue holds 50; a batch of 10 is on its way and never ends."""
    receiver.manner = Manner(fault=Fault.FROZEN)
    target = parts.target(
        receiver,
        OTEL_BSP_MAX_QUEUE_SIZE="50",
        OTEL_BSP_MAX_EXPORT_BATCH_SIZE="10",
        **_FOREVER,
    )
    sending = opened(target, parts.RESOURCE)
    for number in range(1, 11):
        sending.add(parts.span(number))
    assert receiver.arrived.acquire(timeout=30)
    already = sending.waiting
    for number in range(1, 101):
        sending.add(parts.span(number))
    assert sending.waiting == 50
    assert _lost(sending) == {Lost.QUEUE_FULL: 50 + already}
    sending.close(0)


@pytest.mark.promise("T3")
def test_closing_does_not_wait_for_a_frozen_collector(receiver: Receiver) -> None:
    """Its answer would be waited for for an hour."""
    receiver.manner = Manner(fault=Fault.FROZEN)
    sending = opened(parts.target(receiver, **_FOREVER), parts.RESOURCE)
    sending.add(parts.span())
    assert receiver.arrived.acquire(timeout=30)
    sending.add(parts.span())
    sending.close(0.01)
    sending.add(parts.span())
    assert _lost(sending) == {Lost.CLOSED: 3}
    assert sending.counts.sent == 0


@pytest.mark.promise("T3")
def test_closing_interrupts_a_wait_before_the_next_try(receiver: Receiver) -> None:
    """It answered 503 and asks to come again in half an hour."""
    receiver.manner = Manner(status=503, headers={"retry-after": "1800"})
    before = set(threading.enumerate())
    sending = opened(parts.target(receiver, **_FOREVER), parts.RESOURCE)
    (thread,) = set(threading.enumerate()) - before
    sending.add(parts.span())
    assert receiver.arrived.acquire(timeout=30)
    sending.close(0.01)
    thread.join(30)
    assert not thread.is_alive()
    assert sum(sending.counts.lost.values()) == 1


@pytest.mark.promise("T3")
def test_a_collector_that_never_answers_is_given_up(receiver: Receiver) -> None:
    receiver.manner = Manner(fault=Fault.FROZEN)
    sending = opened(parts.target(receiver, **_SOON), parts.RESOURCE)
    _add_until_one_times_out(sending)
    sending.close(30)
    assert sending.counts.sent == 0


@pytest.mark.promise("T3")
@pytest.mark.parametrize("fault", [Fault.DRIPS, Fault.DRIPS_ITS_HEAD])
def test_a_collector_that_drips_is_given_up_and_drops_are_said(
    receiver: Receiver, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    """One byte after the other stopped telemetry for good, and nobody was told.

    It drips a hundred times slower than it would have to for its answer ever to end.
    """
    receiver.manner = Manner(fault=fault)
    soon = {"OTEL_EXPORTER_OTLP_TIMEOUT": "1000"}
    sending = opened(parts.target(receiver, **soon), parts.RESOURCE)
    _add_until_one_times_out(sending)
    sending.add(parts.span())
    before = sum(sending.counts.lost.values())
    parts.until(lambda: sum(sending.counts.lost.values()) > before)
    sending.close(30)
    place = f"telemetry: spans are dropped and counted: the collector at {receiver.url}"
    once = "within 1 s; this is not said again until it takes them"
    (said,) = _told(caplog)
    assert said in {f"{place} did not answer {once}", f"{place} was not reached {once}"}
    assert sending.counts.sent == 0


@pytest.mark.promise("T3")
def test_a_full_queue_is_said_once_while_a_send_hangs_and_once_that_there_is_room(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """The thread that would say it waits for a collector for an hour."""
    receiver.manner = Manner(fault=Fault.FROZEN)
    bounds = {"OTEL_BSP_MAX_QUEUE_SIZE": "4", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "4"}
    sending = opened(parts.target(receiver, **bounds, **_FOREVER), parts.RESOURCE)
    sending.add(parts.span())
    assert receiver.arrived.acquire(timeout=30)
    for number in range(2, 12):
        sending.add(parts.span(number))
    full = (
        "telemetry: spans are dropped and counted: 4 wait already, more than the collector at "
        f"{receiver.url} takes; this is not said again until there is room"
    )
    assert _told(caplog) == [full]
    receiver.manner = Manner()
    receiver.hang_up()
    room = "telemetry: there is room for spans again; 6 were dropped for want of it until now"
    parts.until(lambda: room in _told(caplog))
    sending.close(30)
    assert _told(caplog).count(full) == 1
    assert sending.counts.lost[Lost.QUEUE_FULL] == 6


@pytest.mark.promise("T3")
@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_a_collector_asks_to_come_again_for_is_sent_again(
    receiver: Receiver, status: int
) -> None:
    receiver.first.append(Manner(status=status, headers={"retry-after": "0"}))
    date = "Sat, 21 Nov 2026 20:00:00 GMT"
    receiver.first.append(Manner(status=status, headers={"retry-after": date, "date": date}))
    sending = opened(parts.target(receiver), parts.RESOURCE)
    sending.add(parts.span())
    parts.until(lambda: sending.counts.sent == 1)
    sending.close(30)
    assert _lost(sending) == {}
    assert len(receiver.spans()) == 1


@pytest.mark.promise("T3")
@pytest.mark.parametrize(
    "date",
    [
        "Mon, 01 Jan 2024 00:00:00 +99999999999999999",
        f"Mon, {'9' * 20} Jan 2024 00:00:00 +0000",
        "Mon, 01 Jan 0000 99:99:99 +9999",
        "\xb2 \x01",
    ],
)
@pytest.mark.parametrize("name", ["retry-after", "date"])
def test_a_date_that_no_clock_has_does_not_end_telemetry_for_good(
    receiver: Receiver, name: str, date: str
) -> None:
    """It overflowed, and the thread died of it: no span was ever sent or counted again."""
    usual = "Sat, 21 Nov 2026 20:00:00 GMT"
    headers = {"retry-after": usual, "date": usual, name: date}
    receiver.first.append(Manner(status=503, headers=headers))
    sending = opened(parts.target(receiver), parts.RESOURCE)
    sending.add(parts.span())
    parts.until(lambda: sending.counts.sent == 1)
    sending.close(30)
    assert _lost(sending) == {}


class _DefectiveSink:
    """Raises for what is below nought, and takes everything else."""

    def send(self, items: Sequence[int]) -> Outcome:
        if min(items) < 0:
            raise RuntimeError("a defect")
        return Outcome(len(items))

    def stop(self) -> None:
        """Nothing is tried again."""

    def close(self) -> None:
        raise RuntimeError("another defect")


@pytest.mark.promise("T3")
def test_a_sink_that_raises_costs_its_batch_is_said_once_and_no_thread(
    caplog: pytest.LogCaptureFixture,
) -> None:
    opened = iter([False, True])

    def open_sink() -> _DefectiveSink:
        if not next(opened):
            raise ImportError("once")
        return _DefectiveSink()

    sending = Sender("numbers", parts.target_at("http://127.0.0.1:9"), open_sink)
    for lost, sent in ((1, 1), (2, 2)):
        sending.add(-1)
        parts.until(functools.partial(_has, sending, Lost.REFUSED, lost))
        sending.add(1)
        parts.until(functools.partial(_has, sending, None, sent))
    sending.close(30)
    tracebacks = [record.exc_text for record in caplog.records if record.exc_info]
    assert len(tracebacks) == 1
    assert sum(sending.counts.lost.values()) == 2


def _has(sending: Sender[int], reason: Lost | None, count: int) -> bool:
    return (sending.counts.sent if reason is None else sending.counts.lost[reason]) == count


@pytest.mark.promise("T3")
def test_an_address_that_swallows_everything_does_not_keep_the_next_from_being_tried() -> None:
    """IPv6 into a black hole had all the time there was, and IPv4 none.

    Nine of ten shares of the time are left for the addresses that answer.
    """
    with contextlib.ExitStack() as opened:
        full, well = (opened.enter_context(socket.socket()) for _ in range(2))
        for listening in (full, well):
            listening.bind(("127.0.0.1", 0))
        well.listen()
        full.listen(0)
        for _ in range(8):
            waiting = opened.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex(full.getsockname())
        addresses = [
            (socket.AF_INET, socket.SOCK_STREAM, 0, "", one.getsockname())
            for one in (full, *[well] * 9)
        ]
        reached = opened.enter_context(wire.reach(addresses, time.monotonic() + 30))
        assert reached.getpeername() == well.getsockname()


@pytest.mark.promise("T3")
def test_a_kept_connection_that_went_stale_costs_nothing(receiver: Receiver) -> None:
    sending = opened(parts.target(receiver), parts.RESOURCE)
    sending.add(parts.span(1))
    parts.until(lambda: sending.counts.sent == 1)
    receiver.hang_up()
    sending.add(parts.span(2))
    parts.until(lambda: sending.counts.sent == 2)
    sending.close(30)
    assert _lost(sending) == {}


@pytest.mark.promise("T3")
@pytest.mark.parametrize("status", [400, 401, 404, 413, 429, 500, 503, 302, 307])
def test_a_collector_that_refuses_is_counted_and_not_followed(
    receiver: Receiver, status: int
) -> None:
    """A redirect is a refusal: what is sent may hold credentials."""
    receiver.manner = Manner(
        status=status,
        headers={"location": f"{receiver.url}/v1/traces", "retry-after": "3600"},
    )
    sending = opened(parts.target(receiver), parts.RESOURCE)
    sending.add(parts.span())
    parts.until(lambda: _lost(sending) == {Lost.REFUSED: 1})
    sending.close(30)
    assert receiver.spans() == []


@pytest.mark.promise("T3")
@pytest.mark.parametrize("fault", [Fault.GARBAGE, Fault.HANGS_UP])
def test_a_collector_that_goes_away_or_speaks_no_http_is_counted(
    receiver: Receiver, fault: Fault
) -> None:
    receiver.manner = Manner(fault=fault)
    sending = opened(parts.target(receiver, **_SOON), parts.RESOURCE)
    sending.add(parts.span())
    parts.until(lambda: sum(sending.counts.lost.values()) == 1)
    sending.close(30)
    assert sending.counts.sent == 0


_CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ntransfer-encoding: chunked"
_PARTIAL = b"\x0a\x02\x08\x01"


@pytest.mark.promise("T3")
@pytest.mark.parametrize(
    "said",
    [
        b"\r\n\r\n-1\r\n",
        b"\r\n\r\n+4\r\n",
        b"\r\n\r\n0x4\r\n",
        b"\r\n\r\n\r\n",
        b"\r\n\r\nfour\r\n",
        b"\r\n\r\n123456789\r\n",
        b"\r\n\r\n" + b"4;" + b"a" * 2000,
        b"\r\n\r\n4\r\n" + _PARTIAL + b"xx",
        b"\r\n\r\n0\r\n" + b"a: b\r\n" * 100,
        b"-not\r\ncontent-length: -1\r\n\r\n",
        b"-not\r\ncontent-length: all\r\n\r\n",
    ],
)
def test_a_size_that_is_none_is_refused_before_the_deadline(
    receiver: Receiver, said: bytes
) -> None:
    """Of an answer whose chunk had -1 bytes, all was awaited that would ever come."""
    receiver.manner = Manner(fault=Fault.AS_IT_STANDS, body=_CHUNKED + said)
    sending = opened(parts.target(receiver, **_FOREVER), parts.RESOURCE)
    sending.add(parts.span())
    parts.until(lambda: _lost(sending) == {Lost.REFUSED: 1})
    sending.close(30)


@pytest.mark.promise("T3")
def test_an_answer_in_chunks_is_read_and_its_connection_kept(receiver: Receiver) -> None:
    chunks = b"\r\n\r\n2;a=b\r\n\x0a\x02\r\n02 \r\n\x08\x01\r\n0\r\na: b\r\n\r\n"
    receiver.manner = Manner(fault=Fault.AS_IT_STANDS, body=_CHUNKED + chunks)
    wired = wire.Wire(parts.target(receiver))
    answers = [wired.ask(b"", 30.0) for _ in range(2)]
    assert [(one.status, one.body) for one in answers] == [(200, _PARTIAL)] * 2
    assert wired.is_open
    wired.close()


@pytest.mark.promise("T3")
@pytest.mark.parametrize("body", [b"<html>" * 100_000, b"\xff" * 10, b"\x0a", b"\x0a\x03\x08"])
def test_an_answer_of_200_with_garbage_in_it_does_no_harm(receiver: Receiver, body: bytes) -> None:
    receiver.manner = Manner(body=body)
    sending = opened(parts.target(receiver), parts.RESOURCE)
    sending.add(parts.span())
    parts.until(lambda: sending.counts.sent == 1)
    sending.close(30)


@pytest.mark.promise("T3")
def test_what_a_collector_says_it_did_not_take_is_counted(receiver: Receiver) -> None:
    """OTLP's partial success: field 1 of field 1."""
    receiver.manner = Manner(body=b"\x0a\x02\x08\x03")
    sending = opened(parts.target(receiver, OTEL_BSP_SCHEDULE_DELAY="3600000"), parts.RESOURCE)
    for number in range(1, 11):
        sending.add(parts.span(number))
    sending.close(30)
    assert sending.counts.sent == 7
    assert _lost(sending) == {Lost.REFUSED: 3}


@pytest.mark.promise("T3")
def test_once_a_collector_is_well_again_spans_arrive_and_it_is_said(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.manner = Manner(status=500)
    sending = opened(parts.target(receiver), parts.RESOURCE)
    sending.add(parts.span())
    parts.until(lambda: _lost(sending) == {Lost.REFUSED: 1})
    receiver.manner = Manner()
    sending.add(parts.span(2))
    parts.until(lambda: sending.counts.sent == 1)
    sending.close(30)
    place = receiver.url
    assert _told(caplog) == [
        (
            f"telemetry: spans are dropped and counted: the collector at {place} answered 500; "
            "this is not said again until it takes them"
        ),
        f"telemetry: the collector at {place} takes spans again; 1 were dropped until now",
    ]


@pytest.mark.promise("T3")
def test_a_collector_whose_certificate_nobody_vouches_for_gets_nothing(tmp_path: Path) -> None:
    trusted, foreign, key = tmp_path / "ca.pem", tmp_path / "other.pem", tmp_path / "key.pem"
    certificates.write_pair(foreign, key)
    certificates.write_pair(trusted, key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(trusted, key)
    with otlp_receiver.running(context) as receiver:
        for path, lost in ((foreign, 1), (tmp_path / "missing.pem", 1), (trusted, 0)):
            more = _SOON if lost else {}
            target = parts.target(receiver, OTEL_EXPORTER_OTLP_CERTIFICATE=str(path), **more)
            sending = opened(target, parts.RESOURCE)
            sending.add(parts.span())
            parts.until(functools.partial(_is_over, sending))
            sending.close(30)
            assert sending.counts.lost[Lost.UNREACHABLE] == lost
        assert len(receiver.spans()) == 1


@pytest.mark.promise("T3")
def test_authorities_that_are_told_by_value_vouch_in_place_of_the_systems(tmp_path: Path) -> None:
    """A sidecar has no file of them; what is no certificate lets nobody in, and ends nothing."""
    certificate, key = tmp_path / "ca.pem", tmp_path / "key.pem"
    foreign = certificates.write_pair(certificate, key)
    trusted = certificates.write_pair(certificate, key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    broken = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n"
    with otlp_receiver.running(context) as receiver:
        for pem, lost in ((foreign, 1), (broken, 1), (trusted, 0), (foreign + trusted, 0)):
            target = parts.target(receiver, **(_SOON if lost else {}))
            sending = opened(dataclasses.replace(target, authorities_pem=pem), parts.RESOURCE)
            sending.add(parts.span())
            parts.until(functools.partial(_is_over, sending))
            sending.close(30)
            assert sending.counts.lost[Lost.UNREACHABLE] == lost
        assert len(receiver.spans()) == 2


@pytest.mark.promise("T3")
def test_a_span_that_cannot_be_encoded_costs_neither_its_batch_nor_the_thread(
    receiver: Receiver,
) -> None:
    sending = opened(parts.target(receiver), parts.RESOURCE)
    bad = dataclasses.replace(parts.span(), began_ns=-1)
    sending.add(bad)
    parts.until(lambda: _lost(sending) == {Lost.REFUSED: 1})
    for one in (parts.span(1), bad, parts.span(2), bad, parts.span(3)):
        sending.add(one)
    parts.until(lambda: sending.counts.sent == 3)
    sending.close(30)
    assert _lost(sending) == {Lost.REFUSED: 3}
    assert sorted(span.span_id[-1] for span in receiver.spans()) == [1, 2, 3]


@pytest.mark.promise("T3")
def test_closing_still_sends_after_a_batch_of_which_only_a_part_was_taken() -> None:
    """Only a collector that took nothing is not waited for."""
    with otlp_receiver.running() as receiver:
        receiver.first.append(Manner(body=b"\x0a\x02\x08\x01"))
        bounds = {"OTEL_BSP_SCHEDULE_DELAY": "3600000", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "2"}
        sending = opened(parts.target(receiver, **bounds), parts.RESOURCE)
        for number in (1, 2):
            sending.add(parts.span(number))
        parts.until(lambda: _lost(sending) == {Lost.REFUSED: 1})
        sending.add(parts.span(3))
        sending.close(30)
    assert sending.counts.sent == 2
    assert _lost(sending) == {Lost.REFUSED: 1}


@pytest.mark.promise("T3")
def test_a_minute_of_a_hundred_thousand_spans_is_accounted_for(receiver: Receiver) -> None:
    """Issue 8: what is not sent is counted; added at once, which is harder than in a minute."""
    sending = opened(parts.target(receiver), parts.RESOURCE)
    spans = [parts.span(number) for number in range(1, 1001)]
    for _ in range(100):
        for one in spans:
            sending.add(one)
    parts.until(lambda: sending.waiting == 0)
    sending.close(30)
    assert sending.counts.sent == len(receiver.spans())
    assert sending.counts.sent + sum(sending.counts.lost.values()) == 100_000
