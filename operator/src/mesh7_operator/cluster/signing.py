"""The keys that bundles are signed with, in Secret `mesh7-signing-keys` of the release namespace.

Its keys: `current` and `next` hold seeds of 32 bytes, `links` the chain of endorsements as JSON,
oldest first. The first of several controllers to write it wins; the others read what it wrote.
"""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from mesh7_core import errors
from mesh7_core.delivery import keys
from mesh7_operator.cluster import api_server, resources, shapes
from mesh7_operator.cluster.api_server import ApiServer

SECRET: Final = "mesh7-signing-keys"  # noqa: S105 - an object's name
STAMPS: Final = "mesh7-stamp-public"
"""ConfigMap of the release namespace: each value is the injector's public key in base64."""
SEED_BYTES: Final = 32
MAXIMUM_LINKS: Final = 64
"""Pods made before that many rotations have to be made anew."""

Randomness = Callable[[int], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyring:
    """What the Secret holds.

    Attributes:
        current: signs today.
        following: will sign after the next rotation; endorsed already.
        links: the chain that leads to `current` and on to `following`, oldest first.
        resource_version: of the Secret; empty = not written yet.
    """

    current: keys.SigningKey
    following: keys.SigningKey
    links: tuple[keys.Link, ...]
    resource_version: str = field(default="", compare=False)


def new_keyring(random: Randomness) -> Keyring:
    """Two keys that nobody has seen."""
    current, following = keys.SigningKey(random(SEED_BYTES)), keys.SigningKey(random(SEED_BYTES))
    return Keyring(
        current=current, following=following, links=(keys.endorse(current, following.public),)
    )


def rotated(keyring: Keyring, random: Randomness) -> Keyring:
    """The next key signs from now on, and endorses a new one."""
    newest = keys.SigningKey(random(SEED_BYTES))
    links = (*keyring.links, keys.endorse(keyring.following, newest.public))
    return Keyring(
        current=keyring.following,
        following=newest,
        links=links[-MAXIMUM_LINKS:],
        resource_version=keyring.resource_version,
    )


async def read(api: ApiServer, namespace: str) -> Keyring | None:
    """What is there; None = there is no such Secret.

    Raises:
        ClusterError: it cannot be read, or is not what we write.
    """
    try:
        secret = await api.get(resources.SECRETS, namespace, SECRET)
    except api_server.NotFound:
        return None
    return _keyring(secret, namespace)


async def ensure(api: ApiServer, namespace: str, random: Randomness) -> Keyring:
    """What is there, made when there is nothing.

    Raises:
        ClusterError: it can be neither read nor made.
    """
    found = await read(api, namespace)
    if found is not None:
        return found
    try:
        secret = secret_of(new_keyring(random), namespace)
        return _keyring(await api.create(resources.SECRETS, namespace, secret), namespace)
    except api_server.Conflict:
        theirs = await read(api, namespace)
    if theirs is None:
        raise errors.ClusterError(f"Secret `{namespace}/{SECRET}`: comes and goes; try again")
    return theirs


async def rotate(api: ApiServer, namespace: str, random: Randomness) -> Keyring:
    """Let the next key sign from now on.

    Raises:
        Conflict: somebody else rotated at the same time; theirs counts.
        ClusterError: there is no Secret, or it cannot be written.
    """
    found = await read(api, namespace)
    if found is None:
        raise errors.ClusterError(
            f"Secret `{namespace}/{SECRET}`: is not there; the controller makes it when it starts"
        )
    secret = secret_of(rotated(found, random), namespace)
    return _keyring(await api.replace(resources.SECRETS, namespace, SECRET, secret), namespace)


async def read_stamps(api: ApiServer, namespace: str) -> tuple[bytes, ...]:
    """Public keys of stamps; none = no Allow grant is honoured.

    Raises:
        ClusterError: not answered.
    """
    try:
        found = await api.get(resources.CONFIG_MAPS, namespace, STAMPS)
    except api_server.NotFound:
        return ()
    written = shapes.mapping(found, "data")
    decoded = (shapes.content(written, name) for name in sorted(written))
    return tuple(key for key in decoded if key is not None and len(key) == keys.KEY_BYTES)


def secret_of(keyring: Keyring, namespace: str) -> shapes.Object:
    """The Secret that holds them; at the version that they were read from, if they were."""
    links = json.dumps([keys.written_link(link) for link in keyring.links]).encode()
    held = {
        "current": keyring.current.seed, "next": keyring.following.seed, "links": links
    }  # fmt: skip
    version = keyring.resource_version
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": SECRET,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/managed-by": "mesh7-controller"},
            **({"resourceVersion": version} if version else {}),
        },
        "data": {name: base64.b64encode(value).decode() for name, value in held.items()},
    }


def _keyring(secret: shapes.Object, namespace: str) -> Keyring:
    current = shapes.content(secret, "data", "current") or b""
    following = shapes.content(secret, "data", "next") or b""
    links = _links(shapes.content(secret, "data", "links") or b"")
    if len(current) != SEED_BYTES or len(following) != SEED_BYTES or links is None:
        raise errors.ClusterError(
            f"Secret `{namespace}/{SECRET}`: holds no signing keys; restore it from a backup, or "
            "delete it and restart all guarded pods"
        )
    return Keyring(
        current=keys.SigningKey(current),
        following=keys.SigningKey(following),
        links=links,
        resource_version=shapes.text(secret, "metadata", "resourceVersion"),
    )


def _links(written: bytes) -> tuple[keys.Link, ...] | None:
    try:
        listed = json.loads(written)
    except ValueError:
        return None
    if not isinstance(listed, list):
        return None
    links = tuple(link for item in listed if (link := keys.read_link(item)) is not None)
    return links if len(links) == len(listed) else None
