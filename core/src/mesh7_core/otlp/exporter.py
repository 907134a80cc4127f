"""Spans sent over OTLP/HTTP, by a thread of their own; nothing is imported before there is one."""

from collections.abc import Mapping

from mesh7_core.otlp.counts import Counts
from mesh7_core.otlp.sending import Sender, Sink
from mesh7_core.otlp.settings import Settings, Target
from mesh7_core.telemetry.spans import Span


class Exporter:
    """Sends spans to one collector.

    Args:
        target: where to, and the bounds.
        resource: whose spans they are.
    """

    def __init__(self, target: Target, resource: Mapping[str, str]) -> None:
        def open_sink() -> Sink[Span]:
            from mesh7_core.otlp import sinks  # noqa: PLC0415 - in the thread

            return sinks.spans(target, resource)

        self._sender = Sender("spans", target, open_sink)

    @property
    def counts(self) -> Counts:
        """What became of all spans that were added."""
        return self._sender.counts

    @property
    def waiting(self) -> int:
        """Spans that wait to be sent."""
        return self._sender.waiting

    def add(self, span: Span) -> None:
        """Have it sent later, or count it as dropped. Never waits; from any thread."""
        self._sender.add(span)

    def close(self, within_s: float) -> None:
        """Send what waits, for as long at most; what is left is dropped and counted."""
        self._sender.close(within_s)


def of(settings: Settings) -> Exporter | None:
    """None when no traces are sent: then nothing is imported, and there is no thread."""
    if settings.traces is None:
        return None
    return Exporter(settings.traces, settings.resource)
