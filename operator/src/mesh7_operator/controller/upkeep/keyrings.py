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
        self._keyring: Keyring | None = None

    @property
    def keys(self) -> Keys:
        """As last read; `start` comes first."""
        if self._keys is None:
            raise errors.ClusterError("signing keys: not read yet")
        return self._keys

    async def start(self) -> None:
        """Read them, and make them when there never were any.

        Raises:
            ClusterError: neither can be done.
        """
        keyring = await signing.ensure(self._api, self._namespace, self._random)
        await self._take(keyring)

    async def look(self) -> None:
        """Read them again.

        Raises:
            ClusterError: they cannot be read, are gone, or are others to which nothing leads; those
                that were read last stay in use. Stamp keys are taken all the same.
        """
        refused: errors.ClusterError | None = None
        keyring = self._keyring
        try:
            keyring = await self._next()
        except errors.ClusterError as error:
            refused = error
        if keyring is not None:
            await self._take(keyring)
        if refused is not None:
            raise refused

    async def _next(self) -> Keyring:
        where = f"Secret `{self._namespace}/{signing.SECRET}`"
        keyring = await signing.read(self._api, self._namespace)
        if keyring is None:
            raise errors.ClusterError(f"{where}: is gone; restore it from a backup")
        if self._keyring is not None and not signing.follows(keyring, self._keyring):
            raise errors.ClusterError(
                f"{where}: holds other keys, and nothing leads to them from those in use: no pod "
                "would believe them, so the old ones sign on; restore it from a backup, or restart "
                "the controller and all guarded pods if a new root is meant"
            )
        return keyring

    async def _take(self, keyring: Keyring) -> None:
        stamps = await signing.read_stamps(self._api, self._namespace)
        found = Keys(signer=keyring.current, links=keyring.links, stamps=stamps)
        before, self._keys = self._keys, found
        self._keyring = keyring
        if before is not None and before != found:
            self._changed()
