"""What a gateway reads of itself when somebody asks for metrics, and how it is written for them.

Calls are counted by `seeing.metrics`; the rest (bundles, sources, connections, stores, what was
dropped) is known by whoever has it, and looked at here.
"""

import asyncio
import platform
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

from mesh7_core import names
from mesh7_core.delivery.envelopes import Kind, Refusal
from mesh7_core.delivery.reports import Origin
from mesh7_core.otlp.counts import Counts
from mesh7_core.policy import calls
from mesh7_core.telemetry import sidecar_instruments as table
from mesh7_core.telemetry.instruments import Instrument, Number, Reading
from mesh7_sidecar.audit.lines import AuditLines
from mesh7_sidecar.net.pool import Pool
from mesh7_sidecar.seeing import exposition
from mesh7_sidecar.seeing.labels import Listed
from mesh7_sidecar.sources.registry import Registry, Served

Reads = Callable[[], Iterable[Reading]]
"""Looks at something; called on the event loop, and never waits."""

_METHODS: Final = frozenset(
    {"get", "head", "post", "put", "patch", "delete", "options", "trace", "connect"}
)
_MS: Final = 1_000


class Measuring:
    """All that there is to read of one gateway; parts are added while it is put together."""

    def __init__(self) -> None:
        self._parts: list[Reads] = []

    def add(self, *parts: Reads) -> None:
        """Read these too."""
        self._parts += parts

    def readings(self) -> list[Reading]:
        """Everything, of one moment."""
        return [reading for part in self._parts for reading in part()]

    async def scrape(self, accept: str) -> tuple[str, bytes]:
        """Content type and body for Prometheus; calls have their turn between pieces of it."""
        spelled = exposition.wanted(accept)
        written = []
        for piece in exposition.pieces(self.readings(), spelled):
            written.append(piece)
            await asyncio.sleep(0)
        written.append(_of_process(is_open_metrics=spelled.is_open_metrics))
        return spelled.content_type, b"".join(written)


def listed_by(registry: Registry) -> Listed:
    """Which tools there are: what `mcp` sources list, and the methods of plain HTTP."""

    def listed(source: str, kind: calls.SourceKind, name: str) -> bool:
        served = registry.find(source, kind)
        if served is None:
            return False
        if kind is not calls.SourceKind.MCP:
            return name in _METHODS
        return name in served.catalog.definitions or name in served.catalog.hidden

    return listed


def build() -> Iterable[Reading]:
    """Of which release this is."""
    yield _one(table.BUILD, 1, names.RELEASE, platform.python_version())


def sources(registry: Registry) -> Reads:
    """How sources do."""

    def read() -> Iterable[Reading]:
        found = [served for kind in calls.SourceKind for served in registry.all_of(kind)]
        pools = [(one.source.name, one.way) for one in found if isinstance(one.way, Pool)]
        yield Reading(
            table.SOURCE_RESTING,
            [Number((name,), int(pool.breaker.is_open)) for name, pool in pools],
        )
        yield Reading(
            table.SOURCE_IN_FLIGHT, [Number((name,), pool.under_way) for name, pool in pools]
        )
        yield Reading(
            table.SOURCE_UNUSABLE,
            [Number((one.source.name,), int(_is_unusable(one))) for one in found],
        )

    return read


def no_store() -> Iterable[Reading]:
    """Of a pod that was given none: nobody lost it."""
    yield _which(table.STORE_STATE, "none")


def store(trouble: Callable[[], str]) -> Reads:
    """How it stands with the ledger."""

    def read() -> Iterable[Reading]:
        yield _which(table.STORE_STATE, "lost" if trouble() else "connected")

    return read


def audited(audit: AuditLines) -> Reads:
    """How many records are written, and how many were lost."""

    def read() -> Iterable[Reading]:
        yield _one(table.AUDIT_RECORDS, audit.written)
        yield _one(table.AUDIT_DROPPED, audit.lost)

    return read


def number(instrument: Instrument, now: Callable[[], float]) -> Reads:
    """A counter or gauge without labels."""

    def read() -> Iterable[Reading]:
        yield _one(instrument, now())

    return read


class Delivered(Protocol):
    """Where a pod's bundles come from (`bundles.delivered`)."""

    @property
    def versions(self) -> Mapping[Kind, int]:
        """In force, by kind; 0 = none."""

    @property
    def origin(self) -> Origin:
        """Which way the bundle in force came."""


def deliveries(
    delivered: Delivered, refused: Mapping[Refusal, int], wall_ns: Callable[[], int]
) -> Reads:
    """What a pod is delivered."""

    def read() -> Iterable[Reading]:
        versions = delivered.versions
        version = versions[Kind.BUNDLE]
        yield _one(table.BUNDLE_VERSION, version)
        yield _one(table.OVERLAY_VERSION, versions[Kind.OVERLAY])
        if version:
            yield _one(table.BUNDLE_AGE, max(wall_ns() / 1e9 - version / _MS, 0.0))
        yield _which(table.BUNDLE_ORIGIN, delivered.origin.value)
        yield Reading(
            table.REFUSED_DELIVERIES,
            [Number((why.value,), count) for why, count in refused.items()],
        )

    return read


def folder(age_s: Callable[[], float | None]) -> Reads:
    """What a laptop's gateway loads; None = nothing yet."""

    def read() -> Iterable[Reading]:
        age = age_s()
        if age is not None:
            yield _one(table.BUNDLE_AGE, age)
            yield _which(table.BUNDLE_ORIGIN, "folder")

    return read


def exported(signals: Mapping[str, Counts]) -> Reads:
    """What is sent over OTLP, by signal, and what is dropped."""

    def read() -> Iterable[Reading]:
        yield Reading(
            table.OTLP_SENT, [Number((name,), counts.sent) for name, counts in signals.items()]
        )
        yield Reading(
            table.OTLP_DROPPED,
            [
                Number((name, why.value), lost)
                for name, counts in signals.items()
                for why, lost in counts.lost.items()
            ],
        )

    return read


def _one(instrument: Instrument, value: float, *values: str) -> Reading:
    return Reading(instrument, [Number(values, value)])


def _which(instrument: Instrument, one: str) -> Reading:
    """1 for one value of the only label, 0 for all others."""
    (label,) = instrument.labels
    return Reading(instrument, [Number((each,), int(each == one)) for each in label.values])


def _is_unusable(served: Served) -> bool:
    if served.problem:
        return True
    return served.source.kind is calls.SourceKind.MCP and bool(served.catalog.error)


def _of_process(*, is_open_metrics: bool) -> bytes:
    """Memory, CPU and open files, as every client library names them; it ends OpenMetrics too."""
    # Imported here: whoever is never scraped does without 3 MB.
    import prometheus_client  # noqa: PLC0415
    from prometheus_client import exposition as text  # noqa: PLC0415
    from prometheus_client.openmetrics import exposition as open_metrics  # noqa: PLC0415

    registry = prometheus_client.CollectorRegistry()
    prometheus_client.ProcessCollector(registry=registry)
    write = open_metrics.generate_latest if is_open_metrics else text.generate_latest
    return write(registry)
