"""The secret that sidecars' Redis passwords follow from: Secret `mesh7-redis-master`.

Made by the controller when there is none, and mounted by the exchange. Written anew by people, it
is a rotation: the controller's next look makes all users anew.
"""

from collections.abc import Callable
from typing import Final

from mesh7_core import errors
from mesh7_operator.cluster import api_server, resources, shapes
from mesh7_operator.cluster.api_server import ApiServer

SECRET: Final = "mesh7-redis-master"  # noqa: S105 - an object's name
KEY: Final = "master"
_BYTES: Final = 32


async def ensure(api: ApiServer, namespace: str, random: Callable[[int], bytes]) -> bytes:
    """What is there, made when there is nothing.

    Raises:
        ClusterError: it can be neither read nor made, or is too short.
    """
    try:
        found = await api.get(resources.SECRETS, namespace, SECRET)
    except api_server.NotFound:
        found = await _make(api, namespace, random)
    master = shapes.content(found, "data", KEY) or b""
    if len(master) < _BYTES:
        raise errors.ClusterError(
            f"Secret `{namespace}/{SECRET}`: key `{KEY}` has fewer than {_BYTES} bytes; delete "
            "the Secret, and a new one is made"
        )
    return master


async def _make(api: ApiServer, namespace: str, random: Callable[[int], bytes]) -> shapes.Object:
    secret = resources.secret(namespace, SECRET, {KEY: random(_BYTES)})
    try:
        return await api.create(resources.SECRETS, namespace, secret)
    except api_server.Conflict:
        return await api.get(resources.SECRETS, namespace, SECRET)
