"""Secrets of certificates at the API server: read with their versions, written where those hold."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mesh7_core import errors
from mesh7_operator.authority import kept, planning
from mesh7_operator.authority.kept import Authorities
from mesh7_operator.authority.planning import Terms
from mesh7_operator.cluster import api_server, resources, shapes
from mesh7_operator.cluster.api_server import ApiServer


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One Secret.

    Attributes:
        content: by key.
        version: that it was read at; empty = it is not there.
    """

    content: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    version: str = ""


async def read(api: ApiServer, namespace: str, name: str) -> Held:
    """What a Secret holds.

    Raises:
        ClusterError: not answered, or refused.
    """
    try:
        found = await api.get(resources.SECRETS, namespace, name)
    except api_server.NotFound:
        return Held()
    written = shapes.mapping(found, "data")
    content = {key: shapes.content(written, key) or b"" for key in written}
    return Held(content=content, version=shapes.text(found, "metadata", "resourceVersion"))


async def write(
    api: ApiServer, namespace: str, name: str, content: Mapping[str, bytes], version: str
) -> None:
    """Make it, or put it in the place of that version.

    Raises:
        Conflict: somebody else was faster; theirs counts.
        ClusterError: not answered, or refused.
    """
    secret = resources.secret(namespace, name, content, version=version)
    if name != kept.SECRET:
        secret["type"] = kept.TLS_TYPE
    if version:
        await api.replace(resources.SECRETS, namespace, name, secret)
    else:
        await api.create(resources.SECRETS, namespace, secret)


async def read_authorities(api: ApiServer, namespace: str) -> tuple[Authorities, str]:
    """Who issues, who will, and who did; with the version of the Secret.

    Raises:
        ClusterError: there is none of use, or it cannot be read.
    """
    held = await read(api, namespace, kept.SECRET)
    found = kept.read_authorities(held.content)
    if found is None:
        raise errors.ClusterError(
            f"Secret `{namespace}/{kept.SECRET}`: is not there, or of no use; the controller makes "
            "it, unless certificates are others' business (`--certificates`)"
        )
    return found, held.version


async def rotate(api: ApiServer, namespace: str, now: datetime) -> Authorities:
    """Have another authority follow; the controller does the rest.

    Raises:
        Conflict: somebody else wrote it at the same time; try again.
        ClusterError: one follows already, there is none, or it cannot be written.
    """
    found, version = await read_authorities(api, namespace)
    where = f"Secret `{namespace}/{kept.SECRET}`"
    if found.following is not None:
        raise errors.ClusterError(
            f"{where}: another authority follows already; wait until it is in use"
        )
    if len(found.retiring) >= planning.MOST_RETIRING:
        raise errors.ClusterError(
            f"{where}: {len(found.retiring)} older authorities are still trusted, because some "
            "replica cannot be seen or serves a certificate of theirs; see to that first"
        )
    rotated = planning.rotated(found, now, Terms(namespace=namespace))
    await write(api, namespace, kept.SECRET, kept.written_authorities(rotated), version)
    return rotated
