"""The anchor that the controller signed, held here against the keys of the release.

What the controller says of the records is its word; that the anchor which it says so by is the one
that was signed, and when, needs nobody's. Pure: no clock, no network, no logging.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from mesh7_cli import reading
from mesh7_core.delivery import keys, spelled

PURPOSE: Final = "mesh7.dev/audit-anchor-v1"
"""Of the signature; the operator's `anchoring.writing` has the same."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECONDS: Final = re.compile(r"[0-9]{1,14}")
_LONGEST: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What came of it.

    Attributes:
        is_ours: it bears the signature of a key of the release, and is this namespace's.
        said: in words; what is wrong, where it is not.
        chains: how many chains it names.
        until: when its newest entry came; empty = it has none.
    """

    is_ours: bool
    said: str
    chains: int = 0
    until: str = ""


def check(found: Mapping[str, object], trusted: str, namespace: str) -> Checked:
    """Hold an anchor's ConfigMap against the key that everybody trusts.

    Args:
        found: the `data` of the anchor's ConfigMap.
        trusted: what stands under `key` in ConfigMap mesh7-trust, base64.
        namespace: whose anchor it has to be.
    """
    text, public = reading.text(found, "anchor"), _bytes(found, "key", keys.KEY_BYTES)
    signature = _bytes(found, "signature", keys.SIGNATURE_BYTES)
    root = spelled.from_base64(trusted.strip(), keys.KEY_BYTES)
    if root is None:
        return Checked(is_ours=False, said="ConfigMap mesh7-trust has no key")
    if not text or len(text) > _LONGEST or public is None or signature is None:
        return Checked(is_ours=False, said="the anchor is none that mesh7 writes")
    if public not in keys.reachable(root, _links(found)):
        said = "the anchor is signed by another key than that of ConfigMap mesh7-trust"
        return Checked(is_ours=False, said=said)
    if not keys.verify(public, PURPOSE, text.encode("utf-8", "replace"), signature):
        return Checked(is_ours=False, said="the anchor is not the one that was signed")
    return _read(text, namespace)


def _read(text: str, namespace: str) -> Checked:
    head = spelled.json_object(text.encode("utf-8", "replace"))
    if head is None or reading.text(head, "namespace") != namespace:
        return Checked(is_ours=False, said="the anchor is another namespace's")
    chains = head.get("chains")
    return Checked(
        is_ours=True,
        said="the anchor is signed by a key of this release",
        chains=len(chains) if isinstance(chains, list) else 0,
        until=_moment(reading.text(head, "last").partition("-")[0]),
    )


def _moment(milliseconds: str) -> str:
    if not _MILLISECONDS.fullmatch(milliseconds):
        return ""
    when = _EPOCH + timedelta(milliseconds=int(milliseconds))
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _links(found: Mapping[str, object]) -> list[keys.Link]:
    try:
        written = json.loads(reading.text(found, "links") or "[]")
    except ValueError:
        return []
    listed = written if isinstance(written, list) else []
    links = [keys.read_link(one) for one in listed]
    return [one for one in links if one is not None]


def _bytes(found: Mapping[str, object], name: str, size: int) -> bytes | None:
    return spelled.from_base64(found.get(name), size)
