"""An API server that fails as real ones do but cannot be told to: 429, 410, 500, cut watches.

It keeps objects in memory, and lists, watches and writes them. What it does it does as a real one:
`tests/operator/cluster/api_contract.py` holds both to the same. It does nothing else: no
validation, no apply, no rights, no finalizers.
"""

import asyncio
import copy
import itertools
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from mesh7_operator.cluster import resources
from mesh7_operator.cluster.connection import Connection
from mesh7_operator.cluster.resources import Resource
from tests.fakes.api_objects import Object, Objects, Refused

_KNOWN = (
    *resources.WATCHED,
    resources.LEASES,
    resources.SECRETS,
    resources.PODS,
    resources.EVENTS,
    resources.DEPLOYMENTS,
    *resources.WEBHOOKS,
)
_VERBS = ["get", "list", "watch", "patch", "create", "delete"]
_MERGE = "application/merge-patch+json"
_JSON_PATCH = "application/json-patch+json"
_NOT_APPLIED = "the server rejected our request due to an error in our request"


@dataclass(frozen=True, slots=True)
class _Target:
    """What a path is about; without a name it is the collection."""

    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""


class ApiServer:
    """The server.

    Attributes:
        asked: method and path of each request, oldest first.
        queries: of the same requests.
        troubles: answers to come instead of the real ones: status and headers.
        troubled_path: requests whose path ends so get them; empty = all do.
        deaf_to: the next request with this method is done, and answered as if it were not.
        answers: objects by path, beside those that are kept.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.queries: list[dict[str, str]] = []
        self.troubles: list[tuple[int, dict[str, str]]] = []
        self.troubled_path = self.troubled_method = self.deaf_to = ""
        self.answers: dict[str, Mapping[str, Any]] = {}
        self.url = ""
        self._versions = itertools.count(100)
        self._pages: dict[str, list[Object]] = {}
        self._told: dict[str, list[Object]] = {}
        self._watches: dict[str, dict[asyncio.Queue[Object | None], dict[str, str]]] = {}
        self._objects = {one.path(): self._none_of(one) for one in _KNOWN}

    @property
    def connection(self) -> Connection:
        """How a client reaches it."""
        return Connection(url=self.url, tls=None, token="of-a-test")  # noqa: S106

    def put(self, resource: Resource, value: Mapping[str, Any]) -> Object:
        """Have an object, and tell watches of it."""
        return self._kept(resource).put(value)

    def remove(self, resource: Resource, namespace: str, name: str) -> None:
        """Have it no longer, and tell watches of it."""
        self._kept(resource).delete((namespace, name))

    def forget_watches(self, resource: Resource, *removed: tuple[str, str]) -> None:
        """Objects go while all watches of the kind are lost, too long ago to be told: 410."""
        for key in removed:
            self._kept(resource).lose(key)
        gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
        for queue in self._watches.get(resource.path(), {}):
            queue.put_nowait({"type": "ERROR", "object": gone})
            queue.put_nowait(None)

    def is_watched(self, resource: Resource) -> bool:
        """Whether somebody watches a kind at this moment."""
        return bool(self._watches.get(resource.path()))

    def cut_watches(self) -> None:
        """All watches end, as they do every few minutes."""
        for queue in (queue for some in self._watches.values() for queue in some):
            queue.put_nowait(None)

    def _none_of(self, resource: Resource) -> Objects:
        def tell(kind: str, value: Object) -> None:
            event = {"type": kind, "object": copy.deepcopy(value)}
            self._told.setdefault(resource.path(), []).append(event)
            for queue, fields in self._watches.get(resource.path(), {}).items():
                if _is_selected(value, fields):
                    queue.put_nowait(event)

        return Objects(resource, self._versions, tell)

    def _kept(self, resource: Resource) -> Objects:
        return self._objects[resource.path()]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        self.asked.append((request.method, request.path))
        self.queries.append(dict(request.query))
        is_troubled = request.path.endswith(self.troubled_path)
        if self.troubles and is_troubled and request.method.startswith(self.troubled_method):
            status, headers = self.troubles.pop(0)
            return web.json_response({"message": "in trouble"}, status=status, headers=headers)
        found = DISCOVERY.get(request.path) or self.answers.get(request.path)
        if found is not None:
            return web.json_response(found)
        try:
            target = _target(request.path)
            if "watch" in request.query:
                return await self._watch(request, target)
            done = await self._act(request, target)
            if request.method != self.deaf_to:
                return done
            self.deaf_to = ""
            return web.json_response({"message": "in trouble"}, status=504)
        except Refused as refused:
            return web.json_response({"message": refused.message}, status=refused.status)

    async def _act(self, request: web.Request, target: _Target) -> web.Response:
        objects, key = self._kept(target.resource), (target.namespace, target.name)
        match request.method, bool(target.name), target.subresource:
            case "GET", False, "":
                return web.json_response(self._list(request, target))
            case "GET", True, "":
                found = objects.get(key)
                if "as=PartialObjectMetadata;" in request.headers.get("Accept", ""):
                    found = {"metadata": found["metadata"]}
                return web.json_response(found)
            case "POST", False, "":
                self._require_namespace(target)
                made = objects.create(target.namespace, await request.json())
                return web.json_response(made, status=201)
            case "PUT", True, "":
                return web.json_response(objects.replace(key, await request.json()))
            case "PATCH", True, "" | "scale" if request.content_type == _MERGE:
                return web.json_response(objects.merge(key, await request.json()))
            case "PATCH", True, "status" if request.content_type == _JSON_PATCH:
                status = _new_status(objects.get(key), await request.json())
                return web.json_response(objects.set_status(key, status))
            case "DELETE", True, "":
                meant = (await request.json()).get("preconditions", {}).get("uid")
                return web.json_response(objects.delete(key, meant))
            case _:
                raise Refused(405, "the fake does not do that")

    def _require_namespace(self, target: _Target) -> None:
        if target.resource.is_namespaced:
            self._kept(resources.NAMESPACES).get(("", target.namespace))

    def _list(self, request: web.Request, target: _Target) -> Object:
        resource, token = target.resource, request.query.get("continue", "")
        items = self._pages.pop(token, None) if token else None
        if items is None:
            fields = _fields(request)
            kept = self._kept(resource).listed(target.namespace)
            items = [one for one in kept if _is_selected(one, fields)]
        limit = int(request.query.get("limit", "0")) or len(items)
        page, rest = items[:limit], items[limit:]
        metadata = {"resourceVersion": str(self._newest())}
        if rest:
            metadata["continue"] = f"page-{next(self._versions)}"
            self._pages[metadata["continue"]] = rest
        if "PartialObjectMetadataList" in request.headers.get("Accept", ""):
            page = [{"metadata": one["metadata"]} for one in page]
        elif resource.kind not in resources.OURS:
            page = [_without_kind(one) for one in page]
        about = {"apiVersion": resource.api_version, "kind": f"{resource.kind}List"}
        return {**about, "metadata": metadata, "items": page}

    def _newest(self) -> int:
        told = [events[-1] for events in self._told.values()]
        return max((int(one["object"]["metadata"]["resourceVersion"]) for one in told), default=1)

    async def _watch(self, request: web.Request, target: _Target) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        queue: asyncio.Queue[Object | None] = asyncio.Queue()
        since, fields = int(request.query.get("resourceVersion", "0")), _fields(request)
        path = target.resource.path()
        for past in self._told.get(path, []):
            is_new = int(past["object"]["metadata"]["resourceVersion"]) > since
            if is_new and _is_selected(past["object"], fields):
                queue.put_nowait(past)
        watches = self._watches.setdefault(path, {})
        watches[queue] = fields
        await response.prepare(request)
        try:
            while (event := await queue.get()) is not None:
                await response.write(json.dumps(event).encode() + b"\n")
        finally:
            del watches[queue]
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


def _target(path: str) -> _Target:
    for resource in _KNOWN:
        root = resource.path().removesuffix(resource.plural)
        parts = path.removeprefix(root).split("/") if path.startswith(root) else []
        namespace, is_within = "", len(parts) > 2 and parts[0] == "namespaces"
        if is_within:
            namespace, parts = parts[1], parts[2:]
        if parts and parts[0] == resource.plural and (resource.is_namespaced or not is_within):
            return _Target(resource, namespace, *parts[1:3])
    raise Refused(404, "the server could not find the requested resource")


def _fields(request: web.Request) -> dict[str, str]:
    written = request.query.get("fieldSelector", "")
    pairs = (part.split("=", 1) for part in written.split(",") if part)
    return {name.removeprefix("metadata."): value for name, value in pairs}


def _is_selected(value: Object, fields: Mapping[str, str]) -> bool:
    return all(value["metadata"].get(name, "") == wanted for name, wanted in fields.items())


def _without_kind(value: Object) -> Object:
    return {name: item for name, item in value.items() if name not in {"apiVersion", "kind"}}


def _new_status(value: Object, patch: list[Object]) -> object:
    """What a JSON patch makes of the status; only what the operator sends is understood."""
    status = value.get("status")
    for step in patch:
        match step:
            case {"op": "test", "path": "/metadata/uid", "value": uid}:
                if uid != value["metadata"]["uid"]:
                    raise Refused(422, _NOT_APPLIED)
            case {"op": "add", "path": "/status", "value": status}:
                pass
            case _:
                raise Refused(422, _NOT_APPLIED)
    return status


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


DISCOVERY: dict[str, dict[str, Any]] = {
    "/version": {"gitVersion": "v1.34.4"},
    "/api": {"versions": ["v1"]},
    "/apis": {"groups": _groups()},
    "/api/v1": _listed(""),
    **{f"/apis/{one.group}/{one.version}": _listed(one.group) for one in _KNOWN if one.group},
}
"""What clients ask first: path, and answer."""
