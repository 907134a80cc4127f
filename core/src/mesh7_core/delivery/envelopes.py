"""A payload with its number and signature, as it lies in a ConfigMap and in Redis.

    line 1   header: canonical JSON – format, kind, namespace, version, content, digest, key, links
    line 2   base64 of the Ed25519 signature over line 1
    rest     gzip of the payload (canonical JSON), mtime 0

The signature is checked before anything else is read, and the digest before anything is unpacked.
Pure: no clock, no network, no logging.
"""

import base64
import hashlib
import re
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from mesh7_core.api.objects import DNS_LABEL
from mesh7_core.delivery import keys, spelled
from mesh7_core.errors import BundleError
from mesh7_core.policy import canonical

FORMAT: Final = "mesh7.dev/delivery-v1"
MAXIMUM_SEALED_BYTES: Final = 700 * 1024
"""Of one envelope; bundle and overlay together fit a ConfigMap (1 MiB with base64 not counted)."""
MAXIMUM_PAYLOAD_BYTES: Final = 16 * 1024 * 1024
"""Unpacked; more is refused unread."""
MAXIMUM_HEADER_BYTES: Final = 64 * 1024
MAXIMUM_LINKS: Final = 64
"""Older ones fall off: a pod that was made with a key before them has to be made anew."""
PURPOSE: Final = FORMAT
"""Of the signature; what is signed is line 1 without its end."""

_ANY_FORMAT: Final = "mesh7.dev/delivery-v"
_KEYS: Final = ("format", "kind", "namespace", "version", "content", "digest", "key", "links")
_NAMESPACE: Final = re.compile(rf"(?=.{{1,63}}\Z){DNS_LABEL}")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
# One member without name and time, by no particular system: what Python writes there depends on
# where it runs.
_GZIP_HEAD: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_LEVEL: Final = 6
_SIGNATURE_LINE_BYTES: Final = 88 + 1


class Kind(StrEnum):
    """What a payload is about.

    The bundle holds policies, sources and the roster; the overlay holds grants, vetoes and kills.
    They are apart so that a revocation is small, and travels when a bundle is too large.
    """

    BUNDLE = "bundle"
    OVERLAY = "overlay"


class Refusal(StrEnum):
    """Why an envelope is ignored; a bounded label of metrics."""

    MALFORMED = "malformed"
    UNSIGNED = "unsigned"
    FOREIGN = "foreign"
    OLD = "old"
    TOO_LARGE = "too-large"


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What line 1 says; worth nothing before `unseal`.

    Attributes:
        content: `sha256:` and 64 hex digits over the unpacked payload: what it says.
        digest: the same over the packed payload: what was signed.
        key: public key that signed it, 32 bytes.
        links: the chain of keys, oldest first.
    """

    kind: Kind
    namespace: str
    version: int
    content: str
    digest: str
    key: bytes
    links: tuple[keys.Link, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Why it is ignored, for machines and for people."""

    refusal: Refusal
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A verified envelope."""

    header: Header
    payload: bytes = field(repr=False)


def seal(
    kind: Kind,
    namespace: str,
    version: int,
    payload: bytes,
    signer: keys.SigningKey,
    links: Sequence[keys.Link],
) -> bytes:
    """Pack and sign; the same arguments give the same bytes. The size is for the caller to judge.

    Args:
        kind: what the payload is about.
        namespace: whose it is.
        version: from 1 to 2^53 - 1; larger than any before it.
        payload: what it says.
        signer: the current signing key.
        links: oldest first; the newest `MAXIMUM_LINKS` of them travel.

    Raises:
        BundleError: the version or the namespace is none that anybody would accept.
    """
    if spelled.number(version, 1) is None or not _NAMESPACE.fullmatch(namespace):
        raise BundleError(
            f"version {version} for namespace `{namespace}` cannot be delivered, the version is "
            "a whole number from 1 on and the namespace a DNS label"
        )
    packed = _packed(payload)
    line = _line(
        Header(
            kind=kind,
            namespace=namespace,
            version=version,
            content=digest_of(payload),
            digest=digest_of(packed),
            key=signer.public,
            links=tuple(links[-MAXIMUM_LINKS:]),
        )
    )
    signature = base64.b64encode(signer.sign(PURPOSE, line))
    return b"\n".join((line, signature, packed))


def fits(sealed: bytes, payload: bytes) -> bool:
    """Whether an envelope is small enough to be accepted: as delivered, and unpacked."""
    return len(sealed) <= MAXIMUM_SEALED_BYTES and len(payload) <= MAXIMUM_PAYLOAD_BYTES


def digest_of(data: bytes) -> str:
    """`sha256:` and 64 hex digits; of a payload it is the header's `content`."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def read_header(data: bytes) -> Header | Refused:
    """What it claims, unverified: to see whether it is worth opening."""
    parts = _parts(data)
    return parts if isinstance(parts, Refused) else parts.header


