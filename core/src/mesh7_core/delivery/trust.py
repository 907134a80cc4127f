"""Whom a sidecar believes: keys, floors, and what it has in force; one step per envelope found.

Pure: no clock, no network, no logging.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from mesh7_core.delivery import envelopes, keys, spelled
from mesh7_core.delivery.keys import Link
from mesh7_core.policy import canonical

FORMAT: Final = 1
"""Of what is kept in the state folder."""
MAXIMUM_KEPT_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What a sidecar knows; kept in its state folder so that a restart forgets nothing.

    Attributes:
        keys: public keys it was led to, oldest first; the first was given with the pod.
        newest: index of the newest key that has signed something accepted: older ones no longer do.
        floors: per kind, the lowest version that is accepted; grows with each that is.
        contents: per kind, what the version at the floor says, by `Header.content`; missing for a
            floor that came with the pod.
        in_force: per kind, the version that was in force last; perhaps lower than the floor, for
            what is genuine may be of no use. Nothing older is put in force after a restart.
        links: what led to all keys but the first, in the same order.
    """

    namespace: str
    keys: tuple[bytes, ...]
    newest: int = 0
    floors: Mapping[envelopes.Kind, int] = field(default_factory=dict)
    contents: Mapping[envelopes.Kind, str] = field(default_factory=dict)
    in_force: Mapping[envelopes.Kind, int] = field(default_factory=dict)
    links: tuple[Link, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """It is genuine and new enough; `trust` is what is known afterwards."""

    opened: envelopes.Opened
    trust: Trust


def consider(data: bytes, kind: envelopes.Kind, trust: Trust) -> Accepted | envelopes.Refused:
    """Whether to believe an envelope. The version in force is accepted again, an older one not.

    Rungs, the first that fails decides: a header that can be read; a chain of links from a key that
    may still sign to the header's key; `envelopes.unseal`; a version not below the floor; at the
    floor, the same content as before.

    What is refused changes nothing: its links are forgotten with it.
    """
    header = envelopes.read_header(data)
    if isinstance(header, envelopes.Refused):
        return header
    # Keys before the newest are retired: they endorse as little as they sign.
    found = keys.following(trust.keys[trust.newest :], _unknown(header.links, trust))
    known = (*trust.keys, *(link.key for link in found))
    opened = envelopes.unseal(data, kind, trust.namespace, known[trust.newest :])
    if isinstance(opened, envelopes.Refused):
        return opened
    refused = _too_old(opened.header, trust)
    if refused is not None:
        return refused
    learned = replace(
        trust,
        keys=known,
        newest=known.index(opened.header.key, trust.newest),
        floors={**trust.floors, kind: opened.header.version},
        contents={**trust.contents, kind: opened.header.content},
        links=(*trust.links, *found),
    )
    return Accepted(opened=opened, trust=learned)


def encode(trust: Trust) -> bytes:
    """For the state folder."""
    return canonical.written({
        "format": FORMAT,
        "namespace": trust.namespace,
        "key": spelled.to_base64(trust.keys[0]),
        "links": [keys.written_link(one) for one in trust.links],
        "newest": trust.newest,
        "floors": {kind.value: version for kind, version in trust.floors.items()},
        "contents": {kind.value: content for kind, content in trust.contents.items()},
        "inForce": {kind.value: version for kind, version in trust.in_force.items()},
    }).encode()  # fmt: skip


def decode(data: bytes, start: Trust) -> Trust:
    """What was kept, laid over what the pod was made with; `start` when it does not fit it.

    Links are verified anew, so that a tampered file brings in no key. Floors never go below those
    of `start`; a floor that `start` has higher is one of which the content is not known.

    Args:
        data: as found; damaged by a crash, perhaps.
        start: namespace, one key and floors as the pod was given them.
    """
    fields = spelled.keyed(
        spelled.json_object(data) if len(data) <= MAXIMUM_KEPT_BYTES else None,
        ("format", "namespace", "key", "links", "newest", "floors", "contents", "inForce"),
    )
    if fields is None or fields["format"] != FORMAT or fields["namespace"] != start.namespace:
        return start
    links = _kept_links(fields["links"], start)
    newest = spelled.number(fields["newest"])
    floors, in_force = _versions(fields["floors"]), _versions(fields["inForce"])
    contents = _by_kind(fields["contents"])
    if fields["key"] != spelled.to_base64(start.keys[0]) or links is None or newest is None:
        return start
    if newest > len(links) or floors is None or contents is None or in_force is None:
        return start
    told = {kind: content for kind, content in contents.items() if isinstance(content, str)}
    return replace(
        start,
        keys=(start.keys[0], *(link.key for link in links)),
        newest=newest,
        floors={
            **start.floors,
            **{kind: max(at, start.floors.get(kind, 0)) for kind, at in floors.items()},
        },
        contents={
            kind: content
            for kind, content in told.items()
            if floors.get(kind, 0) >= max(start.floors.get(kind, 0), 1)
        },
        in_force=in_force,
        links=links,
    )


def _unknown(links: tuple[Link, ...], trust: Trust) -> tuple[Link, ...]:
    """The links to keys that were never known: a retired one does not come back as new."""
    return tuple(one for one in links if one.key not in trust.keys)


def _too_old(header: envelopes.Header, trust: Trust) -> envelopes.Refused | None:
    floor = trust.floors.get(header.kind, 0)
    if header.version < floor:
        return envelopes.Refused(
            refusal=envelopes.Refusal.OLD,
            message=f"version {header.version} is older than {floor}, which is in force or the "
            "least that the pod may accept",
        )
    before = trust.contents.get(header.kind)
    if header.version == floor and before not in (None, header.content):
        return envelopes.Refused(
            refusal=envelopes.Refusal.OLD,
            message=f"version {header.version} is in force already, and says something else",
        )
    return None


def _kept_links(written: object, start: Trust) -> tuple[Link, ...] | None:
    if not isinstance(written, list):
        return None
    found = tuple(link for one in written if (link := keys.read_link(one)) is not None)
    links = keys.following(start.keys[:1], found)
    return links if len(links) == len(written) else None


def _by_kind(written: object) -> dict[envelopes.Kind, object] | None:
    if not isinstance(written, dict) or not written.keys() <= set(envelopes.Kind):
        return None
    return {envelopes.Kind(kind): found for kind, found in written.items()}


def _versions(written: object) -> dict[envelopes.Kind, int] | None:
    found = _by_kind(written)
    if found is None:
        return None
    return {kind: version for kind, one in found.items() if (version := spelled.number(one))}
