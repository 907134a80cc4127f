"""One leader at a time, by a Lease of the API server (`coordination.k8s.io/v1`).

Nobody's wall clock is believed: a follower takes over when the Lease has not changed for its whole
duration by the follower's own monotonic clock; a leader stops five seconds before that.
"""

import asyncio
import contextlib
import logging
import math
import random
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from mesh7_core import errors
from mesh7_operator.clock import Clock
from mesh7_operator.cluster import api_server, resources, shapes
from mesh7_operator.cluster.api_server import ApiServer

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Of an election.

    Attributes:
        duration_s: how long a silent leader is waited for.
        deadline_s: how long after its last renewal a leader still acts.
        retry_s: between attempts, with up to a fifth of jitter.
        attempt_s: for one attempt: a leader has time for another when a connection is dead.
    """

    duration_s: int = 15
    deadline_s: float = 10.0
    retry_s: float = 2.0
    attempt_s: float = 3.0


@dataclass(frozen=True, slots=True)
class _Seen:
    """The Lease as it was when it last changed, and when that was seen."""

    lease: shapes.Object
    at_s: float


class Elector:
    """One contender.

    Args:
        api: as ourselves.
        namespace: where the Lease is.
        name: of the Lease.
        identity: unique to this process.
        clock: its monotonic part decides; its wall time is written for people.
        times: all contenders use the same.
    """

    def __init__(
        self,
        api: ApiServer,
        namespace: str,
        name: str,
        *,
        identity: str,
        clock: Clock,
        times: Times | None = None,
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._clock = clock
        self._times = times or Times()
        self._seen = _Seen({}, clock.monotonic_s())
        self._acts_until_s: float | None = None

    @property
    def is_leader(self) -> bool:
        """Whether we may act at this moment; asked before each write."""
        return self.left_s > 0

    @property
    def left_s(self) -> float:
        """How long we may act from now on without another renewal; 0 = we may not."""
        if self._acts_until_s is None:
            return 0.0
        return max(0.0, self._acts_until_s - self._clock.monotonic_s())

    async def acquire(self) -> None:
        """Return once we lead."""
        while not await self._attempt(self._times.attempt_s):
            await self._pause()
        _LOG.info("leading", extra={"identity": self._identity})

    async def keep(self) -> None:
        """Renew for as long as we lead.

        Raises:
            ClusterError: we no longer lead; whatever was listed is to be forgotten.
        """
        while self.is_leader:
            await self._pause(self.left_s)
            within_s = min(self._times.attempt_s, self.left_s)
            if not await self._attempt(within_s) and self._holder() != self._identity:
                break
        self._acts_until_s = None
        raise errors.ClusterError(
            f"Lease `{self._namespace}/{self._name}`: lost to `{self._holder()}`; starting anew"
        )

    async def release(self) -> None:
        """Give it up, so that nobody has to wait for its end; best effort."""
        if self._acts_until_s is None:
            return
        self._acts_until_s = None
        with contextlib.suppress(errors.ClusterError):
            await self._write(holder="")

    async def _attempt(self, within_s: float) -> bool:
        """Try to become or stay the leader; False when we are not, or nothing was answered."""
        began_s = self._clock.monotonic_s()
        try:
            async with asyncio.timeout(within_s):
                await self._look()
                if not self._may_take():
                    return False
                await self._write(holder=self._identity)
        except (errors.ClusterError, TimeoutError) as error:
            _LOG.warning("lease not renewed", extra={"error": str(error)})
            return False
        self._acts_until_s = began_s + self._times.deadline_s
        return True

    async def _look(self) -> None:
        try:
            lease = await self._api.get(resources.LEASES, self._namespace, self._name)
        except api_server.NotFound:
            lease = {}
        if _version(lease) != _version(self._seen.lease) or not lease:
            self._seen = _Seen(lease, self._clock.monotonic_s())

    def _may_take(self) -> bool:
        holder = self._holder()
        if holder in {"", self._identity}:
            return True
        duration_s = shapes.number(self._seen.lease, "spec", "leaseDurationSeconds")
        patience_s = duration_s or self._times.duration_s
        return self._clock.monotonic_s() >= self._seen.at_s + patience_s

    def _holder(self) -> str:
        return shapes.text(self._seen.lease, "spec", "holderIdentity")

    async def _write(self, holder: str) -> None:
        now = spelled(self._clock.now())
        spec = dict(shapes.mapping(self._seen.lease, "spec"))
        if holder != self._holder():
            spec["acquireTime"] = now
            spec["leaseTransitions"] = shapes.number(spec, "leaseTransitions") + 1
        spec |= {
            "holderIdentity": holder,
            "leaseDurationSeconds": self._times.duration_s if holder else 1,
            "renewTime": now,
        }
        manifest: dict[str, object] = {
            "apiVersion": resources.LEASES.api_version,
            "kind": resources.LEASES.kind,
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": spec,
        }
        if self._seen.lease:
            # Whoever wrote it since we looked has won: the server compares versions.
            manifest["metadata"] = shapes.mapping(self._seen.lease, "metadata")
            written = await self._api.replace(
                resources.LEASES, self._namespace, self._name, manifest
            )
        else:
            written = await self._api.create(resources.LEASES, self._namespace, manifest)
        self._seen = _Seen(written, self._clock.monotonic_s())

    async def _pause(self, most_s: float = math.inf) -> None:
        pause_s = self._times.retry_s * random.uniform(1.0, 1.2)  # noqa: S311 - jitter
        await asyncio.sleep(min(pause_s, most_s))


def _version(lease: shapes.Object) -> str:
    return shapes.text(lease, "metadata", "resourceVersion")


def spelled(when: datetime) -> str:
    """As a Lease has it."""
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
