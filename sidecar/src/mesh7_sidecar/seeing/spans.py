"""A gateway's tracing, put together: which calls are traced, their spans made, and sent.

Without an OTLP endpoint for traces there is no tracer, no exporter and no thread.
"""

import random
import secrets
from collections.abc import Callable, Mapping
from typing import Final

from mesh7_core.audit import shown
from mesh7_core.otlp import exporter, settings
from mesh7_core.otlp.counts import Counts
from mesh7_core.telemetry import record_spans
from mesh7_core.telemetry.records import Record
from mesh7_core.telemetry.spans import Span
from mesh7_sidecar.seeing.tracing import Tracer, Traces, Untraced

CLOSE_S: Final = 3.0
"""How long what waits is sent for when a gateway ends."""


class Spans:
    """Takes records, hands on the spans of those that are traced.

    Args:
        add: takes each finished span; never waits, never raises.
    """

    def __init__(self, add: Callable[[Span], None]) -> None:
        self._add = add
        self._spans = record_spans.Spans()

    def consume(self, record: Record) -> None:
        """Nothing for a call that is not traced."""
        if record.passage.sampled is not None:
            for span in self._spans.of(record, shown.of(record).decode()):
                self._add(span)


class Tracing:
    """What a composition root has of it.

    Args:
        telemetry: where traces go; nowhere = nothing is traced.
        share: of all calls, 0 to 1.
        now_s: monotonic.

    Attributes:
        traces: for the gate.
        consumers: for the gate; empty when nothing is traced.
    """

    def __init__(
        self,
        telemetry: settings.Settings,
        share: float,
        now_s: Callable[[], float],
    ) -> None:
        self.traces: Traces = Untraced()
        self.consumers: tuple[Callable[[Record], None], ...] = ()
        self._exporter = exporter.of(telemetry)
        if self._exporter is not None:
            # Not a secret, only a choice; ids are made of the other.
            self.traces = Tracer(
                share, now_s=now_s, random=random.random, fresh=secrets.token_bytes
            )
            self.consumers = (Spans(self._exporter.add).consume,)

    @property
    def counts(self) -> Mapping[str, Counts]:
        """What became of the spans, by signal; empty when none are made."""
        return {} if self._exporter is None else {"traces": self._exporter.counts}

    def close(self) -> None:
        """Send what waits, for `CLOSE_S` at most; blocks meanwhile."""
        if self._exporter is not None:
            self._exporter.close(CLOSE_S)
