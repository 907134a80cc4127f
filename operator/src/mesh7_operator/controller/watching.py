"""kopf in a thread of its own: its events tell of changes, and nothing else of it is used.

No finalizers, no progress, no Events, and none of its indexes: each object that is listed wakes all
that wait for the others (50 s for 3,000 objects). What is held of each namespace is held here, and
`listing.complete` says when it is all.
"""

import asyncio
import logging
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol, TypeVar
from urllib import parse

import aiohttp
import kopf

from mesh7_core import errors, names
from mesh7_operator.cluster import resources, shapes
from mesh7_operator.cluster.connection import Connection
from mesh7_operator.cluster.resources import Resource
from mesh7_operator.controller import seen
from mesh7_operator.metrics import ControllerMetrics

_LOG: Final = logging.getLogger(__name__)
_PAGE: Final = 500
_REQUEST_S: Final = 30.0
_CONNECT_S: Final = 10.0
_LONGEST_PAUSE_S: Final = 15.0
_END_S: Final = 10.0
_Value = TypeVar("_Value")
_BUNDLES: Final = f"metadata.name={names.BUNDLE_CONFIG_MAP}"


class Listener(Protocol):
    """Told on the event loop that started the watch."""

    def tell(self, snapshot: seen.Snapshot) -> None:
        """Something changed in this namespace; this is how it is now."""

    def listed_anew(self, resource: Resource) -> None:
        """A watch was lost and its kind listed again: what is missing there was not told of."""


def field_selector(resource: Resource) -> str:
    """Which objects of a kind are watched; empty = all.

    A selector of one name is what RBAC can allow for that name alone.
    """
    return _BUNDLES if resource is resources.CONFIG_MAPS else ""


class Watch:
    """One watch of all kinds, in all namespaces.

    Args:
        connection: where, and as whom.
        listener: told of everything.
        metrics: counts watches begun anew.
    """

    def __init__(
        self, connection: Connection, listener: Listener, metrics: ControllerMetrics
    ) -> None:
        self._connection = connection
        self._listener = listener
        self._metrics = metrics
        self._stop = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._running: asyncio.Future[None] | None = None
        self._held = _Held()
        root = parse.urlsplit(connection.url).path
        self._followed = {
            root + resource.path(): _Followed(resource) for resource in resources.WATCHED
        }

    @property
    def has_ended(self) -> bool:
        """Whether it watched, and does no longer."""
        return self._running is not None and self._running.done()

    async def run(self) -> None:
        """Watch until cancelled.

        Raises:
            ClusterError: it ended by itself; whatever it knew is stale.
        """
        # A thread, for kopf cancels what it finds on its loop when it ends.
        thread = ThreadPoolExecutor(1, thread_name_prefix="watch")
        self._running = self._loop.run_in_executor(thread, self._run)
        try:
            await asyncio.shield(self._running)
        finally:
            self._stop.set()
            await asyncio.wait([self._running], timeout=_END_S)
            thread.shutdown(wait=False)
        raise errors.ClusterError("the watch of the API server ended; starting anew")

    def _run(self) -> None:
        asyncio.run(self._operate())

    async def _operate(self) -> None:
        await kopf.operator(
            registry=self._registry(),
            settings=_settings(),
            standalone=True,
            clusterwide=True,
            stop_flag=self._stop,
        )

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()

        @kopf.on.login(registry=registry)
        async def login(**_: object) -> kopf.AiohttpSession:
            session = self._connection.session(traces=[self._trace()])
            return kopf.AiohttpSession(server=self._connection.url, aiohttp_session=session)

        for resource in resources.WATCHED:
            selector = (resource.group, resource.version, resource.plural)
            kopf.on.event(*selector, id=resource.plural, registry=registry)(self._told(resource))
        return registry

    def _told(self, resource: Resource) -> Callable[..., object]:
        async def tell(event: dict[str, object], **_: object) -> None:
            snapshot = self._held.take(resource, event)
            self._loop.call_soon_threadsafe(self._listener.tell, snapshot)

        return tell

    def _trace(self) -> aiohttp.TraceConfig:
        """What kopf asks: it says to nobody that it lists anew, but its requests do."""
        trace = aiohttp.TraceConfig()

        async def started(
            _: aiohttp.ClientSession, __: object, request: aiohttp.TraceRequestStartParams
        ) -> None:
            followed = self._followed.get(request.url.path)
            if followed is None:
                return
            if "watch" not in request.url.query:
                followed.is_listed = True
                return
            # The watch begins: the list before it is complete, and what goes from now on is told.
            if followed.watches:
                self._metrics.watch_restarts.labels(followed.resource.kind).inc()
                if followed.is_listed:
                    self._loop.call_soon_threadsafe(self._listener.listed_anew, followed.resource)
            followed.watches += 1
            followed.is_listed = False

        trace.on_request_start.append(started)
        return trace


