"""The keys that this cluster signs service accounts' tokens with, as its API server tells them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import jwt

from mesh7_core import errors
from mesh7_operator.cluster import shapes

CONFIGURATION: Final = "/.well-known/openid-configuration"
KEYS: Final = "/openid/v1/jwks"
Fetch = Callable[[str], Awaitable[shapes.Object]]
"""A document of the API server by its path; raises ClusterError."""

_LOG: Final = logging.getLogger(__name__)
_FRESH_S: Final = 300.0
_PAUSE_S: Final = 30.0
"""Between two questions: made-up key names must not become questions to the API server."""
_FIRST_PAUSE_S: Final = 1.0
"""The same as long as nothing can be answered without the keys."""
_MOST_KEYS: Final = 100
_KINDS: Final = ("RSA", "EC")


class Issuer:
    """Who signs tokens here.

    Args:
        fetch: asks the API server.
        monotonic_s: a clock that never goes back.

    Attributes:
        name: what tokens say in `iss`; empty before the first `key`.
    """

    def __init__(self, fetch: Fetch, monotonic_s: Callable[[], float]) -> None:
        self.name = ""
        self._fetch = fetch
        self._monotonic_s = monotonic_s
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._read_at_s = float("-inf")
        self._asked_at_s = float("-inf")
        self._asking = asyncio.Lock()

    @property
    def is_known(self) -> bool:
        """Whether keys were ever read."""
        return bool(self.name)

    async def key(self, identifier: str) -> jwt.PyJWK | None:
        """The key of that name; None = this cluster has none.

        Keys that were read stay in use while the API server is away.

        Raises:
            ClusterError: the keys were never read, and cannot be now.
        """
        if self._is_due(identifier):
            async with self._asking:
                # Whoever waited for another's question need not ask it again.
                if self._is_due(identifier):
                    await self._ask()
        if not self.is_known:
            raise errors.ClusterError("the API server's keys are not known yet")
        return self._keys.get(identifier)

    def _is_due(self, identifier: str) -> bool:
        now_s = self._monotonic_s()
        is_stale = now_s - self._read_at_s >= _FRESH_S or identifier not in self._keys
        pause_s = _PAUSE_S if self.is_known else _FIRST_PAUSE_S
        return is_stale and now_s - self._asked_at_s >= pause_s

    async def _ask(self) -> None:
        self._asked_at_s = self._monotonic_s()
        try:
            configuration = await self._fetch(CONFIGURATION)
            found = await self._fetch(KEYS)
        except errors.ClusterError as error:
            _LOG.warning("the API server's keys cannot be read", extra={"error": error.message})
            return
        name, keys = shapes.text(configuration, "issuer"), _keys(found)
        if not name or not keys:
            _LOG.warning("the API server names no issuer, or no key of its own")
            return
        self.name, self._keys, self._read_at_s = name, keys, self._monotonic_s()


def _keys(found: shapes.Object) -> dict[str, jwt.PyJWK]:
    keys = {}
    for entry in shapes.sequence(found, "keys")[:_MOST_KEYS]:
        name = shapes.text(entry, "kid")
        if name and shapes.text(entry, "kty") in _KINDS:
            try:
                keys[name] = jwt.PyJWK(dict(shapes.mapping(entry)))
            except jwt.PyJWTError:
                _LOG.warning("a key of the API server cannot be used", extra={"key": name[:64]})
    return keys
