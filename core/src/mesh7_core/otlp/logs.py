"""Lines of the audit sent as OTLP log records, by a thread of their own."""

from collections.abc import Mapping

from mesh7_core.otlp.sending import Sender, Sink
from mesh7_core.otlp.settings import Settings, Target


def opened(target: Target, resource: Mapping[str, str]) -> Sender[bytes]:
    """Sends lines, without their newlines, to one collector.

    What a line says is read in the thread: time, trace, and by kind and decision a severity.

    Args:
        target: where to, and the bounds.
        resource: whose lines they are.
    """

    def open_sink() -> Sink[bytes]:
        from mesh7_core.otlp import more_sinks  # noqa: PLC0415 - protobuf, in the thread

        return more_sinks.audit_lines(target, resource)

    return Sender("log records", target, open_sink)


def of(settings: Settings) -> Sender[bytes] | None:
    """None when no logs are sent: then nothing is imported, and there is no thread."""
    if settings.logs is None:
        return None
    return opened(settings.logs, settings.resource)
