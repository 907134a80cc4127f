"""What the exchange asks the API server: its documents, whether a token holds, who is enrolled."""

import asyncio
import json
from collections.abc import Callable
from typing import Final, Protocol

import aiohttp

from mesh7_core import errors, names
from mesh7_core.injection import enrolment
from mesh7_operator.cluster import api_server, resources, shapes
from mesh7_operator.cluster.connection import Connection
from mesh7_operator.exchange.tokens import Claims, Refusal, Refused

_TIMEOUT_S: Final = 5.0
_MOST_BYTES: Final = 256 * 1024
_REMEMBERED_S: Final = 10.0
_MOST_NAMESPACES: Final = 10_000
_EXTRA: Final = "authentication.kubernetes.io"


class Api(Protocol):
    """As much of `cluster.api_server.ApiServer` as is needed here."""

    async def get(self, resource: resources.Resource, namespace: str, name: str) -> shapes.Object:
        """One object; raises `NotFound` or another ClusterError."""

    async def create(
        self, resource: resources.Resource, namespace: str, manifest: shapes.Object
    ) -> shapes.Object:
        """Make one; a review is answered with its status. Raises ClusterError."""


class Documents:
    """Documents of the API server that are no objects."""

    def __init__(self, connection: Connection) -> None:
        self._url = connection.url
        self._session = connection.session()

    async def fetch(self, path: str) -> shapes.Object:
        """One document.

        Raises:
            ClusterError: it was not answered, or is no JSON object.
        """
        try:
            async with (
                asyncio.timeout(_TIMEOUT_S),
                self._session.get(self._url + path, allow_redirects=False) as response,
            ):
                text = b""
                while len(text) < _MOST_BYTES and (piece := await response.content.readany()):
                    text += piece
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise errors.ClusterError(
                f"get `{path}`: not answered: {str(error) or 'in time'}"
            ) from error
        if not response.ok:
            raise errors.ClusterError(
                f"get `{path}`: HTTP {response.status}; the exchange's service account needs the "
                "ClusterRole `system:service-account-issuer-discovery`"
            )
        try:
            return shapes.mapping(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise errors.ClusterError(f"get `{path}`: no JSON is answered") from error

    async def close(self) -> None:
        """Ask no more."""
        await self._session.close()


async def review(api: Api, token: str, claims: Claims) -> Refused | None:
    """Ask whether the token holds: its pod exists, and nobody has deleted it or the account.

    Raises:
        ClusterError: not answered.
    """
    answer = await api.create(resources.TOKEN_REVIEWS, "", {
        "apiVersion": resources.TOKEN_REVIEWS.api_version,
        "kind": resources.TOKEN_REVIEWS.kind,
        "spec": {"token": token, "audiences": [names.TOKEN_AUDIENCE]},
    })  # fmt: skip
    status = shapes.mapping(answer, "status")
    extra = shapes.mapping(status, "user", "extra")
    is_held = (
        status.get("authenticated") is True
        and names.TOKEN_AUDIENCE in shapes.sequence(status, "audiences")
        and shapes.text(status, "user", "username") == claims.user
        and list(shapes.sequence(extra, f"{_EXTRA}/pod-name")) == [claims.pod]
        and list(shapes.sequence(extra, f"{_EXTRA}/pod-uid")) == [claims.uid]
    )
    if is_held:
        return None
    return Refused(
        refusal=Refusal.REVOKED,
        detail="the API server no longer takes the token: its pod or service account is gone",
    )


class Enrolment:
    """Which namespaces are served; remembered for ten seconds.

    Args:
        release_namespace: never served.
    """

    def __init__(self, api: Api, release_namespace: str, monotonic_s: Callable[[], float]) -> None:
        self._api = api
        self._release_namespace = release_namespace
        self._monotonic_s = monotonic_s
        self._known: dict[str, tuple[float, bool]] = {}

    async def refuses(self, namespace: str) -> Refused | None:
        """Why it is not served; None when it is.

        Raises:
            ClusterError: not answered.
        """
        now_s = self._monotonic_s()
        read_at_s, is_enrolled = self._known.get(namespace, (float("-inf"), False))
        if now_s - read_at_s >= _REMEMBERED_S:
            is_enrolled = await self._look(namespace)
            if len(self._known) >= _MOST_NAMESPACES:
                self._known.clear()
            self._known[namespace] = (now_s, is_enrolled)
        if is_enrolled:
            return None
        return Refused(
            refusal=Refusal.NOT_ENROLLED,
            detail=(
                f"the namespace `{namespace}` is not enrolled; it needs the label"
                f" `{names.INJECTION_LABEL}`"
            ),
        )

    async def _look(self, namespace: str) -> bool:
        if namespace == self._release_namespace:
            return False
        try:
            found = await self._api.get(resources.NAMESPACES, "", namespace)
        except api_server.NotFound:
            return False
        labels = shapes.texts(found, "metadata", "labels")
        return enrolment.is_enrolled(namespace, labels, self._release_namespace)
