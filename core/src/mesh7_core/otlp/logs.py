"""Lines of the audit sent as OTLP log records, by a thread of their own."""

from collections.abc import Mapping

from mesh7_core.otlp.counts import Counts
from mesh7_core.otlp.sending import Sender, Sink
from mesh7_core.otlp.settings import Settings, Target


class LogExporter:
    """Sends lines to one collector.

    Args:
        target: where to, and the bounds.
        resource: whose lines they are.
    """

    def __init__(self, target: Target, resource: Mapping[str, str]) -> None:
        def open_sink() -> Sink[bytes]:
            from mesh7_core.otlp import more_sinks  # noqa: PLC0415 - protobuf, in the thread

            return more_sinks.audit_lines(target, resource)

        self._sender = Sender("log records", target, open_sink)

    @property
    def counts(self) -> Counts:
        """What became of all lines that were added."""
        return self._sender.counts

    @property
    def waiting(self) -> int:
        """Lines that wait to be sent."""
        return self._sender.waiting

    def add(self, line: bytes) -> None:
        """Have one line, without its newline, sent later. Never waits; from any thread.

        What it says is read in the thread: time, trace, and by kind and decision a severity.
        """
        self._sender.add(line)

    def close(self, within_s: float) -> None:
        """Send what waits, for as long at most; what is left is dropped and counted."""
        self._sender.close(within_s)


def of(settings: Settings) -> LogExporter | None:
    """None when no logs are sent: then nothing is imported, and there is no thread."""
    if settings.logs is None:
        return None
    return LogExporter(settings.logs, settings.resource)
