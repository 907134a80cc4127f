"""The signing keys and stamp keys as last read; everything is reconciled when they change."""

from collections.abc import Callable

from mesh7_core import errors
from mesh7_operator.cluster import signing
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.cluster.signing import Keyring, Randomness
from mesh7_operator.reconciling.world import Keys


class Keyrings:
    """What bundles are signed with.

    Args:
        changed: told when it is another key than before.
    """

    def __init__(
        self, api: ApiServer, namespace: str, random: Randomness, changed: Callable[[], None]
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._random = random
        self._changed = changed
        self._keys: Keys | None = None

    @property
    def keys(self) -> Keys:
        """As last read; `start` comes first."""
        if self._keys is None:
            raise errors.ClusterError("signing keys: not read yet")
        return self._keys

    async def start(self) -> None:
        """Read them, and make them when there are none.

        Raises:
            ClusterError: neither can be done.
        """
        keyring = await signing.ensure(self._api, self._namespace, self._random)
        await self._take(keyring)

    async def look(self) -> None:
        """Read them again.

        Raises:
            ClusterError: they cannot be read, or are gone; those that were read last stay in use.
        """
        keyring = await signing.read(self._api, self._namespace)
        if keyring is None:
            raise errors.ClusterError(
                f"Secret `{self._namespace}/{signing.SECRET}`: is gone; restore it from a backup"
            )
        await self._take(keyring)

    async def _take(self, keyring: Keyring) -> None:
        stamps = await signing.read_stamps(self._api, self._namespace)
        found = Keys(signer=keyring.current, links=keyring.links, stamps=stamps)
        before, self._keys = self._keys, found
        if before is not None and before != found:
            self._changed()
