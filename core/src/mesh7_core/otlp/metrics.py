"""Metrics sent over OTLP again and again, by a thread of their own.

Whoever has the instruments reads them, where they change, and hands the readings over: `keep`
does, on an event loop.
"""

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NoReturn

from mesh7_core.otlp.counts import Counts
from mesh7_core.otlp.moments import Snapshot
from mesh7_core.otlp.sending import Sender, Sink
from mesh7_core.otlp.settings import Settings, Target
from mesh7_core.telemetry.instruments import Reading

_LOG: Final = logging.getLogger(__name__)
_MOST_WAITING: Final = 2
"""Snapshots are cumulative: an old one says nothing that the next does not."""


class MetricExporter:
    """Sends snapshots to one collector; its counts count snapshots.

    Args:
        target: where to; its `delay_s` is from one snapshot to the next.
        resource: whose metrics they are.
    """

    def __init__(self, target: Target, resource: Mapping[str, str]) -> None:
        def open_sink() -> Sink[Snapshot]:
            from mesh7_core.otlp import more_sinks  # noqa: PLC0415 - protobuf, in the thread

            return more_sinks.metrics(target, resource)

        self.interval_s = target.delay_s
        bounded = dataclasses.replace(target, most_waiting=_MOST_WAITING, batch=1)
        self._sender = Sender("metrics", bounded, open_sink)

    @property
    def counts(self) -> Counts:
        """What became of all snapshots that were added."""
        return self._sender.counts

    def add(self, snapshot: Snapshot) -> None:
        """Have it sent. Never waits; from any thread."""
        self._sender.add(snapshot)

    def close(self, within_s: float) -> None:
        """Send what waits, for as long at most; what is left is dropped and counted."""
        self._sender.close(within_s)


async def keep(
    exporter: MetricExporter, read: Callable[[], Sequence[Reading]], now_ns: Callable[[], int]
) -> NoReturn:
    """Hand over what `read` answers, once an interval, until cancelled; then once more.

    A `read` that fails costs what it would have read: once is logged until it reads again.
    """
    since_ns = now_ns()
    is_failing = False

    def hand_over() -> None:
        nonlocal is_failing
        try:
            exporter.add(Snapshot(since_ns=since_ns, at_ns=now_ns(), readings=read()))
        except Exception:  # noqa: BLE001 - a task that ends unseen sends nothing ever again
            if not is_failing:
                _LOG.exception(
                    "telemetry: metrics were not read and not sent, which is a defect of mesh7: "
                    "please report it; they are read again and again"
                )
            is_failing = True
        else:
            is_failing = False

    try:
        while True:
            await asyncio.sleep(exporter.interval_s)
            hand_over()
    finally:
        hand_over()


def of(settings: Settings) -> MetricExporter | None:
    """None when no metrics are sent: then nothing is imported, and there is no thread."""
    if settings.metrics is None:
        return None
    return MetricExporter(settings.metrics, settings.resource)
