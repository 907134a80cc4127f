"""kopf in a thread of its own: its events tell of changes, and nothing else of it is used.

No finalizers, no progress, no Events, and none of its indexes: each object that is listed wakes all
that wait for the others (50 s for 3,000 objects). What is held of each namespace is held here, and
`listing.complete` says when it is all.
"""

import asyncio
import contextlib
import json
import logging
import random
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Protocol, TypeVar
from urllib import parse

import aiohttp
import kopf

from mesh7_core import errors, names
from mesh7_operator.cluster import resources, shapes
from mesh7_operator.cluster.connection import Connection
from mesh7_operator.cluster.resources import Resource
from mesh7_operator.controller.informer import seen
from mesh7_operator.metrics import ControllerMetrics

_LOG: Final = logging.getLogger(__name__)
_PAGE: Final = 500
_REQUEST_S: Final = 30.0
_CONNECT_S: Final = 10.0
_LONGEST_PAUSE_S: Final = 15.0
_END_S: Final = 10.0
REFUSED_S: Final = 60.0
"""A watch that once worked may be refused for so long: an API server that starts knows no rights
for a moment. One that never did is refused for good."""
_UNAUTHORIZED: Final = 401
_REFUSALS: Final = frozenset({_UNAUTHORIZED, 403})
_OK: Final = 200
_WORDS: Final = 500
_Value = TypeVar("_Value")
_NAMED: Final = {
    resources.CONFIG_MAPS: names.BUNDLE_CONFIG_MAP,
    resources.NETWORK_POLICIES: names.NETWORK_POLICY,
}


class Listener(Protocol):
    """Told on the event loop that started the watch."""

    def tell(self, snapshot: seen.Snapshot) -> None:
        """Something changed in this namespace; this is how it is now."""

    def listed_anew(self, resource: Resource) -> None:
        """A watch was lost: what happened meanwhile may not have been told of."""

    def resumed(self, resource: Resource, since: int) -> None:
        """A watch ended and goes on from this version."""

    def vanished(self) -> Iterable[str]:
        """Uids not to be told of any more, each once. Asked in the watch's own thread."""


def field_selector(resource: Resource) -> str:
    """Which objects of a kind are watched; empty = all.

    A selector of one name is what RBAC can allow for that name alone.
    """
    return f"metadata.name={_NAMED[resource]}" if resource in _NAMED else ""


class Watch:
    """One watch of all kinds, in all namespaces.

    Args:
        connection: where, and as whom.
        listener: told of everything.
        metrics: counts watches begun anew, and those that were refused.
        patience_s: with a watch that is refused.
    """

    def __init__(
        self,
        connection: Connection,
        listener: Listener,
        metrics: ControllerMetrics,
        patience_s: float = REFUSED_S,
    ) -> None:
        self._connection = connection
        self._listener = listener
        self._metrics = metrics
        self._stop = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._running: asyncio.Future[BaseException | None] | None = None
        self._refused: asyncio.Future[str] = self._loop.create_future()
        self._held = _Held()
        self._streams: weakref.WeakSet[asyncio.BaseTransport] = weakref.WeakSet()
        root = parse.urlsplit(connection.url).path
        self._followed = {
            root + resource.path(): _Followed(resource, patience_s)
            for resource in resources.WATCHED
        }

    @property
    def has_ended(self) -> bool:
        """Whether it watched, and does no longer."""
        return self._running is not None and self._running.done()

    async def run(self) -> None:
        """Watch until cancelled.

        Raises:
            ClusterError: it ended by itself, or is refused; whatever it knew is stale.
        """
        # A thread, for kopf cancels what it finds on its loop when it ends. No executor's: those
        # are waited for when the process ends, and a watch that got stuck would keep it.
        self._running = self._loop.create_future()
        threading.Thread(target=self._run, name="watch", daemon=True).start()
        try:
            ends: list[asyncio.Future[Any]] = [self._running, self._refused]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._stop.set()
            await asyncio.wait([self._running], timeout=_END_S)
        if self._refused.done():
            raise errors.ClusterError(self._refused.result())
        if self._running.done() and (why := self._running.result()) is not None:
            raise why
        raise errors.ClusterError("the watch of the API server ended; starting anew")

    def _run(self) -> None:
        why: BaseException | None = None
        try:
            why = asyncio.run(self._operate())
        finally:
            with contextlib.suppress(RuntimeError):  # nobody waits any more, its loop is closed
                self._loop.call_soon_threadsafe(self._ended, why)

    async def _operate(self) -> BaseException | None:
        """Watch until told to stop; what kopf raised, for who waits in the other thread."""
        operator = kopf.operator(
            registry=self._registry(),
            settings=_settings(),
            standalone=True,
            clusterwide=True,
            # Else it asks for its user's name, and an image has none; the type is a str of kopf's.
            identity=names.FIELD_MANAGER,  # type: ignore[arg-type]
            stop_flag=self._stop,
        )
        (raised,) = await asyncio.gather(operator, return_exceptions=True)
        # kopf waits for the flag in a thread, for which asyncio would wait for ever.
        self._stop.set()
        await self._hang_up()
        return raised

    async def _hang_up(self) -> None:
        """A farewell in TLS waits for the server's, and the loop ends before that comes."""
        for stream in self._streams:
            if isinstance(stream, asyncio.WriteTransport):
                stream.abort()
        await asyncio.sleep(0)

    def _ended(self, why: BaseException | None) -> None:
        if self._running is not None and not self._running.done():
            self._running.set_result(why)

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
            self._held.drop(self._listener.vanished())
            snapshot = self._held.take(resource, event)
            self._loop.call_soon_threadsafe(self._listener.tell, snapshot)

        return tell

    def _trace(self) -> aiohttp.TraceConfig:
        """What kopf asks, and is answered: it tells nobody, but its requests do."""
        trace = aiohttp.TraceConfig()

        async def answered(
            _: aiohttp.ClientSession, __: object, ended: aiohttp.TraceRequestEndParams
        ) -> None:
            followed = self._followed.get(ended.url.path)
            if followed is None:
                return
            if (connection := ended.response.connection) and connection.transport:
                self._streams.add(connection.transport)
            if ended.response.status in _REFUSALS:
                # kopf closes the session of all watches on a 401, and some never come back.
                is_for_good = ended.response.status == _UNAUTHORIZED
                body = await _body(ended.response)
                self._note_refusal(followed, body, is_for_good=is_for_good)
            elif ended.response.status != _OK:
                followed.was_away = True
            elif "watch" not in ended.url.query:
                followed.was_away = followed.was_away or followed.watches > 0
            else:
                self._note_beginning(followed, ended.url.query.get("resourceVersion", ""))

        async def lost(
            _: aiohttp.ClientSession, __: object, ended: aiohttp.TraceRequestExceptionParams
        ) -> None:
            if followed := self._followed.get(ended.url.path):
                followed.was_away = True

        trace.on_request_end.append(answered)
        trace.on_request_exception.append(lost)
        return trace

    def _note_beginning(self, followed: "_Followed", since: str) -> None:
        """The watch begins: the list before it is complete, and what goes from now on is told."""
        followed.refused_since_s = None
        resource, is_first = followed.resource, not followed.watches
        followed.watches += 1
        if is_first:
            followed.was_away = False
            return
        self._metrics.watch_restarts.labels(resource.kind).inc()
        if since.isdecimal():
            self._loop.call_soon_threadsafe(self._listener.resumed, resource, int(since))
        if followed.was_away:
            self._loop.call_soon_threadsafe(self._listener.listed_anew, resource)
        followed.was_away = False

    def _note_refusal(self, followed: "_Followed", answer: bytes, *, is_for_good: bool) -> None:
        followed.was_away = True
        kind = followed.resource.kind
        self._metrics.api.errors.labels("watch", kind, "forbidden").inc()
        if followed.is_refused(asyncio.get_running_loop().time()) or is_for_good:
            said = _words(answer)
            self._loop.call_soon_threadsafe(self._end, f"watch {kind}: {said}")

    def _end(self, why: str) -> None:
        if not self._refused.done():
            self._refused.set_result(why)


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """What the server said; nothing when kopf, which closes its session on a 401, was faster."""
    try:
        return await response.read()
    except (RuntimeError, aiohttp.ClientError):
        return b""


