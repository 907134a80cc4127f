"""A lean client of the API server: what the operator asks of it, with the errors it can answer.

Repeated where nothing can be done twice by it: 429 always (the server did not begin), 5xx and lost
connections only for requests that say the same thing twice.
"""

import asyncio
import contextlib
import copy
import json
import math
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Final, Self

import aiohttp

from mesh7_core import names
from mesh7_operator.cluster import api_errors, shapes
from mesh7_operator.cluster.api_errors import (
    ApiError,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    TooLate,
    Unavailable,
)
from mesh7_operator.cluster.asking import Body, Request
from mesh7_operator.cluster.connection import Connection
from mesh7_operator.cluster.resources import Resource
from mesh7_operator.metrics import ApiMetrics

__all__ = [
    "PAGE", "ApiError", "ApiServer", "Conflict", "Forbidden", "Gone", "Invalid", "NotFound",
    "TooLate", "Unavailable",
]  # fmt: skip

PAGE: Final = 500
_JSON_PATCH: Final = "application/json-patch+json"
_TIMEOUT_S: Final = 10.0
_CONCURRENT: Final = 32
_ATTEMPTS: Final = 4
_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 5.0
_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500
_MESSAGE: Final = 500
_REPEATABLE: Final = frozenset({"get", "list", "apply", "delete"})
_DELETE_OPTIONS: Final = {"apiVersion": "v1", "kind": "DeleteOptions"}
_ONE_METADATA: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_METADATA_ONLY: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class ApiServer:
    """One API server, as one of our programs.

    Args:
        connection: where it is and who we are.
        metrics: counts what it did not do.
    """

    def __init__(self, connection: Connection, metrics: ApiMetrics) -> None:
        self._url = connection.url
        self._session = connection.session()
        self._metrics = metrics
        self._places = asyncio.Semaphore(_CONCURRENT)
        self._left_s: Callable[[], float] = lambda: math.inf

    def while_left(self, left_s: Callable[[], float]) -> Self:
        """The same server for somebody who may ask it for a time only; close the first one.

        Args:
            left_s: how long that is from now on; asked before each attempt, and an attempt that is
                under way then is given up.
        """
        fenced = copy.copy(self)
        fenced._left_s = left_s  # noqa: SLF001 - of our own class
        return fenced

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def get(self, resource: Resource, namespace: str, name: str) -> shapes.Object:
        """One object.

        Raises:
            ApiError: there is none, or it was not answered.
        """
        return await self._ask(Request("get", "GET", resource, namespace, name))

    async def get_metadata(self, resource: Resource, namespace: str, name: str) -> shapes.Object:
        """The same, nothing but its metadata."""
        headers = {"Accept": _ONE_METADATA}
        return await self._ask(Request("get", "GET", resource, namespace, name, headers=headers))

    async def list(
        self, resource: Resource, namespace: str = "", *, fields: str = ""
    ) -> AsyncIterator[shapes.Object]:
        """All objects, page by page; of a namespace, or of all.

        Args:
            fields: a field selector; empty = all.

        Raises:
            ApiError: not answered; `Gone` when the pages took longer than the server remembers.
        """
        async for item in self._pages(resource, namespace, fields, {}):
            yield item

    async def list_remembered(
        self, resource: Resource, namespace: str
    ) -> AsyncIterator[shapes.Object]:
        """All objects of a namespace as the API server's cache has them: some moments old.

        What is written elsewhere keeps a list of the newest state waiting for its next sign of
        progress, 100 ms; this one is answered at once.

        Raises:
            ApiError: not answered.
        """
        async for item in self._remembered(resource, namespace, {}):
            yield item

    async def list_metadata_remembered(
        self, resource: Resource, namespace: str
    ) -> AsyncIterator[shapes.Object]:
        """The same, nothing but their metadata."""
        async for item in self._remembered(resource, namespace, {"Accept": _METADATA_ONLY}):
            yield item

    async def _remembered(
        self, resource: Resource, namespace: str, headers: Mapping[str, str]
    ) -> AsyncIterator[shapes.Object]:
        query = {"resourceVersion": "0"}
        request = Request("list", "GET", resource, namespace, query=query, headers=headers)
        for item in shapes.sequence(await self._ask(request), "items"):
            yield shapes.mapping(item)

    async def list_metadata(
        self, resource: Resource, *, fields: str = ""
    ) -> AsyncIterator[shapes.Object]:
        """The same of all namespaces, nothing but their metadata."""
        async for item in self._pages(resource, "", fields, {"Accept": _METADATA_ONLY}):
            yield item

    async def revision(self, resource: Resource, *, fields: str = "") -> int:
        """The newest version of anything by now; 0 = the server does not say.

        Raises:
            ApiError: not answered.
        """
        query = {"limit": "1", **({"fieldSelector": fields} if fields else {})}
        request = Request("list", "GET", resource, query=query, headers={"Accept": _METADATA_ONLY})
        text = shapes.text(await self._ask(request), "metadata", "resourceVersion")
        return int(text) if text.isascii() and text.isdecimal() else 0

    async def create(
        self, resource: Resource, namespace: str, manifest: shapes.Object
    ) -> shapes.Object:
        """Make a new one; a review is answered with its status.

        Raises:
            Conflict: there is one of that name.
            ApiError: refused, or not answered.
        """
        return await self._ask(Request("create", "POST", resource, namespace, body=manifest))

    async def rehearse(
        self, resource: Resource, namespace: str, manifest: shapes.Object
    ) -> shapes.Object:
        """What would be stored if this were made: admission is asked, nothing is kept.

        Raises:
            ApiError: it would be refused, or was not answered.
        """
        request = Request(
            "rehearse", "POST", resource, namespace, body=manifest, query={"dryRun": "All"}
        )
        return await self._ask(request)

    async def apply(
        self, resource: Resource, namespace: str, name: str, manifest: shapes.Object
    ) -> shapes.Object:
        """Server-side apply as `mesh7-controller`, taking over what others own of it.

        Raises:
            ApiError: refused, or not answered.
        """
        target = (resource, namespace, name, "")
        return await self._patch(target, manifest, "application/apply-patch+yaml", force="true")

    async def merge(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: shapes.Object,
        *,
        subresource: str = "",
    ) -> shapes.Object:
        """JSON merge patch: None removes.

        Raises:
            ApiError: refused, or not answered.
        """
        where = (resource, namespace, name, subresource)
        return await self._patch(where, patch, "application/merge-patch+json")

    async def set_status(
        self, resource: Resource, namespace: str, name: str, uid: str, status: shapes.Object
    ) -> shapes.Object:
        """Replace the whole status of this very object.

        Raises:
            NotFound, Invalid: it is gone, or another of that name has come.
            ApiError: refused, or not answered.
        """
        test = {"op": "test", "path": "/metadata/uid", "value": uid}
        change = {"op": "add", "path": "/status", "value": status}
        return await self._patch((resource, namespace, name, "status"), [test, change], _JSON_PATCH)

    async def patch(
        self, resource: Resource, namespace: str, name: str, operations: Sequence[shapes.Object]
    ) -> shapes.Object:
        """JSON patch, all of it or nothing.

        Raises:
            Invalid: it cannot be applied; `is_failed_test` when a test of it failed.
            ApiError: refused, or not answered.
        """
        return await self._patch((resource, namespace, name, ""), operations, _JSON_PATCH)

    async def _patch(
        self, target: tuple[Resource, str, str, str], body: object, content_type: str, **more: str
    ) -> shapes.Object:
        query = {"fieldManager": names.FIELD_MANAGER, **more}
        return await self._ask(
            Request("apply", "PATCH", *target, body=body, content_type=content_type, query=query)
        )

    async def replace(
        self, resource: Resource, namespace: str, name: str, manifest: shapes.Object
    ) -> shapes.Object:
        """Put it in the place of the version that its `resourceVersion` names.

        Raises:
            Conflict: there is a newer version.
            ApiError: refused, or not answered.
        """
        return await self._ask(Request("replace", "PUT", resource, namespace, name, body=manifest))

    async def delete(self, resource: Resource, namespace: str, name: str, uid: str = "") -> None:
        """See that there is none; it is fine when there was none.

        Args:
            uid: of the one that is meant; empty = whichever has that name.

        Raises:
            Conflict: another of that name has come.
            ApiError: refused, or not answered.
        """
        options = {**_DELETE_OPTIONS, **({"preconditions": {"uid": uid}} if uid else {})}
        with contextlib.suppress(NotFound):
            await self._ask(Request("delete", "DELETE", resource, namespace, name, body=options))

    async def _pages(
        self, resource: Resource, namespace: str, fields: str, headers: Mapping[str, str]
    ) -> AsyncIterator[shapes.Object]:
        query = {"limit": str(PAGE)}
        if fields:
            query["fieldSelector"] = fields
        while True:
            request = Request("list", "GET", resource, namespace, query=query, headers=headers)
            page = await self._ask(request)
            for item in shapes.sequence(page, "items"):
                yield shapes.mapping(item)
            token = shapes.text(page, "metadata", "continue")
            if not token:
                return
            query["continue"] = token

    async def _ask(self, request: Request) -> shapes.Object:
        pause_s = _FIRST_PAUSE_S
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return await self._try(request)
            except _Refused as refused:
                is_last = attempt == _ATTEMPTS or not refused.may_repeat(request.verb)
                if is_last:
                    self._count(request, refused.error)
                    raise refused.error from refused.__cause__
                wait_s = max(refused.retry_after_s, pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            await asyncio.sleep(min(wait_s, _LONGEST_PAUSE_S))
            pause_s *= 2
        raise AssertionError  # the last attempt returns or raises

    def _count(self, request: Request, error: ApiError) -> None:
        # Whoever reads or makes what may be missing or there already expects that answer.
        if not isinstance(error, NotFound | Conflict | TooLate):
            self._metrics.errors.labels(request.verb, request.resource.kind, error.word).inc()

    async def _try(self, request: Request) -> shapes.Object:
        try:
            async with self._places, asyncio.timeout(self._patience_s(request)):
                return await self._send(request)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._patience_s(request)
            text = f"{request.shown}: not answered: {str(error) or type(error).__name__}"
            raise _Refused(Unavailable(text), is_begun=True) from error

    def _patience_s(self, request: Request) -> float:
        left_s = self._left_s()
        if left_s <= 0:
            raise _Refused(TooLate(f"{request.shown}: no longer leading"), is_begun=True)
        return min(left_s, _TIMEOUT_S)

    async def _send(self, request: Request) -> shapes.Object:
        async with self._session.request(
            request.method,
            self._url + request.path,
            params=request.query,
            data=None if request.body is None else Body(request, self._left_s),
            headers={"Content-Type": request.content_type, **request.headers},
        ) as response:
            answer = await response.read()
        if response.ok:
            return _read(answer)
        kind = api_errors.BY_STATUS.get(
            response.status, Unavailable if response.status >= _SERVER_ERROR else ApiError
        )
        said = shapes.text(_read(answer), "message") or f"HTTP {response.status}"
        raise _Refused(
            kind(f"{request.shown}: {said[:_MESSAGE]}"),
            is_begun=response.status != _TOO_MANY,
            retry_after_s=_seconds(response.headers.get("Retry-After", "")),
        )


class _Refused(Exception):  # noqa: N818
    def __init__(self, error: ApiError, *, is_begun: bool, retry_after_s: float = 0.0) -> None:
        super().__init__(error.message)
        self.error = error
        self.is_begun = is_begun
        self.retry_after_s = retry_after_s

    def may_repeat(self, verb: str) -> bool:
        """Whether asking again cannot do it twice, and may help."""
        if not isinstance(self.error, Unavailable):
            return False
        return not self.is_begun or verb in _REPEATABLE


def _read(answer: bytes) -> shapes.Object:
    try:
        return shapes.mapping(json.loads(answer))
    except ValueError:
        return {}


def _seconds(text: str) -> float:
    return float(text) if text.isascii() and text.isdecimal() else 0.0
