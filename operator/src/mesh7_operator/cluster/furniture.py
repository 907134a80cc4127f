"""What other programs mount and the controller makes: who is trusted, stamp key, Redis users.

ConfigMap `mesh7-trust` is kept right; the Secrets are made when they are missing, never
changed.
"""

import base64
import hashlib
import secrets
from collections.abc import Callable
from typing import Final

from mesh7_core import errors, names
from mesh7_operator.authority import kept
from mesh7_operator.authority.kept import Program
from mesh7_operator.cluster import api_server, authority_secrets, resources, shapes
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.reconciling.world import Keys

TRUST_KEY: Final = "key"
STAMP_SECRET: Final = "mesh7-stamp-key"  # noqa: S105 - an object's name
STAMP_KEY: Final = "seed"
REDIS_SECRET: Final = "mesh7-redis-operator"  # noqa: S105 - an object's name
PASSWORD: Final = "password"  # noqa: S105 - a key's name
USERS: Final = "users.acl"
_SEED_BYTES: Final = 32
OPERATOR_RULES: Final = (
    "resetkeys ~m7:* ~m7b:* ~m7a:* resetchannels &m7:* &m7b:* -@all +hello +ping +select +role"
    " +acl|list +acl|users +acl|setuser +acl|deluser +client|kill +function|list +function|load"
    " +function|delete +fcall +time +type +get +getrange +set +del +pexpire +persist +publish"
    " +subscribe +unsubscribe +hget +hset +hdel +hlen +hexists +hstrlen +zadd +zcard +zrange +zrem"
    " +zremrangebyscore +llen +lpop +rpush +xadd +xrange +xrevrange +xlen +xtrim +xdel"
)
"""docs/administrator/redis.md says the same."""


async def keep_trust(api: ApiServer, namespace: str, keys: Keys) -> None:
    """Have ConfigMap `mesh7-trust` say which key a new guarded pod begins with.

    Raises:
        ClusterError: it can be neither read nor written.
    """
    wanted = {TRUST_KEY: base64.b64encode(keys.signer.public).decode()}
    try:
        found = await api.get(resources.CONFIG_MAPS, namespace, names.TRUST_CONFIG_MAP)
    except api_server.NotFound:
        found = {}
    if shapes.mapping(found, "data") == wanted:
        return
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": names.TRUST_CONFIG_MAP,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/managed-by": names.FIELD_MANAGER},
        },
        "data": wanted,
    }
    await api.apply(resources.CONFIG_MAPS, namespace, names.TRUST_CONFIG_MAP, manifest)


async def keep_stamp_key(api: ApiServer, namespace: str, random: Callable[[int], bytes]) -> None:
    """Have a Secret `mesh7-stamp-key`; what it holds we cannot read.

    Raises:
        ClusterError: it cannot be made.
    """
    held = {STAMP_KEY: random(_SEED_BYTES)}
    try:
        await api.create(
            resources.SECRETS, namespace, resources.secret(namespace, STAMP_SECRET, held)
        )
    except api_server.Conflict:
        return


async def redis_password(api: ApiServer, namespace: str) -> str:
    """The operator's at the Redis of the release: Secret `mesh7-redis-operator`, made if missing.

    Raises:
        ClusterError: it can be neither read nor made, or holds none.
    """
    try:
        found = await api.get(resources.SECRETS, namespace, REDIS_SECRET)
    except api_server.NotFound:
        found = await _make_redis_users(api, namespace)
    password = (shapes.content(found, "data", PASSWORD) or b"").decode("utf-8", "replace").strip()
    if not password:
        raise errors.ClusterError(
            f"Secret `{namespace}/{REDIS_SECRET}`: key `{PASSWORD}` is empty; delete the "
            "Secret and restart the Redis, and new ones are made"
        )
    return password


async def redis_authorities(api: ApiServer, namespace: str) -> str:
    """PEM of those who vouch for the Redis of the release: `ca.crt` of its certificate's Secret.

    Empty while there is none that can be read: then nobody is trusted.

    Raises:
        ClusterError: not answered, or refused.
    """
    held = await authority_secrets.read(api, namespace, Program.REDIS.secret)
    return "".join(kept.read_certificates(held.content.get(kept.AUTHORITIES, b"")) or ())


def redis_users(password: str) -> str:
    """The ACL file of the release's Redis: nobody but the operator, who makes the others."""
    digest = hashlib.sha256(password.encode()).hexdigest()
    return (
        "user default off resetpass resetkeys resetchannels -@all\n"
        f"user mesh7-operator on #{digest} {OPERATOR_RULES}\n"
    )


async def _make_redis_users(api: ApiServer, namespace: str) -> shapes.Object:
    password = secrets.token_urlsafe(_SEED_BYTES)
    held = {PASSWORD: password.encode(), USERS: redis_users(password).encode()}
    secret = resources.secret(namespace, REDIS_SECRET, held)
    try:
        return await api.create(resources.SECRETS, namespace, secret)
    except api_server.Conflict:
        return await api.get(resources.SECRETS, namespace, REDIS_SECRET)
