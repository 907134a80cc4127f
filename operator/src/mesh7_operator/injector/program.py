"""The injector as a program: one TLS door, probes and metrics beside it, until we are told."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Final

import prometheus_client

from mesh7_operator import certificates, metrics, mounted, serving, settings, tracing
from mesh7_operator.certificates import Certificate
from mesh7_operator.clock import Clock
from mesh7_operator.cluster import connection
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.injector import door, injecting
from mesh7_operator.injector.asking import Asking
from mesh7_operator.injector.given import Files
from mesh7_operator.injector.measuring import InjectorMetrics
from mesh7_operator.injector.stamp_key import StampKey
from mesh7_operator.injector.surroundings import Surveyor
from mesh7_operator.injector.turns import Turns
from mesh7_operator.mounted import Look
from mesh7_operator.tracing import Tracer

_LOG: Final = logging.getLogger(__name__)


async def run(
    chosen: settings.Injector,
    clock: Clock,
    stopping: asyncio.Event,
    tracer: Tracer = tracing.OFF,
) -> None:
    """Answer the API server until `stopping` is set, and for a while after that.

    Raises:
        SettingsError: it cannot begin; the message says why.
    """
    registry = metrics.registry()
    measured = InjectorMetrics(registry)
    measured.telemetry.counts = tracer.counts
    tracer.measure(registry)
    certificate = Certificate(chosen.certificate, chosen.private_key)
    release_namespace = chosen.cluster.release_namespace
    joined = connection.connect(chosen.cluster)
    async with ApiServer(joined, measured.api) as api:
        stamp_key = StampKey(chosen.stamp_key, api, release_namespace)
        files = Files(chosen)
        pods = injecting.Parts(
            files=files,
            surveyor=Surveyor(api),
            turns=Turns(clock.monotonic_s, judge="injection"),
            metrics=measured,
        )
        parts = door.Parts(
            asking=Asking(api, release_namespace),
            stamp_key=stamp_key,
            release_namespace=release_namespace,
            turns=Turns(clock.monotonic_s),
            metrics=measured,
            monotonic_s=clock.monotonic_s,
            is_ending=stopping.is_set,
            pods=pods,
            tracer=tracer,
        )
        probes = _probes(certificate, parts, stopping, registry)
        days = measured.certificate_days.labels("injector")
        looks = (
            certificates.look(certificate, days.set, clock.now),
            Look(what="stamp key", refresh=stamp_key.refresh),
            *files.looks,
        )
        await _serve(chosen, parts, probes, certificate, looks, stopping)


async def _serve(
    chosen: settings.Injector,
    parts: door.Parts,
    probes: serving.Probes,
    certificate: Certificate,
    looks: Sequence[Look],
    stopping: asyncio.Event,
) -> None:
    beside = await serving.serve_probes(chosen.metrics, probes)
    listener = await serving.listen(door.application(parts), chosen.listen, certificate.context)
    _LOG.info("admissions are served", extra={"address": str(listener.address)})
    try:
        # What keeps the files fresh ends with a defect only; then a restart is what helps.
        async with asyncio.TaskGroup() as together:
            keeping = together.create_task(mounted.keep(looks))
            await stopping.wait()
            await listener.drain(chosen.grace_s)
            keeping.cancel()
    finally:
        await listener.close()
        await beside.close()


def _probes(
    certificate: Certificate,
    parts: door.Parts,
    stopping: asyncio.Event,
    registry: prometheus_client.CollectorRegistry,
) -> serving.Probes:
    def healthy() -> tuple[bool, Mapping[str, object]]:
        is_stuck = parts.turns.is_stuck or parts.pods.turns.is_stuck
        return not is_stuck, {"is_stuck": is_stuck}

    def ready() -> tuple[bool, Mapping[str, object]]:
        had = {
            "has_certificate": certificate.is_loaded,
            "has_stamp_key": parts.stamp_key.key is not None,
            **parts.pods.files.had,
        }
        is_ready = all(had.values()) and not stopping.is_set()
        return is_ready, {**had, "stopping": stopping.is_set()}

    return serving.Probes(registry=registry, healthy=healthy, ready=ready)
