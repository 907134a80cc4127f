"""An anchor as it lies in a ConfigMap: one text, its signature, and how to come to the key.

Read strictly: whatever is not exactly what we write is no anchor. Pure: no clock, no network, no
logging; the key is an argument.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Final

from mesh7_core import errors, names
from mesh7_core.audit import heads
from mesh7_core.audit.heads import Head
from mesh7_core.delivery import keys, spelled
from mesh7_operator.anchoring.anchor import (
    Anchor,
    Chained,
    Evicted,
    Finding,
    Folded,
    Trimmed,
    Trouble,
)

PURPOSE: Final = "mesh7.dev/audit-anchor-v1"
"""Of the signature: what is signed is the text under `anchor`, as it stands there."""
LONGEST: Final = 512 * 1024
_VERSION: Final = 1
_UNREADABLE: Final = (
    "the anchor of namespace {} could not be read back, which is a defect of mesh7; the one before "
    "stays, please report it"
)


def name_of(namespace: str) -> str:
    """The ConfigMap of the release namespace that holds a namespace's anchor."""
    return f"{names.AUDIT_CONFIG_MAP_PREFIX}{namespace}"


def manifest(
    anchor: Anchor,
    key: keys.SigningKey,
    links: Sequence[keys.Link],
    *,
    release_namespace: str,
    version: str = "",
) -> dict[str, object]:
    """The ConfigMap.

    Args:
        anchor: what is signed.
        key: signs it.
        links: lead to `key` from those that signed before, so that older copies verify.
        release_namespace: where it lies.
        version: that it is to take the place of; empty = there is none.

    Raises:
        ClusterError: it could not be read back, so that whoever leads next would know nothing.
    """
    text = encoded(anchor)
    if len(text) > LONGEST or decoded(text) != anchor:
        raise errors.ClusterError(_UNREADABLE.format(anchor.namespace))
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name_of(anchor.namespace),
            "namespace": release_namespace,
            "labels": {
                "app.kubernetes.io/managed-by": names.FIELD_MANAGER,
                names.AUDIT_OF_LABEL: anchor.namespace,
            },
            **({"resourceVersion": version} if version else {}),
        },
        "data": {
            "anchor": text,
            "key": spelled.to_base64(key.public),
            "signature": spelled.to_base64(key.sign(PURPOSE, text.encode())),
            "links": json.dumps([keys.written_link(link) for link in links]),
        },
    }


def encoded(anchor: Anchor) -> str:
    """The text that is signed: one line for each chain, so that people can read and compare it."""
    chains = [_chain(one) for _, one in sorted(anchor.chains.items())]
    head = {
        "version": _VERSION,
        "namespace": anchor.namespace,
        "last": anchor.last,
        "entries": anchor.entries,
        "bytes": anchor.size_bytes,
        "trimmed": {"upTo": anchor.trimmed.up_to, "entries": anchor.trimmed.entries},
        "folded": {
            "chains": anchor.folded.chains,
            "records": anchor.folded.records,
            "digest": anchor.folded.digest,
            "open": anchor.folded.open,
        },
        "found": {trouble.value: many for trouble, many in sorted(anchor.found.items())},
        "findings": [_finding(one) for one in anchor.findings],
        "evicted": [_evicted(one) for one in anchor.evicted],
        "going": list(anchor.going),
    }
    said = json.dumps(head, separators=(",", ":"))[:-1]
    lines = ",\n".join(json.dumps(one, separators=(",", ":")) for one in chains)
    return f'{said},"chains":[\n{lines}\n]}}\n'


def read(data: Mapping[str, object], namespace: str, roots: Sequence[bytes]) -> Anchor | None:
    """The anchor of a ConfigMap's data; None for whatever none of these keys has signed.

    Args:
        data: as it was read.
        namespace: whose it has to be.
        roots: keys of ours, and those that they follow.
    """
    text, signature = data.get("anchor"), spelled.from_base64(data.get("signature"), 64)
    public = spelled.from_base64(data.get("key"), keys.KEY_BYTES)
    if not isinstance(text, str) or signature is None or public not in roots or public is None:
        return None
    if not keys.verify(public, PURPOSE, text.encode("utf-8", "replace"), signature):
        return None
    found = decoded(text)
    return found if found is not None and found.namespace == namespace else None


def decoded(text: str) -> Anchor | None:
    """The anchor that a text is, unverified; None when it is none."""
    found = spelled.json_object(text.encode("utf-8", "replace"))
    if found is None or found.get("version") != _VERSION:
        return None
    try:
        return _decoded(found)
    except (KeyError, TypeError, ValueError, IndexError):
        return None


