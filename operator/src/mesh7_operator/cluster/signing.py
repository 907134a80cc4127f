"""The keys that bundles are signed with, in Secret `mesh7-signing-keys` of the release namespace.

Its keys: `current` and `next` hold seeds of 32 bytes, `links` the chain of endorsements as JSON,
oldest first. The first of several controllers to write it wins; the others read what it wrote.
New ones are made only where nobody can believe older ones yet, or where somebody says so.
"""

import dataclasses
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from mesh7_core import errors, names
from mesh7_core.delivery import keys
from mesh7_operator.cluster import api_server, resources, shapes
from mesh7_operator.cluster.api_server import ApiServer

SECRET: Final = "mesh7-signing-keys"  # noqa: S105 - an object's name
STAMPS: Final = "mesh7-stamp-public"
"""ConfigMap of the release namespace: each value is the injector's public key in base64."""
SEED_BYTES: Final = 32
MAXIMUM_LINKS: Final = 64
"""Pods made before that many rotations have to be made anew."""

_FLOORS: Final = frozenset({names.BUNDLE_FLOOR_ANNOTATION, names.OVERLAY_FLOOR_ANNOTATION})
_RESTORE: Final = (
    "restore it from a backup, or make a new root with `mesh7-operator keys replace --yes` and "
    "restart the controller and all guarded pods"
)

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
    """What is there, made when there is nothing and nothing was ever delivered.

    Raises:
        ClusterError: it can be neither read nor made, or is lost.
    """
    found = await read(api, namespace)
    if found is not None:
        return found
    served = await _served_before(api)
    if served:
        raise errors.ClusterError(
            f"Secret `{namespace}/{SECRET}`: is gone, and namespace `{served}` was served with its "
            f"keys: no pod would believe new ones; {_RESTORE}"
        )
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


async def replace(api: ApiServer, namespace: str, random: Randomness) -> Keyring:
    """New keys that nothing leads to, whatever is there now.

    Raises:
        Conflict: somebody else wrote it at the same time; theirs counts.
        ClusterError: it cannot be written.
    """
    made = new_keyring(random)
    try:
        found = await api.get(resources.SECRETS, namespace, SECRET)
    except api_server.NotFound:
        secret = await api.create(resources.SECRETS, namespace, secret_of(made, namespace))
    else:
        version = shapes.text(found, "metadata", "resourceVersion")
        secret = secret_of(dataclasses.replace(made, resource_version=version), namespace)
        secret = await api.replace(resources.SECRETS, namespace, SECRET, secret)
    return _keyring(secret, namespace)


def follows(keyring: Keyring, before: Keyring) -> bool:
    """Whether those who believe `before` are led to what signs now."""
    return keyring.current.public in keys.reachable(before.current.public, keyring.links)


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
    return resources.secret(namespace, SECRET, held, version=keyring.resource_version)


def _keyring(secret: shapes.Object, namespace: str) -> Keyring:
    current = shapes.content(secret, "data", "current") or b""
    following = shapes.content(secret, "data", "next") or b""
    links = _links(shapes.content(secret, "data", "links") or b"")
    if len(current) != SEED_BYTES or len(following) != SEED_BYTES or links is None:
        raise errors.ClusterError(
            f"Secret `{namespace}/{SECRET}`: holds no signing keys; {_RESTORE}"
        )
    keyring = Keyring(
        current=keys.SigningKey(current),
        following=keys.SigningKey(following),
        links=links,
        resource_version=shapes.text(secret, "metadata", "resourceVersion"),
    )
    if not _is_chained(keyring):
        raise errors.ClusterError(
            f"Secret `{namespace}/{SECRET}`: its `links` do not lead to `current` and on to "
            f"`next`: no pod would believe what it signs; {_RESTORE}"
        )
    return keyring


def _is_chained(keyring: Keyring) -> bool:
    """Whether each link is signed and begins where the one before it ends."""
    links = keyring.links
    if not links or any(one.key != other.by for one, other in itertools.pairwise(links)):
        return False
    chain = keys.reachable(links[0].by, links)
    ends = (keyring.current.public, keyring.following.public)
    return len(chain) == len(links) + 1 and chain[-2:] == ends


async def _served_before(api: ApiServer) -> str:
    """A namespace that has floors, so that pods may hold an older key; empty = none has.

    Its editors cannot write them, as they can a ConfigMap: nobody but us makes this a yes.
    """
    async for found in api.list_metadata(resources.NAMESPACES):
        if not _FLOORS.isdisjoint(shapes.mapping(found, "metadata", "annotations")):
            return shapes.text(found, "metadata", "name")
    return ""


def _links(written: bytes) -> tuple[keys.Link, ...] | None:
    try:
        listed = json.loads(written)
    except ValueError:
        return None
    if not isinstance(listed, list):
        return None
    links = tuple(link for item in listed if (link := keys.read_link(item)) is not None)
    return links if len(links) == len(listed) else None
