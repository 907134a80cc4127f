"""`mesh7-operator certificates`: the authorities as people see them, and their rotation."""

from collections.abc import Mapping
from datetime import datetime

from mesh7_operator import settings
from mesh7_operator.authority import certificates
from mesh7_operator.authority.kept import Authorities
from mesh7_operator.cluster import authority_secrets, once


async def show(cluster: settings.Cluster) -> Mapping[str, object]:
    """What the Secret holds, its public part.

    Raises:
        ClusterError, SettingsError: there is none, or it cannot be read.
    """
    async with once.api_server(cluster) as api:
        found, _ = await authority_secrets.read_authorities(api, cluster.release_namespace)
    return _shown(found)


async def rotate(cluster: settings.Cluster, now: datetime) -> Mapping[str, object]:
    """Have another authority follow; what the Secret holds then.

    Raises:
        ClusterError, SettingsError: it could not be done; nothing has changed.
    """
    async with once.api_server(cluster) as api:
        return _shown(await authority_secrets.rotate(api, cluster.release_namespace, now))


def _shown(found: Authorities) -> dict[str, object]:
    following = found.following
    return {
        "state": _state(found),
        "issuing": _certificate(found.issuing.certificate),
        "next": None if following is None else _certificate(following.certificate),
        "publishedAt": None if found.published_at is None else found.published_at.isoformat(),
        "retiring": [_certificate(one) for one in found.retiring],
    }


def _state(found: Authorities) -> str:
    if found.following is not None:
        return "another authority follows, and is being published"
    if found.retiring:
        return "an older authority is trusted until no replica serves a certificate of it"
    return "one authority, no rotation under way"


def _certificate(text: str) -> dict[str, str] | None:
    read = certificates.read(text)
    if read is None:
        return None
    return {
        "name": read.subject.rfc4514_string().removeprefix("CN="),
        "endsAt": read.not_valid_after_utc.isoformat(),
    }
