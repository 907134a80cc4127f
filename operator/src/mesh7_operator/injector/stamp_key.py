"""The stamp key: a file that only the injector is given, its public half published for all to see.

A key is used once its public half is in ConfigMap `mesh7-stamp-public`, for before that the
controller would honour no stamp of it. Public halves of earlier keys stay there, so that what they
stamped holds on; people remove them.
"""

from pathlib import Path
from typing import Final, Protocol

from mesh7_core import errors
from mesh7_core.delivery import keys, spelled
from mesh7_operator.cluster import api_server, resources, shapes, signing
from mesh7_operator.cluster.resources import Resource

_FLAG: Final = "--stamp-key-file"


class Api(Protocol):
    """As much of `cluster.api_server.ApiServer` as is needed here."""

    async def merge(
        self, resource: Resource, namespace: str, name: str, patch: shapes.Object
    ) -> shapes.Object:
        """JSON merge patch. Raises ClusterError."""


class StampKey:
    """The key in its file.

    Args:
        path: 32 random bytes, nothing else.
        namespace: the release namespace, where the public half is published.
    """

    def __init__(self, path: Path, api: Api, namespace: str) -> None:
        self._path = path
        self._api = api
        self._namespace = namespace
        self._key: keys.SigningKey | None = None

    @property
    def key(self) -> keys.SigningKey | None:
        """What is stamped with now; None = not yet anything."""
        return self._key

    async def refresh(self) -> bool:
        """Take up what lies there now; whether it is another than before.

        Raises:
            SettingsError: it is no key; the one before stays in use.
            ClusterError: its public half cannot be published; the one before stays in use.
        """
        found = self._read()
        if found == self._key:
            return False
        await self._publish(found.public)
        self._key = found
        return True

    def _read(self) -> keys.SigningKey:
        try:
            seed = self._path.read_bytes()
        except OSError as error:
            raise errors.SettingsError(
                f"{_FLAG} `{self._path}`: cannot be read: {error}"
            ) from error
        if len(seed) != signing.SEED_BYTES:
            raise errors.SettingsError(
                f"{_FLAG} `{self._path}`: has {len(seed)} bytes; put {signing.SEED_BYTES} random "
                "ones there"
            )
        return keys.SigningKey(seed)

    async def _publish(self, public: bytes) -> None:
        patch = {"data": {entry_of(public): spelled.to_base64(public)}}
        try:
            await self._api.merge(resources.CONFIG_MAPS, self._namespace, signing.STAMPS, patch)
        except api_server.NotFound as error:
            raise errors.ClusterError(
                f"ConfigMap `{self._namespace}/{signing.STAMPS}`: is not there; apply the manifests"
            ) from error


def entry_of(public: bytes) -> str:
    """Under which name a public key stands in the ConfigMap: keys there know no colon."""
    return keys.name_of(public).replace(":", "-")
