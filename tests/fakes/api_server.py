"""An API server that fails as real ones do but cannot be told to: 429, 410, 500, cut watches.

It keeps objects in memory, lists and watches them, and does nothing else that a real one does:
no validation, no apply, no rights. What it is like when it is well is tested on a real one (e2e).
"""

import asyncio
import copy
import itertools
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from mesh7_operator.cluster import resources
from mesh7_operator.cluster.connection import Connection
from mesh7_operator.cluster.resources import Resource

_KNOWN = (*resources.WATCHED, resources.LEASES, resources.SECRETS, resources.PODS, resources.EVENTS)
_VERBS = ["get", "list", "watch", "patch", "create", "delete"]


class ApiServer:
    """The server.

    Attributes:
        asked: method and path of each request, oldest first.
        troubles: answers to come instead of the real ones: status and headers.
        troubled_path: requests whose path ends so get them; empty = all do.
        answers: objects by path, beside those that are listed.
        lists: how often each kind was listed.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.troubles: list[tuple[int, dict[str, str]]] = []
        self.troubled_path = ""
        self.answers: dict[str, Mapping[str, Any]] = {}
        self.lists: dict[str, int] = {}
        self.url = ""
        self._versions = itertools.count(100)
        self._objects: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
        self._told: dict[str, list[dict[str, Any]]] = {}
        self._watches: dict[str, set[asyncio.Queue[dict[str, Any] | None]]] = {}

    @property
    def connection(self) -> Connection:
        """How a client reaches it."""
        return Connection(url=self.url, tls=None, token="of-a-test")  # noqa: S106

    def put(self, resource: Resource, value: Mapping[str, Any]) -> dict[str, Any]:
        """Have an object, and tell watches of it."""
        made = copy.deepcopy(dict(value))
        made["apiVersion"], made["kind"] = resource.api_version, resource.kind
        version = next(self._versions)
        made["metadata"] = {"uid": f"uid-{version}", **made["metadata"]}
        made["metadata"]["resourceVersion"] = str(version)
        key = (made["metadata"].get("namespace", ""), made["metadata"]["name"])
        before = self._kept(resource).get(key)
        self._kept(resource)[key] = made
        self._tell(resource, "MODIFIED" if before else "ADDED", made)
        return made

    def remove(self, resource: Resource, namespace: str, name: str) -> None:
        """Have it no longer, and tell watches of it."""
        gone = copy.deepcopy(self._kept(resource).pop((namespace, name)))
        gone["metadata"]["resourceVersion"] = str(next(self._versions))
        self._tell(resource, "DELETED", gone)

    def forget_watches(self, resource: Resource, *removed: tuple[str, str]) -> None:
        """Objects go while all watches of the kind are lost, too long ago to be told: 410."""
        for key in removed:
            del self._kept(resource)[key]
        gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
        for queue in self._watches.get(resource.path(), set()):
            queue.put_nowait({"type": "ERROR", "object": gone})
            queue.put_nowait(None)

    def is_watched(self, resource: Resource) -> bool:
        """Whether somebody watches a kind at this moment."""
        return bool(self._watches.get(resource.path()))

    def cut_watches(self) -> None:
        """All watches end, as they do every few minutes."""
        for queue in (queue for some in self._watches.values() for queue in some):
            queue.put_nowait(None)

    def _kept(self, resource: Resource) -> dict[tuple[str, str], dict[str, Any]]:
        return self._objects.setdefault(resource.path(), {})

    def _tell(self, resource: Resource, kind: str, value: Mapping[str, Any]) -> None:
        event = {"type": kind, "object": copy.deepcopy(dict(value))}
        self._told.setdefault(resource.path(), []).append(event)
        for queue in self._watches.get(resource.path(), set()):
            queue.put_nowait(event)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        self.asked.append((request.method, request.path))
        if self.troubles and request.path.endswith(self.troubled_path):
            status, headers = self.troubles.pop(0)
            return web.json_response({"message": "in trouble"}, status=status, headers=headers)
        found = _DISCOVERY.get(request.path) or self.answers.get(request.path)
        if found is not None:
            return web.json_response(found)
        for resource in _KNOWN:
            if request.path == resource.path() and request.method == "GET":
                if "watch" in request.query:
                    return await self._watch(request, resource)
                return self._list(resource)
        return web.json_response({"message": "no such thing"}, status=404)

    def _list(self, resource: Resource) -> web.Response:
        self.lists[resource.kind] = self.lists.get(resource.kind, 0) + 1
        version = str(next(self._versions))
        items = list(self._kept(resource).values())
        return web.json_response({"metadata": {"resourceVersion": version}, "items": items})

    async def _watch(self, request: web.Request, resource: Resource) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        since = int(request.query.get("resourceVersion", "0"))
        for past in self._told.get(resource.path(), []):
            if int(past["object"]["metadata"]["resourceVersion"]) > since:
                queue.put_nowait(past)
        watches = self._watches.setdefault(resource.path(), set())
        watches.add(queue)
        await response.prepare(request)
        try:
            while (event := await queue.get()) is not None:
                await response.write(json.dumps(event).encode() + b"\n")
        finally:
            watches.discard(queue)
        return response


@asynccontextmanager
async def serving() -> AsyncIterator[ApiServer]:
    """A server that answers while the block runs."""
    fake = ApiServer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.answer)
    server = TestServer(app)
    await server.start_server()
    fake.url = str(server.make_url("")).rstrip("/")
    try:
        yield fake
    finally:
        fake.cut_watches()
        await server.close()


def _listed(group: str) -> dict[str, Any]:
    return {
        "resources": [
            {
                "name": one.plural,
                "kind": one.kind,
                "singularName": one.kind.lower(),
                "namespaced": one.is_namespaced,
                "verbs": _VERBS,
            }
            for one in _KNOWN
            if one.group == group
        ]
    }


def _groups() -> list[dict[str, Any]]:
    versions = {one.group: one.version for one in _KNOWN if one.group}
    return [
        {
            "name": group,
            "versions": [{"version": version}],
            "preferredVersion": {"version": version},
        }
        for group, version in versions.items()
    ]


_DISCOVERY: dict[str, dict[str, Any]] = {
    "/version": {"gitVersion": "v1.34.4"},
    "/api": {"versions": ["v1"]},
    "/apis": {"groups": _groups()},
    "/api/v1": _listed(""),
    **{f"/apis/{one.group}/{one.version}": _listed(one.group) for one in _KNOWN if one.group},
}