class _Followed:
    """What was asked about one kind."""

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        self.watches = 0
        self.is_listed = False


class _Pauses:
    """Between attempts, for ever: kopf ends the program after the last one."""

    def __iter__(self) -> Iterator[float]:
        pause_s = 0.5
        while True:
            yield pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)


def _settings() -> kopf.OperatorSettings:
    chosen = kopf.OperatorSettings()
    chosen.scanning.disabled = True
    chosen.posting.enabled = False
    chosen.networking.request_timeout = _REQUEST_S
    chosen.networking.connect_timeout = _CONNECT_S
    chosen.networking.error_backoffs = _Pauses()
    chosen.watching.chunk_size = _PAGE
    chosen.queueing.idle_timeout = 1.0
    for resource in resources.WATCHED:
        if selected := field_selector(resource):
            key = (resource.group, resource.version, resource.plural)
            chosen.watching.field_selectors[key] = selected
    return chosen


class _Held:
    """All that was told and not deleted: by namespace, kind and uid. Used in the thread alone."""

    def __init__(self) -> None:
        self._namespaces: dict[str, dict[str, dict[str, object]]] = {}

    def take(self, resource: Resource, event: shapes.Object) -> seen.Snapshot:
        """Take in one event, and answer how its namespace is now."""
        value = dict(shapes.mapping(event, "object"))
        value["kind"] = resource.kind  # lists leave it out
        part = "namespace" if resource.is_namespaced else "name"
        name, uid = (shapes.text(value, "metadata", key) for key in (part, "uid"))
        kinds = self._namespaces.setdefault(name, {})
        of_kind = kinds.setdefault(resource.kind, {})
        is_deleted = shapes.text(event, "type") == "DELETED"
        if is_deleted:
            of_kind.pop(uid, None)
        else:
            of_kind[uid] = _compact(resource, value)
        if not any(kinds.values()):
            del self._namespaces[name]
        is_bundle = resource is resources.CONFIG_MAPS
        return _snapshot(name, kinds, seen.revision(value) if is_deleted and is_bundle else 0)


def _compact(resource: Resource, value: shapes.Object) -> object:
    match resource.kind:
        case resources.NAMESPACES.kind:
            return seen.namespace_of(value)
        case resources.CONFIG_MAPS.kind:
            return seen.config_map_of(value)
        case _:
            return seen.object_of(value)


def _snapshot(
    name: str, kinds: Mapping[str, Mapping[str, object]], deleted_revision: int
) -> seen.Snapshot:
    return seen.Snapshot(
        name=name,
        namespaces=_values(kinds, resources.NAMESPACES, seen.Namespace),
        policies=_values(kinds, resources.AGENT_POLICIES, seen.Object),
        sources=_values(kinds, resources.TOOL_SOURCES, seen.Object),
        grants=_values(kinds, resources.GRANTS, seen.Object),
        config_maps=_values(kinds, resources.CONFIG_MAPS, seen.ConfigMap),
        deleted_revision=deleted_revision,
    )


def _values(
    kinds: Mapping[str, Mapping[str, object]], resource: Resource, of: type[_Value]
) -> tuple[_Value, ...]:
    found = kinds.get(resource.kind, {}).values()
    return tuple(value for value in found if isinstance(value, of))
