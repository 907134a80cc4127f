"""A payload with its number and signature, as it lies in a ConfigMap and in Redis.

    line 1   header: canonical JSON – format, kind, namespace, version, content, digest, key, links
    line 2   base64 of the Ed25519 signature over line 1
    rest     gzip of the payload (canonical JSON), mtime 0

The signature is checked before anything else is read, and the digest before anything is unpacked.
Pure: no clock, no network, no logging.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from mesh7_core.delivery import keys

FORMAT: Final = "mesh7.dev/delivery-v1"
MAXIMUM_SEALED_BYTES: Final = 700 * 1024
"""Of one envelope; bundle and overlay together fit a ConfigMap (1 MiB with base64 not counted)."""
MAXIMUM_PAYLOAD_BYTES: Final = 16 * 1024 * 1024
"""Unpacked; more is refused unread."""


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
    """Pack and sign; the same arguments give the same bytes. The size is for the caller to judge."""
    raise NotImplementedError


def read_header(data: bytes) -> Header | Refused:
    """What it claims, unverified: to see whether it is worth opening."""
    raise NotImplementedError


def unseal(
    data: bytes, kind: Kind, namespace: str, trusted: Collection[bytes]
) -> Opened | Refused:
    """Verify and unpack. Total: whatever was written there, the answer is a value.

    Args:
        data: as found; anybody may have written it.
        kind: what is looked for there.
        namespace: whose it has to be.
        trusted: public keys that may have signed it.
    """
    raise NotImplementedError