class _Followed:
    """What was asked about one kind.

    Attributes:
        watches: how many were begun.
        was_away: the last one may have missed something.
        refused_since_s: None = it is not.
    """

    def __init__(self, resource: Resource, patience_s: float) -> None:
        self.resource = resource
        self.watches = 0
        self.was_away = False
        self.refused_since_s: float | None = None
        self._patience_s = patience_s

    def is_refused(self, now_s: float) -> bool:
        """It was, once more; whether that is for good."""
        if self.refused_since_s is None:
            self.refused_since_s = now_s
        return not self.watches or now_s - self.refused_since_s >= self._patience_s


def _words(answer: bytes) -> str:
    try:
        said = shapes.text(json.loads(answer), "message")
    except ValueError:
        said = ""
    return said[:_WORDS] or "refused"


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

    def drop(self, uids: Iterable[str]) -> None:
        """They are gone, and no event said so."""
        gone = frozenset(uids)
        if not gone:
            return
        for kinds in self._namespaces.values():
            for of_kind in kinds.values():
                for uid in gone & of_kind.keys():
                    del of_kind[uid]

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
        return _snapshot(name, kinds, resource, seen.revision(value) if is_deleted else 0)


def _compact(resource: Resource, value: shapes.Object) -> object:
    match resource.kind:
        case resources.NAMESPACES.kind:
            return seen.namespace_of(value)
        case resources.CONFIG_MAPS.kind:
            return seen.config_map_of(value)
        case resources.NETWORK_POLICIES.kind:
            return seen.network_policy_of(value)
        case resources.APPROVAL_REQUESTS.kind:
            return seen.request_of(value)
        case resources.AUDIT_QUERIES.kind:
            return seen.query_of(value)
        case _:
            return seen.object_of(value)


def _snapshot(
    name: str, kinds: Mapping[str, Mapping[str, object]], told: Resource, deleted: int
) -> seen.Snapshot:
    return seen.Snapshot(
        name=name,
        namespaces=_values(kinds, resources.NAMESPACES, seen.Namespace),
        policies=_values(kinds, resources.AGENT_POLICIES, seen.Object),
        sources=_values(kinds, resources.TOOL_SOURCES, seen.Object),
        grants=_values(kinds, resources.GRANTS, seen.Object),
        requests=_values(kinds, resources.APPROVAL_REQUESTS, seen.Object),
        queries=_values(kinds, resources.AUDIT_QUERIES, seen.Object),
        config_maps=_values(kinds, resources.CONFIG_MAPS, seen.ConfigMap),
        network_policies=_values(kinds, resources.NETWORK_POLICIES, seen.NetworkPolicy),
        deleted_revision=deleted if told is resources.CONFIG_MAPS else 0,
        deleted_network_revision=deleted if told is resources.NETWORK_POLICIES else 0,
    )


def _values(
    kinds: Mapping[str, Mapping[str, object]], resource: Resource, of: type[_Value]
) -> tuple[_Value, ...]:
    found = kinds.get(resource.kind, {}).values()
    return tuple(value for value in found if isinstance(value, of))
