"""The controllers' Lease in our hands: nobody makes anew what is being removed.

It is taken by force: a leader that lives renews for ever, and gives way to whoever holds it.
"""

import asyncio
import contextlib
import logging
from typing import Final

from mesh7_core import errors
from mesh7_operator import settings
from mesh7_operator.clock import Clock
from mesh7_operator.cluster import api_server, lease, resources, shapes
from mesh7_operator.cluster.api_server import ApiServer

_LOG: Final = logging.getLogger(__name__)
CONTROLLERS: Final = "mesh7-controller"
"""Their Deployment, and the label of their pods."""
_NAME_LABEL: Final = "app.kubernetes.io/name"
_ATTEMPTS: Final = 10
_HELD_S: Final = 60
_RENEW_S: Final = 15.0
_LEFT_S: Final = 3600
_PODS_S: Final = 60.0
_POLL_S: Final = 1.0


class Hold:
    """One hold of the Lease.

    Args:
        api: as ourselves.
        namespace: the release's.
        name: of the Lease.
        identity: unique to this process.
        clock: its wall time is written for people.
        deadline_s: how long a leader that lost it may go on.
    """

    def __init__(
        self,
        api: ApiServer,
        namespace: str,
        name: str,
        *,
        identity: str,
        clock: Clock,
        deadline_s: float = lease.Times().deadline_s,
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._clock = clock
        self._deadline_s = deadline_s
        self._is_alone = True

    async def take(self) -> None:
        """Return once nobody else leads, and nobody that did still writes.

        Raises:
            ClusterError: it cannot be had.
        """
        before = await self._write(_HELD_S)
        self._is_alone = await self._stop() if await self._scale() else not before
        if not self._is_alone:
            _LOG.info("a leader gives way", extra={"identity": before})
            await asyncio.sleep(self._deadline_s)

    async def keep(self) -> None:
        """Renew until cancelled; what fails is tried again: the Lease holds for several rounds."""
        while True:
            await asyncio.sleep(_RENEW_S)
            try:
                await self._write(_HELD_S)
            except errors.ClusterError as error:
                _LOG.warning("lease not renewed", extra={"error": error.message})

    async def end(self) -> bool:
        """Remove the Lease; where controllers still live, it stays ours for an hour instead.

        Returns:
            Whether it is gone.

        Raises:
            ClusterError: neither could be done.
        """
        if self._is_alone:
            await self._api.delete(resources.LEASES, self._namespace, self._name)
        else:
            await self._write(_LEFT_S)
        return self._is_alone

    async def _write(self, held_s: int) -> str:
        """Make it ours, and answer who else held it."""
        for _ in range(_ATTEMPTS):
            try:
                return await self._try_to_write(held_s)
            except api_server.Conflict:
                continue
        raise errors.ClusterError(
            f"Lease `{self._namespace}/{self._name}`: others write it all the time; stop the "
            "controllers and try again"
        )

    async def _try_to_write(self, held_s: int) -> str:
        found: shapes.Object = {}
        with contextlib.suppress(api_server.NotFound):
            found = await self._api.get(resources.LEASES, self._namespace, self._name)
        holder = shapes.text(found, "spec", "holderIdentity")
        manifest = {
            "apiVersion": resources.LEASES.api_version,
            "kind": resources.LEASES.kind,
            "metadata": found.get("metadata") or {"name": self._name, "namespace": self._namespace},
            "spec": self._spec(found, held_s),
        }
        if found:
            await self._api.replace(resources.LEASES, self._namespace, self._name, manifest)
        else:
            await self._api.create(resources.LEASES, self._namespace, manifest)
        # A sweep before this one leads nothing; it left the Lease so that nobody else would.
        return "" if holder.startswith(settings.SWEEPERS) else holder

    def _spec(self, found: shapes.Object, held_s: int) -> dict[str, object]:
        now = lease.spelled(self._clock.now())
        spec = {
            **shapes.mapping(found, "spec"),
            "holderIdentity": self._identity,
            "leaseDurationSeconds": held_s,
            "renewTime": now,
        }
        if shapes.text(found, "spec", "holderIdentity") != self._identity:
            changes = shapes.number(found, "spec", "leaseTransitions") + 1
            spec |= {"acquireTime": now, "leaseTransitions": changes}
        return spec

    async def _scale(self) -> bool:
        """Have no controllers, where a Deployment makes them; whether one does."""
        try:
            await self._api.merge(
                resources.DEPLOYMENTS, self._namespace, CONTROLLERS, {"spec": {"replicas": 0}},
                subresource="scale",
            )  # fmt: skip
        except api_server.NotFound:
            return False
        return True

    async def _stop(self) -> bool:
        """Whether the controllers' pods are gone in time."""
        ends_s = self._clock.monotonic_s() + _PODS_S
        while self._clock.monotonic_s() < ends_s:
            pods = [pod async for pod in self._api.list(resources.PODS, self._namespace)]
            if not any(
                shapes.texts(pod, "metadata", "labels").get(_NAME_LABEL) == CONTROLLERS
                for pod in pods
            ):
                return True
            await asyncio.sleep(_POLL_S)
        return False
