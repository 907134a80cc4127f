"""The controller as a program: the Lease, then everything else until it is lost or we are told."""

import asyncio
from collections.abc import Mapping

from mesh7_operator import metrics, serving, settings, tracing
from mesh7_operator.clock import Clock
from mesh7_operator.cluster import connection, lease
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.controller import tasks
from mesh7_operator.controller.leading import Leading
from mesh7_operator.tracing import Tracer


async def run(
    chosen: settings.Controller,
    clock: Clock,
    stopping: asyncio.Event,
    tracer: Tracer = tracing.OFF,
) -> None:
    """Be one of the controllers until `stopping` is set.

    Raises:
        ClusterError, SettingsError: it cannot go on; the message says why.
    """
    registry = metrics.registry()
    measured = metrics.ControllerMetrics(registry)
    measured.telemetry.counts = tracer.counts
    tracer.measure(registry)
    joined = connection.connect(chosen.cluster)
    async with ApiServer(joined, measured.api) as api:
        elector = lease.Elector(
            api,
            chosen.cluster.release_namespace,
            chosen.lease_name,
            identity=chosen.identity,
            clock=clock,
        )
        leading = Leading(
            chosen, joined, api.while_left(lambda: elector.left_s),
            may_write=lambda: elector.is_leader, clock=clock, metrics=measured, tracer=tracer,
        )  # fmt: skip

        def healthy() -> tuple[bool, Mapping[str, object]]:
            if not elector.is_leader:
                return True, {"is_leader": False}
            holds, details = leading.healthy()
            return holds, {"is_leader": True, **details}

        # A follower is ready, too: nobody asks either of them for anything but metrics.
        probes = serving.Probes(registry=registry, healthy=healthy, ready=healthy)
        listener = await serving.serve_probes(chosen.metrics, probes)
        try:
            await tasks.first_of(stopping.wait(), _lead(elector, leading, measured))
        finally:
            measured.leader.set(0)
            await elector.release()
            await listener.close()


async def _lead(
    elector: lease.Elector, leading: Leading, measured: metrics.ControllerMetrics
) -> None:
    await elector.acquire()
    measured.leader.set(1)
    await tasks.first_of(elector.keep(), leading.run())
