"""`mesh7-operator keys`: the signing keys as people see them, their rotation and their end."""

import base64
from collections.abc import Mapping

from mesh7_core import errors
from mesh7_core.delivery import keys
from mesh7_operator import settings
from mesh7_operator.cluster import once, signing
from mesh7_operator.cluster.signing import Keyring, Randomness


async def show(cluster: settings.Cluster) -> Mapping[str, object]:
    """What the Secret holds, its public part.

    Raises:
        ClusterError, SettingsError: there is none, or it cannot be read.
    """
    async with once.api_server(cluster) as api:
        keyring = await signing.read(api, cluster.release_namespace)
    if keyring is None:
        raise errors.ClusterError(
            f"Secret `{cluster.release_namespace}/{signing.SECRET}`: is not there; the controller "
            "makes it when it starts"
        )
    return _shown(keyring)


async def rotate(cluster: settings.Cluster, random: Randomness) -> Mapping[str, object]:
    """Sign with the next key from now on; what the Secret holds then.

    Raises:
        ClusterError, SettingsError: it could not be done; nothing has changed.
    """
    async with once.api_server(cluster) as api:
        return _shown(await signing.rotate(api, cluster.release_namespace, random))


async def replace(cluster: settings.Cluster, random: Randomness) -> Mapping[str, object]:
    """A new root that nothing leads to; what the Secret holds then.

    Raises:
        ClusterError, SettingsError: it could not be done; nothing has changed.
    """
    async with once.api_server(cluster) as api:
        return _shown(await signing.replace(api, cluster.release_namespace, random))


def _shown(keyring: Keyring) -> dict[str, object]:
    public, following = keyring.current.public, keyring.following.public
    return {
        "key": base64.b64encode(public).decode(),
        "name": keys.name_of(public),
        "next": keys.name_of(following),
        "chain": [keys.name_of(link.by) for link in keyring.links] + [keys.name_of(following)],
    }
