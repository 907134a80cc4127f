"""The injector as a program: one TLS door, probes and metrics beside it, until we are told."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

import prometheus_client

from mesh7_core import errors
from mesh7_operator import metrics, serving, settings
from mesh7_operator.certificates import Certificate
from mesh7_operator.clock import Clock
from mesh7_operator.cluster import connection
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.injector import door
from mesh7_operator.injector.asking import Asking
from mesh7_operator.injector.measuring import InjectorMetrics
from mesh7_operator.injector.stamp_key import StampKey
from mesh7_operator.injector.turns import Turns

_LOG: Final = logging.getLogger(__name__)
_LOOK_S: Final = 1.0


async def run(chosen: settings.Injector, clock: Clock, stopping: asyncio.Event) -> None:
    """Answer the API server until `stopping` is set, and for a while after that.

    Raises:
        SettingsError: it cannot begin; the message says why.
    """
    registry = metrics.registry()
    measured = InjectorMetrics(registry)
    certificate = Certificate(chosen.certificate, chosen.private_key)
    release_namespace = chosen.cluster.release_namespace
    joined = connection.connect(chosen.cluster)
    turns = Turns(clock.monotonic_s)
    async with ApiServer(joined, measured.api) as api:
        stamp_key = StampKey(chosen.stamp_key, api, release_namespace)
        app = door.application(
            door.Parts(
                asking=Asking(api, release_namespace),
                stamp_key=stamp_key,
                release_namespace=release_namespace,
                turns=turns,
                metrics=measured,
                monotonic_s=clock.monotonic_s,
                is_ending=stopping.is_set,
            )
        )
        probes = _probes(certificate, stamp_key, turns, stopping, registry)
        beside = await serving.serve_probes(chosen.metrics, probes)
        listener = await serving.listen(app, chosen.listen, certificate.context)
        _LOG.info("admissions are served", extra={"address": str(listener.address)})
        files = _Files(certificate, stamp_key, measured, clock)
        keeping = asyncio.create_task(files.keep())
        try:
            await stopping.wait()
            await listener.drain(chosen.grace_s)
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            await listener.close()
            await beside.close()


class _Files:
    """Certificate and stamp key, looked at each second; what is wrong is said once."""

    def __init__(
        self, certificate: Certificate, stamp_key: StampKey, measured: InjectorMetrics, clock: Clock
    ) -> None:
        self._certificate = certificate
        self._stamp_key = stamp_key
        self._measured = measured
        self._clock = clock
        self._troubles: dict[str, str] = {}

    async def keep(self) -> None:
        """Look until cancelled."""
        while True:
            self._look_at_certificate()
            await self._look_at_key()
            await asyncio.sleep(_LOOK_S)

    def _look_at_certificate(self) -> None:
        try:
            if self._certificate.refresh():
                _LOG.info("a certificate is served from now on")
            self._troubles.pop("certificate", None)
        except errors.SettingsError as error:
            self._tell("certificate", error.message)
        if self._certificate.is_loaded:
            days = self._certificate.days(self._clock.now())
            self._measured.certificate_days.labels("injector").set(days)

    async def _look_at_key(self) -> None:
        try:
            if await self._stamp_key.refresh():
                _LOG.info("grants are stamped with a key from now on")
            self._troubles.pop("stamp key", None)
        except errors.Mesh7Error as error:
            self._tell("stamp key", error.message)

    def _tell(self, what: str, trouble: str) -> None:
        if self._troubles.get(what) != trouble:
            self._troubles[what] = trouble
            _LOG.warning("a file cannot be taken up", extra={"file": what, "error": trouble})


def _probes(
    certificate: Certificate,
    stamp_key: StampKey,
    turns: Turns,
    stopping: asyncio.Event,
    registry: prometheus_client.CollectorRegistry,
) -> serving.Probes:
    def healthy() -> tuple[bool, Mapping[str, object]]:
        return not turns.is_stuck, {"is_stuck": turns.is_stuck}

    def ready() -> tuple[bool, Mapping[str, object]]:
        details = {
            "has_certificate": certificate.is_loaded,
            "has_stamp_key": stamp_key.key is not None,
            "stopping": stopping.is_set(),
        }
        is_able = certificate.is_loaded and stamp_key.key is not None
        return is_able and not stopping.is_set(), details

    return serving.Probes(registry=registry, healthy=healthy, ready=ready)
