"""Ed25519 keys that sign what is delivered, and the chain by which a new key follows an old one.

A sidecar is given one public key when its pod is made. Each later key is endorsed by the one before
it, so a chain leads from any key that a pod was made with to the one in use today.
Pure: no clock, no network, no logging; randomness is an argument.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from mesh7_core.delivery import spelled

KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
PURPOSE: Final = "mesh7.dev/key-v1"
"""Of a link: what is signed is the 32 bytes of the key that follows."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key.

    Attributes:
        seed: 32 bytes; no repr shows them.
    """

    seed: bytes = field(repr=False)

    @property
    def public(self) -> bytes:
        """32 bytes."""
        return Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw()

    def sign(self, purpose: str, message: bytes) -> bytes:
        """64 bytes over `purpose`, a zero byte and the message: no signature serves two ends."""
        return Ed25519PrivateKey.from_private_bytes(self.seed).sign(_meant(purpose, message))


@dataclass(frozen=True, slots=True)
class Link:
    """One key says that another follows it.

    Attributes:
        key: public key that follows, 32 bytes.
        by: public key that says so, 32 bytes.
        signature: 64 bytes.
    """

    key: bytes
    by: bytes
    signature: bytes


def verify(public: bytes, purpose: str, message: bytes, signature: bytes) -> bool:
    """Whether `public` signed it for this purpose. Total: what is no key or signature is a no."""
    if len(public) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, _meant(purpose, message))
    except (InvalidSignature, ValueError):
        return False
    return True


def name_of(public: bytes) -> str:
    """What people and logs call a key: `ed25519:` and 16 hex digits of its SHA-256."""
    return f"ed25519:{hashlib.sha256(public).hexdigest()[:16]}"


def endorse(by: SigningKey, public: bytes) -> Link:
    """Say that `public` follows `by`."""
    return Link(key=public, by=by.public, signature=by.sign(PURPOSE, public))


def reachable(root: bytes, links: Sequence[Link]) -> tuple[bytes, ...]:
    """`root` and the keys that follow it, in order, as far as each link is signed."""
    return (root, *(link.key for link in following((root,), links)))


def following(known: Sequence[bytes], links: Sequence[Link]) -> tuple[Link, ...]:
    """The links that lead from known keys to new ones, in the order given.

    A link counts if its `by` is known by then (given, or reached by an earlier link) and signed it;
    links between keys that are known already say nothing new and are left out.

    Args:
        known: keys that may endorse.
        links: oldest first; what does not verify is passed over.
    """
    trusted = set(known)
    found = []
    for link in links:
        if link.by not in trusted or link.key in trusted or len(link.key) != KEY_BYTES:
            continue
        if verify(link.by, PURPOSE, link.key, link.signature):
            trusted.add(link.key)
            found.append(link)
    return tuple(found)


def written_link(link: Link) -> dict[str, object]:
    """For JSON: the three in base64."""
    return {
        "key": spelled.to_base64(link.key),
        "by": spelled.to_base64(link.by),
        "signature": spelled.to_base64(link.signature),
    }


def read_link(value: object) -> Link | None:
    """The inverse, unverified; None for anything else."""
    fields = spelled.keyed(value, ("key", "by", "signature"))
    if fields is None:
        return None
    key = spelled.from_base64(fields["key"], KEY_BYTES)
    by = spelled.from_base64(fields["by"], KEY_BYTES)
    signature = spelled.from_base64(fields["signature"], SIGNATURE_BYTES)
    if key is None or by is None or signature is None:
        return None
    return Link(key=key, by=by, signature=signature)


def _meant(purpose: str, message: bytes) -> bytes:
    return purpose.encode() + b"\0" + message