def roots_of(public: bytes, links: Sequence[keys.Link]) -> tuple[bytes, ...]:
    """Keys whose anchors are ours: the one that signs, and those from which links lead to it."""
    before = [link.by for link in links if public in keys.reachable(link.by, links)]
    return tuple(dict.fromkeys((public, *before)))


def _chain(one: Chained) -> list[object]:
    base = _head(one.base) if one.base != one.head and one.base.block else one.base.block
    flags = ("o" if one.is_operators else "") + ("e" if one.is_ended else "")
    key = spelled.to_base64(one.key)
    return [one.head.chain, _head(one.head), base, one.pod, one.uid, flags, one.seen_ms, key]


def _head(head: Head) -> list[object]:
    return [head.block, head.total, head.first, head.time, head.hash]


def _finding(one: Finding) -> dict[str, object]:
    said = {
        "trouble": one.trouble.value, "said": one.said, "atMs": one.at_ms, "chain": one.chain,
        "pod": one.pod, "block": one.block, "entry": one.entry,
    }  # fmt: skip
    return {name: value for name, value in said.items() if value}


def _evicted(one: Evicted) -> list[object]:
    return [one.uid, one.pod, one.entries, one.records, one.since, one.until]


def _decoded(found: Mapping[str, object]) -> Anchor:
    trimmed, folded = _map(found["trimmed"]), _map(found["folded"])
    chains = [_read_chain(one) for one in _list(found["chains"])]
    return Anchor(
        namespace=_text(found["namespace"]),
        chains={one.head.chain: one for one in chains},
        last=_text(found["last"]),
        entries=_number(found["entries"]),
        size_bytes=_number(found["bytes"]),
        trimmed=Trimmed(up_to=_text(trimmed["upTo"]), entries=_number(trimmed["entries"])),
        folded=Folded(
            chains=_number(folded["chains"]),
            records=_number(folded["records"]),
            digest=_text(folded["digest"]),
            open={name: _number(block) for name, block in _map(folded["open"]).items()},
        ),
        findings=tuple(_read_finding(_map(one)) for one in _list(found["findings"])),
        found={Trouble(name): _number(many) for name, many in _map(found["found"]).items()},
        evicted=tuple(_read_evicted(one) for one in _list(found["evicted"])),
        going=tuple(_text(one) for one in _list(found["going"])),
    )


def _read_chain(value: object) -> Chained:
    name, written, based, pod, uid, flags, seen_ms, key = _list(value)
    head = _read_head(_text(name), written)
    if isinstance(based, int):
        # Nothing of it is kept, or all.
        base = head if based else heads.begun(head.chain)
    else:
        base = _read_head(head.chain, based)
    return Chained(
        head=head,
        base=base,
        uid=_text(uid),
        pod=_text(pod),
        key=_key(key),
        is_operators="o" in _text(flags),
        is_ended="e" in _text(flags),
        seen_ms=_number(seen_ms),
    )


def _key(value: object) -> bytes:
    found = spelled.from_base64(value, keys.KEY_BYTES) if value else b""
    if found is None:
        raise TypeError
    return found


def _read_head(chain: str, value: object) -> Head:
    block, total, first, time, digest = _list(value)
    return Head(
        chain=chain, block=_number(block), total=_number(total), hash=_text(digest),
        time=_text(time), first=_number(first),
    )  # fmt: skip


def _read_finding(found: Mapping[str, object]) -> Finding:
    return Finding(
        trouble=Trouble(_text(found["trouble"])),
        said=_text(found["said"]),
        at_ms=_number(found.get("atMs", 0)),
        chain=_text(found.get("chain", "")),
        pod=_text(found.get("pod", "")),
        block=_number(found.get("block", 0)),
        entry=_text(found.get("entry", "")),
    )


def _read_evicted(value: object) -> Evicted:
    uid, pod, entries, records, since, until = _list(value)
    return Evicted(
        uid=_text(uid), pod=_text(pod), entries=_number(entries), records=_number(records),
        since=_text(since), until=_text(until),
    )  # fmt: skip


def _map(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise TypeError
    return value


def _list(value: object) -> Sequence[object]:
    if not isinstance(value, list):
        raise TypeError
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _number(value: object) -> int:
    found = spelled.number(value)
    if found is None:
        raise TypeError
    return found
