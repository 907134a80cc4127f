"""Records as OTLP log records, when the environment names where logs go."""

from collections.abc import Mapping
from typing import Final

from mesh7_core.otlp import logs, settings
from mesh7_core.otlp.counts import Counts
from mesh7_sidecar.audit import segments
from mesh7_sidecar.audit.lines import AuditLines
from mesh7_sidecar.audit.segments import Segment

CLOSE_S: Final = 3.0
"""How long what waits is sent for when a gateway ends."""


class Collecting:
    """Sends each stored record to a collector; nothing without one.

    Args:
        audit: whose records; None = there are none.
        telemetry: where logs go.
    """

    def __init__(self, audit: AuditLines | None, telemetry: settings.Settings) -> None:
        self._exporter = None if audit is None else logs.of(telemetry)
        if audit is not None and self._exporter is not None:
            audit.followers.append(self._follow)

    @property
    def counts(self) -> Mapping[str, Counts]:
        """What became of the records, by signal; empty when none are sent."""
        return {} if self._exporter is None else {"logs": self._exporter.counts}

    def close(self) -> None:
        """Send what waits, for `CLOSE_S` at most; blocks meanwhile."""
        if self._exporter is not None:
            self._exporter.close(CLOSE_S)

    def _follow(self, segment: Segment) -> None:
        exporter = self._exporter
        if exporter is not None:
            for line in segments.records_of(segment):
                exporter.add(line)
