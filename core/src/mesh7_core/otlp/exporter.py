"""Spans sent over OTLP/HTTP, by a thread of their own; nothing is imported before there is one."""

from collections.abc import Mapping

from mesh7_core.otlp.sending import Sender, Sink
from mesh7_core.otlp.settings import Settings, Target
from mesh7_core.telemetry.spans import Span


def opened(target: Target, resource: Mapping[str, str]) -> Sender[Span]:
    """Sends spans to one collector.

    Args:
        target: where to, and the bounds.
        resource: whose spans they are.
    """

    def open_sink() -> Sink[Span]:
        from mesh7_core.otlp import sinks  # noqa: PLC0415 - in the thread

        return sinks.spans(target, resource)

    return Sender("spans", target, open_sink)


def of(settings: Settings) -> Sender[Span] | None:
    """None when no traces are sent: then nothing is imported, and there is no thread."""
    if settings.traces is None:
        return None
    return opened(settings.traces, settings.resource)