def unseal(data: bytes, kind: Kind, namespace: str, trusted: Collection[bytes]) -> Opened | Refused:
    """Verify and unpack. Total: whatever was written there, the answer is a value.

    Rungs, the first that fails decides: size and shape of lines 1 and 2; signature of line 1 by a
    trusted key; kind and namespace; digest of the packed payload; its unpacking and content.

    Args:
        data: as found; anybody may have written it.
        kind: what is looked for there.
        namespace: whose it has to be.
        trusted: public keys that may have signed it.
    """
    parts = _parts(data)
    if isinstance(parts, Refused):
        return parts
    header = parts.header
    if header.key not in trusted:
        return Refused(
            refusal=Refusal.UNSIGNED,
            message=f"key {keys.name_of(header.key)} is not one that may sign now",
        )
    if not keys.verify(header.key, PURPOSE, parts.line, parts.signature):
        return Refused(
            refusal=Refusal.UNSIGNED,
            message=f"key {keys.name_of(header.key)} did not sign the header",
        )
    if header.kind is not kind or header.namespace != namespace:
        return Refused(
            refusal=Refusal.FOREIGN,
            message=f"it is the {header.kind} of namespace `{header.namespace}`, "
            f"not the {kind} of namespace `{namespace}`",
        )
    if digest_of(parts.packed) != header.digest:
        return Refused(refusal=Refusal.UNSIGNED, message="the payload is not the one signed for")
    return _unpacked(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """The three parts, none of them verified; `line` is line 1 as it was signed."""

    line: bytes
    header: Header
    signature: bytes
    packed: bytes


def _malformed(message: str) -> Refused:
    return Refused(refusal=Refusal.MALFORMED, message=message)


def _parts(data: bytes) -> _Parts | Refused:
    if len(data) > MAXIMUM_SEALED_BYTES:
        return Refused(
            refusal=Refusal.TOO_LARGE,
            message=f"{len(data)} bytes, at most {MAXIMUM_SEALED_BYTES} are accepted",
        )
    end = data.find(b"\n", 0, MAXIMUM_HEADER_BYTES + 1)
    if end < 0:
        return _malformed(f"no header line within {MAXIMUM_HEADER_BYTES} bytes")
    line, start = data[:end], end + 1
    header = _header(line)
    if isinstance(header, Refused):
        return header
    written = data[start : start + _SIGNATURE_LINE_BYTES]
    signature = spelled.from_base64(written[:-1].decode("latin-1"), keys.SIGNATURE_BYTES)
    if signature is None or written[-1:] != b"\n":
        return _malformed("line 2 is no signature")
    packed = data[start + _SIGNATURE_LINE_BYTES :]
    return _Parts(line=line, header=header, signature=signature, packed=packed)


def _line(header: Header) -> bytes:
    return canonical.written({
        "format": FORMAT, "kind": header.kind.value, "namespace": header.namespace,
        "version": header.version, "content": header.content, "digest": header.digest,
        "key": spelled.to_base64(header.key),
        "links": [keys.written_link(one) for one in header.links],
    }).encode()  # fmt: skip


def _header(line: bytes) -> Header | Refused:
    found = spelled.json_object(line)
    if found is None:
        return _malformed("line 1 is no JSON object")
    form = found.get("format")
    if form != FORMAT:
        if isinstance(form, str) and form.startswith(_ANY_FORMAT):
            return _malformed(f"its format is not `{FORMAT}`, update the sidecar")
        return _malformed("it is no delivery of mesh7")
    header = _meant(found)
    if header is None or _line(header) != line:
        return _malformed("line 1 is not a header in its one spelling")
    return header


def _meant(found: Mapping[str, object]) -> Header | None:
    fields = spelled.keyed(found, _KEYS)
    if fields is None:
        return None
    kind, namespace = fields["kind"], fields["namespace"]
    content, digest = fields["content"], fields["digest"]
    version = spelled.number(fields["version"], 1)
    key = spelled.from_base64(fields["key"], keys.KEY_BYTES)
    links = _links(fields["links"])
    if not (isinstance(kind, str) and kind in tuple(Kind)):
        return None
    if not (isinstance(namespace, str) and _NAMESPACE.fullmatch(namespace)):
        return None
    if not (isinstance(content, str) and _DIGEST.fullmatch(content)):
        return None
    if not (isinstance(digest, str) and _DIGEST.fullmatch(digest)):
        return None
    if version is None or key is None or links is None:
        return None
    return Header(
        kind=Kind(kind), namespace=namespace, version=version, content=content, digest=digest,
        key=key, links=links,
    )  # fmt: skip


def _links(written: object) -> tuple[keys.Link, ...] | None:
    if not isinstance(written, list) or len(written) > MAXIMUM_LINKS:
        return None
    found = [keys.read_link(one) for one in written]
    links = tuple(one for one in found if one is not None)
    return links if len(links) == len(found) else None


def _packed(payload: bytes) -> bytes:
    press = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    pressed = press.compress(payload) + press.flush()
    check = zlib.crc32(payload).to_bytes(4, "little")
    return _GZIP_HEAD + pressed + check + (len(payload) & 0xFFFFFFFF).to_bytes(4, "little")


def _unpacked(parts: _Parts) -> Opened | Refused:
    if not parts.packed.startswith(_GZIP_HEAD):
        return _malformed("the payload is not packed as it should be")
    press = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        payload = press.decompress(parts.packed, MAXIMUM_PAYLOAD_BYTES + 1)
    except zlib.error:
        return _malformed("the payload cannot be unpacked")
    if len(payload) > MAXIMUM_PAYLOAD_BYTES:
        return Refused(
            refusal=Refusal.TOO_LARGE,
            message=f"more than {MAXIMUM_PAYLOAD_BYTES} bytes when it is unpacked",
        )
    if not press.eof or press.unused_data:
        return _malformed("the payload is cut, or something follows it")
    if digest_of(payload) != parts.header.content:
        return _malformed("the payload is not what its header says")
    return Opened(header=parts.header, payload=payload)
