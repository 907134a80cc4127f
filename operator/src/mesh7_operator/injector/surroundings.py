"""Where a pod is to be: its Namespace, ToolSources and NetworkPolicy, asked for at once.

Nothing is remembered here: an enrolment, a level or a floor that was just written must count.
ToolSources alone come from the API server's own cache, some moments old: that is as if they had
been written those moments later, which nobody could keep from happening, and so weakens nothing.
"""

import asyncio
import weakref
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, Protocol

from mesh7_core import awake, errors, names
from mesh7_core.injection import sources
from mesh7_core.injection.inject import Namespace, Source
from mesh7_core.injection.outcomes import Level
from mesh7_operator.cluster import api_server, resources, shapes

PATIENCE_S: Final = 2.0


class Api(Protocol):
    """As much of `cluster.api_server.ApiServer` as is needed here."""

    async def get(self, resource: resources.Resource, namespace: str, name: str) -> shapes.Object:
        """One object; raises `NotFound` or another ClusterError."""

    def list_remembered(
        self, resource: resources.Resource, namespace: str
    ) -> AsyncIterator[shapes.Object]:
        """All objects of a namespace, some moments old; raises ClusterError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the API server knows of a namespace at that moment.

    Attributes:
        has_network_policy: not asked for where the level does not need it: False.
    """

    namespace: Namespace
    sources: tuple[Source, ...]
    has_network_policy: bool


class Surveyor:
    """Asks, all at once, and for all pods of a namespace that wait.

    Pods come in bursts. Whoever comes while others of the namespace are being answered waits for
    the next answer, with all who come until it is asked for: it is never older than their question,
    and a burst costs the API server no more than a few pods.

    Args:
        patience_s: for all answers together.
    """

    def __init__(self, api: Api, patience_s: float = PATIENCE_S) -> None:
        self._api = api
        self._patience_s = patience_s
        self._turns: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._next: dict[tuple[str, Level], asyncio.Task[Surroundings]] = {}
        self._under_way: set[asyncio.Task[Surroundings]] = set()

    async def survey(self, namespace: str, default_level: Level) -> Surroundings:
        """What is known of a namespace now.

        Raises:
            ClusterError: not all of it was answered in time.
        """
        key = (namespace, default_level)
        shared = self._next.get(key)
        if shared is None:
            shared = self._next[key] = asyncio.create_task(self._ask(namespace, default_level))
            self._under_way.add(shared)
            shared.add_done_callback(self._end)
        try:
            async with awake.timeout(self._patience_s):
                return await asyncio.shield(shared)
        except TimeoutError as error:
            raise errors.ClusterError(
                f"Namespace `{namespace}` and what is in it: the API server did not answer in "
                f"{self._patience_s:g} s"
            ) from error

    def _end(self, shared: asyncio.Task[Surroundings]) -> None:
        self._under_way.discard(shared)
        if not shared.cancelled():
            # Told, also when nobody waits any longer.
            shared.exception()

    async def _ask(self, namespace: str, default_level: Level) -> Surroundings:
        async with self._turns.setdefault(namespace, asyncio.Lock()):
            # Whoever comes from here on may know of something newer.
            del self._next[namespace, default_level]
            async with awake.timeout(self._patience_s):
                return await self._all(namespace, default_level)

    async def _all(self, namespace: str, default_level: Level) -> Surroundings:
        listing = asyncio.create_task(self._sources(namespace))
        try:
            found = await self._namespace(namespace)
            level = found.labels.get(names.ENFORCEMENT, default_level)
            # A level that means nothing is refused without asking.
            is_fenced = level in {Level.GUARDED, Level.ENFORCED}
            return Surroundings(
                namespace=found,
                has_network_policy=is_fenced and await self._has_network_policy(namespace),
                sources=await listing,
            )
        finally:
            listing.cancel()
            await asyncio.gather(listing, return_exceptions=True)

    async def _namespace(self, namespace: str) -> Namespace:
        found = await self._api.get(resources.NAMESPACES, "", namespace)
        return Namespace(
            name=namespace,
            labels=shapes.texts(found, "metadata", "labels"),
            annotations=shapes.texts(found, "metadata", "annotations"),
        )

    async def _sources(self, namespace: str) -> tuple[Source, ...]:
        found = [
            sources.read(one)
            async for one in self._api.list_remembered(resources.TOOL_SOURCES, namespace)
        ]
        return tuple(one for one in found if one is not None)

    async def _has_network_policy(self, namespace: str) -> bool:
        try:
            await self._api.get(resources.NETWORK_POLICIES, namespace, names.NETWORK_POLICY)
        except api_server.NotFound:
            return False
        return True
