"""What batches are sent by: the SDK's OTLP/HTTP exporters. Imported only by programs that send."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Final, Generic, Protocol, TypeVar

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan

from mesh7_core.otlp import encoding, wire
from mesh7_core.otlp.counts import Lost
from mesh7_core.otlp.sending import Outcome
from mesh7_core.otlp.settings import Target
from mesh7_core.otlp.unhurried import Unhurried
from mesh7_core.otlp.wire import Wire
from mesh7_core.telemetry.spans import Span

# They say of every batch, and of every try, what `Sender` says once.
_NOISY: Final = ("opentelemetry.exporter", "opentelemetry.sdk", "urllib3.connectionpool")

Ours = TypeVar("Ours")
Theirs_contra = TypeVar("Theirs_contra", contravariant=True)
ForSdk = TypeVar("ForSdk")


class _SdkExporter(Protocol[Theirs_contra]):
    """What the SDK's exporters have in common."""

    def export(self, batch: Sequence[Theirs_contra], /) -> Enum: ...
    def shutdown(self) -> None: ...


class BatchSink(Generic[Ours, ForSdk]):
    """Batches of one signal.

    Args:
        exporter: the SDK's, which sends by `session`.
        make: from our value to the SDK's.
    """

    def __init__(
        self,
        session: Wire,
        exporter: _SdkExporter[ForSdk],
        make: Callable[[Ours], ForSdk],
    ) -> None:
        self._wire = session
        self._exporter = exporter
        self._make = make
        self._stopped = threading.Event()

    def send(self, items: Sequence[Ours]) -> Outcome:
        """One batch; the SDK tries again what may be tried again."""
        if self._stopped.is_set():
            return Outcome(0, Lost.CLOSED, "is not asked any more")
        self._wire.forget()
        result = self._exporter.export(Unhurried(items, self._make, self._stopped))
        if self._wire.lost is not None:
            return Outcome(0, self._wire.lost, self._wire.cause)
        if result.name != "SUCCESS":
            return Outcome(0, Lost.REFUSED, "was not asked: a batch could not be encoded")
        rejected = min(wire.rejected(self._wire.body), len(items))
        if rejected:
            return Outcome(len(items) - rejected, Lost.REFUSED, "took only a part of a batch")
        return Outcome(len(items))

    def stop(self) -> None:
        """Try nothing again, and hurry."""
        if not self._stopped.is_set():
            self._stopped.set()
            self._exporter.shutdown()


def spans(target: Target, resource: Mapping[str, str]) -> BatchSink[Span, ReadableSpan]:
    """For spans."""
    quieten()
    session = Wire(target)
    theirs = encoding.resource_of(resource)
    exporter = OTLPSpanExporter(
        endpoint=target.url,
        certificate_file=target.authorities or None,
        client_key_file=target.private_key or None,
        client_certificate_file=target.certificate or None,
        headers=target.headers,
        timeout=target.timeout_s,
        compression=compression(target),
        session=session,
    )
    return BatchSink(session, exporter, lambda span: encoding.readable(span, theirs))


def compression(target: Target) -> Compression:
    """As the SDK names it."""
    return Compression.Gzip if target.is_compressed else Compression.NoCompression


def quieten() -> None:
    """Keep the SDK's own notes out of the log."""
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.CRITICAL)
