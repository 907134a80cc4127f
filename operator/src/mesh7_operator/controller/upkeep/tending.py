"""Redis as this installation has it: its credentials read, its users and functions kept."""

import asyncio
import secrets
from collections.abc import Callable, Collection
from typing import Final

from mesh7_core import errors
from mesh7_operator import settings
from mesh7_operator.clock import Clock
from mesh7_operator.cluster import furniture, redis_master
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.controller import rounds
from mesh7_operator.controller.seams import NoStore, Store
from mesh7_operator.metrics import ControllerMetrics
from mesh7_operator.store import store

NEWCOMERS_S: Final = 0.5
"""Several that are enrolled at once are seen to at once."""


class Redis:
    """Where there is none, nothing is done.

    Args:
        enrolled: namespaces that have users there.

    Attributes:
        store: what lies there.
    """

    def __init__(
        self,
        chosen: settings.Controller,
        api: ApiServer,
        enrolled: Callable[[], Collection[str]],
        *,
        clock: Clock,
        metrics: ControllerMetrics,
    ) -> None:
        self._chosen = chosen.redis
        self._is_embedded = chosen.redis is not None and chosen.is_redis_embedded
        self._release_namespace = chosen.cluster.release_namespace
        self._api = api
        self._enrolled = enrolled
        self._clock = clock
        self._metrics = metrics
        self._master = b""
        self._password = self._authorities = ""
        self._is_well = True
        self._tended: frozenset[str] = frozenset()
        self._has_newcomers = asyncio.Event()
        self.store: Store = self._made()

    @property
    def kept(self) -> store.Store | None:
        """The store where more than bundles is kept; None = there is no Redis."""
        return self.store if isinstance(self.store, store.Store) else None

    @property
    def is_well(self) -> bool:
        """Whether on every server all was as it should be, when it was last looked at."""
        return self._is_well

    async def read(self) -> None:
        """What it is reached by, as it is now at the API server.

        Raises:
            ClusterError: it cannot be read, or made.
        """
        of_release = self._api, self._release_namespace
        if self._is_embedded:
            self._password = await furniture.redis_password(*of_release)
            # What is gone for a moment is trusted on.
            known = await furniture.redis_authorities(*of_release)
            self._authorities = known or self._authorities
        if self._chosen is None or self._chosen.mode is not settings.RedisMode.MANAGED:
            return
        self._master = await redis_master.ensure(*of_release, secrets.token_bytes)

    async def tend(self) -> None:
        """One round: users and functions on every server."""
        self._tended = frozenset(self._enrolled())
        found = await self.store.tend(self._tended, self._clock.now())
        self._is_well = found.is_kept and found.is_closed
        self._metrics.store_trouble.labels("not-kept").set(not found.is_kept)
        self._metrics.store_trouble.labels("open").set(not found.is_closed)

    def needs(self, namespace: str) -> None:
        """It has a bundle: it needs users, too, if it has none yet."""
        if namespace not in self._tended:
            self._has_newcomers.set()

    def regained(self) -> None:
        """It is there, or there again: it may have forgotten its users, or be another one."""
        self._has_newcomers.set()

    async def tend_newcomers(self) -> None:
        """Users at once: of a namespace that was just enrolled, and in a Redis that came back."""
        while True:
            await self._has_newcomers.wait()
            await asyncio.sleep(NEWCOMERS_S)
            self._has_newcomers.clear()
            await rounds.once("newcomers", self.tend, self._metrics)

    def _made(self) -> Store:
        if self._chosen is None:
            return NoStore()
        if not self._is_embedded:
            return store.Store(self._chosen, lambda: self._master, self._clock)
        return store.Store(
            self._chosen,
            lambda: self._master,
            self._clock,
            password=self._embedded_password,
            authorities=lambda: self._authorities,
            own=furniture.OPERATOR_RULES.split(),
        )

    def _embedded_password(self) -> str:
        if not self._password:
            raise errors.ClusterError(f"Secret `{furniture.REDIS_SECRET}`: not read yet")
        return self._password
