"""What batches are sent by: the SDK's OTLP/HTTP exporters. Imported only by programs that send."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Final, Generic, TypeVar

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

from mesh7_core.otlp import encoding, noted, snapshots, wire
from mesh7_core.otlp.counts import Lost
from mesh7_core.otlp.moments import Snapshot
from mesh7_core.otlp.sending import Outcome
from mesh7_core.otlp.settings import Target
from mesh7_core.otlp.unhurried import Unhurried
from mesh7_core.otlp.wire import Wire
from mesh7_core.telemetry.spans import Span

# They say of every batch, and of every try, what `Sender` says once.
_NOISY: Final = ("opentelemetry.exporter", "opentelemetry.sdk", "urllib3.connectionpool")

Ours = TypeVar("Ours")


class BatchSink(Generic[Ours]):
    """Batches of one signal.

    Args:
        session: what the SDK's exporter sends by.
        export: has it send a batch, in a hurry once the event is set.
        shutdown: has it try nothing again.
    """

    def __init__(
        self,
        session: Wire,
        export: Callable[[Sequence[Ours], threading.Event], Enum],
        shutdown: Callable[[], None],
    ) -> None:
        self._session = session
        self._export = export
        self._shutdown = shutdown
        self._stopped = threading.Event()

    def send(self, items: Sequence[Ours]) -> Outcome:
        """One batch; the SDK tries again what may be tried again."""
        if self._stopped.is_set():
            return Outcome(0, Lost.CLOSED, "is not asked any more")
        self._session.forget()
        result = self._export(items, self._stopped)
        if self._session.lost is not None:
            return Outcome(0, self._session.lost, self._session.cause)
        if result.name != "SUCCESS":
            return Outcome(0, Lost.REFUSED, "was not asked: a batch could not be encoded")
        rejected = min(wire.rejected(self._session.body), len(items))
        if rejected:
            return Outcome(len(items) - rejected, Lost.REFUSED, "took only a part of a batch")
        return Outcome(len(items))

    def stop(self) -> None:
        """Try nothing again, and hurry."""
        if not self._stopped.is_set():
            self._stopped.set()
            self._shutdown()


def spans(target: Target, resource: Mapping[str, str]) -> BatchSink[Span]:
    """For spans."""
    _quieten()
    session = Wire(target)
    theirs = encoding.resource_of(resource)
    exporter = OTLPSpanExporter(
        endpoint=target.url,
        certificate_file=target.authorities or None,
        client_key_file=target.private_key or None,
        client_certificate_file=target.certificate or None,
        headers=target.headers,
        timeout=target.timeout_s,
        compression=_compression(target),
        session=session,
    )

    def export(items: Sequence[Span], hurry: threading.Event) -> Enum:
        return exporter.export(
            Unhurried(items, lambda span: encoding.readable(span, theirs), hurry)
        )

    return BatchSink(session, export, exporter.shutdown)


def audit_lines(target: Target, resource: Mapping[str, str]) -> BatchSink[bytes]:
    """For lines of an audit, as log records."""
    _quieten()
    session = Wire(target)
    theirs = encoding.resource_of(resource)
    exporter = OTLPLogExporter(
        endpoint=target.url,
        certificate_file=target.authorities or None,
        client_key_file=target.private_key or None,
        client_certificate_file=target.certificate or None,
        headers=dict(target.headers),
        timeout=target.timeout_s,
        compression=_compression(target),
        session=session,
    )

    def export(items: Sequence[bytes], hurry: threading.Event) -> Enum:
        return exporter.export(Unhurried(items, lambda line: noted.log_record(line, theirs), hurry))

    return BatchSink(session, export, exporter.shutdown)


def metrics(target: Target, resource: Mapping[str, str]) -> BatchSink[Snapshot]:
    """For metrics; a batch is one snapshot."""
    _quieten()
    session = Wire(target)
    theirs = encoding.resource_of(resource)
    exporter = OTLPMetricExporter(
        endpoint=target.url,
        certificate_file=target.authorities or None,
        client_key_file=target.private_key or None,
        client_certificate_file=target.certificate or None,
        headers=dict(target.headers),
        timeout=target.timeout_s,
        compression=_compression(target),
        session=session,
    )

    def export(items: Sequence[Snapshot], _: threading.Event) -> Enum:
        return exporter.export(snapshots.metrics_of(items[-1], theirs))

    return BatchSink(session, export, exporter.shutdown)


def _compression(target: Target) -> Compression:
    return Compression.Gzip if target.is_compressed else Compression.NoCompression


def _quieten() -> None:
    """Keep the SDK's own notes out of the log."""
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.CRITICAL)
