"""Spans of the operator's own work: begun, ended and sent, or nothing at all where it is off.

A parent that is sampled has its children sampled, and so has a link: both within a bound, because
whoever asks can say so. Else our own share decides.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import prometheus_client

from mesh7_core import names
from mesh7_core.otlp import exporter, metrics, settings
from mesh7_core.otlp.counts import Counts
from mesh7_core.otlp.sending import Sender
from mesh7_core.telemetry import context
from mesh7_core.telemetry.context import Context
from mesh7_core.telemetry.spans import Kind, Span, Value
from mesh7_operator import logs
from mesh7_operator.clock import Clock
from mesh7_operator.exported import Exported

ASKED_PER_SECOND: Final = 10.0
"""Spans that are made because somebody else's is sampled."""
FLUSH_S: Final = 3.0
"""What a program that ends waits for its last spans."""
_TRACE_BYTES: Final = 16
_SPAN_BYTES: Final = 8
_ALL: Final = 1 << 56
"""Of the last seven bytes of a trace id, as W3C's random trace ids have it."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A span that goes on; only spans that are sent are begun."""

    context: Context
    parent_id: str
    links: tuple[Context, ...]
    began_ns: int
    began_s: float


class Tracer:
    """Makes spans of one program.

    Args:
        sending: None = nothing is traced.
        share: of what nobody else traces, 0 to 1.
        fresh: that many random bytes.
        exported: sends the program's metrics, too; None = they are only scraped.
    """

    def __init__(
        self,
        sending: Sender[Span] | None,
        share: float,
        clock: Clock,
        fresh: Callable[[int], bytes] = secrets.token_bytes,
        exported: Exported | None = None,
    ) -> None:
        self.sending = sending
        self._exported = exported
        self._below = int(share * _ALL)
        self._clock = clock
        self._fresh = fresh
        self._tokens = ASKED_PER_SECOND
        self._filled_s = 0.0 if sending is None else clock.monotonic_s()

    @property
    def counts(self) -> Mapping[str, Counts]:
        """What became of what was sent, by signal; empty when nothing is."""
        found = {} if self.sending is None else {"traces": self.sending.counts}
        return (
            found if self._exported is None else found | {"metrics": self._exported.sending.counts}
        )

    def measure(self, registry: prometheus_client.CollectorRegistry) -> None:
        """Send what it reads from now on, if metrics are sent at all."""
        if self._exported is not None:
            self._exported.begin(registry)

    def begin(
        self,
        headers: Mapping[str, str] | None = None,
        *,
        links: tuple[Context, ...] = (),
        began_ns: int | None = None,
    ) -> Begun | None:
        """Begin a span, or none: where nothing is sent, and of what is not sampled.

        Args:
            headers: of the request that it answers; their W3C context is the parent.
            links: what it belongs to without being a part of it.
            began_ns: Unix time, when it began before now.
        """
        if self.sending is None:
            return None
        said = headers or {}
        parent = context.read(said.get(context.TRACEPARENT), said.get(context.TRACESTATE))
        trace_id = parent.trace_id if parent is not None else self._fresh(_TRACE_BYTES).hex()
        if not self._is_sampled(parent, links, trace_id):
            return None
        now_ns, now_s = self._clock.wall_ns(), self._clock.monotonic_s()
        since_ns = now_ns if began_ns is None else min(began_ns, now_ns)
        begun = Begun(
            Context(trace_id, self._fresh(_SPAN_BYTES).hex(), is_sampled=True),
            parent.span_id if parent is not None else "",
            links,
            since_ns,
            now_s - (now_ns - since_ns) / 1e9,
        )
        logs.SPAN.set(begun.context)
        return begun

    def end(
        self,
        begun: Begun | None,
        name: str,
        kind: Kind,
        attributes: Mapping[str, Value],
        error: str | None = None,
    ) -> None:
        """End what `begin` answered, and have it sent; a None needs no caller's attention."""
        if begun is None or self.sending is None:
            return
        logs.SPAN.set(None)
        took_ns = int((self._clock.monotonic_s() - begun.began_s) * 1e9)
        self.sending.add(
            Span(
                name=name,
                kind=kind,
                context=begun.context,
                parent_id=begun.parent_id,
                began_ns=begun.began_ns,
                ended_ns=begun.began_ns + max(took_ns, 0),
                attributes=attributes,
                error=error,
                links=begun.links,
            )
        )

    async def end_metrics(self) -> None:
        """Read them for the last time."""
        if self._exported is not None:
            await self._exported.end()

    def close(self, within_s: float) -> None:
        """Send what waits, for as long at most."""
        if self.sending is not None:
            self.sending.close(within_s)
        if self._exported is not None:
            self._exported.sending.close(within_s)

    def _is_sampled(
        self, parent: Context | None, links: tuple[Context, ...], trace_id: str
    ) -> bool:
        if (parent or Context("", "", is_sampled=False)).is_sampled or any(
            link.is_sampled for link in links
        ):
            return self._may_ask()
        return parent is None and int(trace_id[-14:], 16) < self._below

    def _may_ask(self) -> bool:
        now_s = self._clock.monotonic_s()
        gained = (now_s - self._filled_s) * ASKED_PER_SECOND
        self._filled_s = now_s
        self._tokens = min(ASKED_PER_SECOND, self._tokens + gained)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def of(environment: Mapping[str, str], service: str, share: float, clock: Clock) -> Tracer:
    """As the usual variables say; without an endpoint nothing is traced.

    Raises:
        SettingsError: a variable cannot be used.
    """
    known = {"service.name": service, "service.version": names.RELEASE}
    if host := environment.get("HOSTNAME"):
        known["service.instance.id"] = host
    read = settings.read(environment, known)
    sending = metrics.of(read)
    exported = None if sending is None else Exported(sending, clock)
    return Tracer(exporter.of(read), share, clock, exported=exported)


OFF: Final = Tracer(None, 0.0, Clock(wall_ns=lambda: 0, monotonic_s=lambda: 0.0))
"""Of programs that are given none."""
