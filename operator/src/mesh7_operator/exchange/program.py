"""The exchange as a program: one TLS door, probes and metrics beside it, until we are told."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Final

import prometheus_client

from mesh7_core import errors
from mesh7_operator import certificates, metrics, mounted, serving, settings, tracing
from mesh7_operator.clock import Clock
from mesh7_operator.cluster import connection
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.exchange import asking, door, handing
from mesh7_operator.exchange.issuer import Issuer
from mesh7_operator.exchange.measuring import ExchangeMetrics
from mesh7_operator.exchange.service import Parts, Service
from mesh7_operator.tracing import Tracer

_LOG: Final = logging.getLogger(__name__)


async def run(
    chosen: settings.Exchange,
    clock: Clock,
    stopping: asyncio.Event,
    tracer: Tracer = tracing.OFF,
) -> None:
    """Hand out credentials until `stopping` is set; requests in flight are answered.

    Raises:
        SettingsError: it cannot begin; the message says why.
    """
    registry = metrics.registry()
    measured = ExchangeMetrics(registry)
    measured.telemetry.counts = tracer.counts
    tracer.measure(registry)
    certificate = certificates.load(chosen.certificate, chosen.private_key)
    hands = None if chosen.redis is None else handing.hands_of(chosen.redis, chosen.master)
    joined = connection.connect(chosen.cluster)
    async with ApiServer(joined, measured.api) as api, contextlib.AsyncExitStack() as ends:
        documents = asking.Documents(joined)
        ends.push_async_callback(documents.close)
        issuer = Issuer(documents.fetch, clock.monotonic_s)
        enrolment = asking.Enrolment(api, chosen.cluster.release_namespace, clock.monotonic_s)
        service = Service(
            Parts(
                issuer=issuer, api=api, enrolment=enrolment, hands=hands, clock=clock,
                metrics=measured,
            )
        )  # fmt: skip
        probes = _probes(issuer, stopping, registry)
        beside = await serving.serve_probes(chosen.metrics, probes)
        ends.push_async_callback(beside.close)
        app = door.application(service, measured, clock.monotonic_s, tracer)
        listener = await serving.listen(app, chosen.listen, certificate.context, door.BOUNDS)
        ends.push_async_callback(listener.close)
        _LOG.info("credentials are exchanged", extra={"address": str(listener.address)})

        days = measured.certificate_days.labels("exchange")
        look = certificates.look(certificate, days.set, clock.now)
        async with asyncio.TaskGroup() as beside_it:
            keeping = beside_it.create_task(mounted.keep([look]))
            beside_it.create_task(_warm(issuer, stopping))
            await stopping.wait()
            await listener.drain(chosen.grace_s)
            keeping.cancel()


async def _warm(issuer: Issuer, stopping: asyncio.Event) -> None:
    """Ask for the keys until they are known: nobody is sent here before."""
    while not issuer.is_known and not stopping.is_set():
        with contextlib.suppress(errors.ClusterError):
            await issuer.key("")
        if not issuer.is_known:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), 1.0)


def _probes(
    issuer: Issuer, stopping: asyncio.Event, registry: prometheus_client.CollectorRegistry
) -> serving.Probes:
    def healthy() -> tuple[bool, Mapping[str, object]]:
        return True, {}

    def ready() -> tuple[bool, Mapping[str, object]]:
        details = {"keys_known": issuer.is_known, "stopping": stopping.is_set()}
        return issuer.is_known and not stopping.is_set(), details

    return serving.Probes(registry=registry, healthy=healthy, ready=ready)
