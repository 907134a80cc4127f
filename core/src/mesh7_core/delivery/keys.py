"""Ed25519 keys that sign what is delivered, and the chain by which a new key follows an old one.

A sidecar is given one public key when its pod is made. Each later key is endorsed by the one before
it, so a chain leads from any key that a pod was made with to the one in use today.
Pure: no clock, no network, no logging; randomness is an argument.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field


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
        raise NotImplementedError

    def sign(self, purpose: str, message: bytes) -> bytes:
        """64 bytes over `purpose`, a zero byte and the message: no signature serves two ends."""
        raise NotImplementedError


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
    raise NotImplementedError


def name_of(public: bytes) -> str:
    """What people and logs call a key: `ed25519:` and 16 hex digits of its SHA-256."""
    raise NotImplementedError


def endorse(by: SigningKey, public: bytes) -> Link:
    """Say that `public` follows `by`."""
    raise NotImplementedError


def reachable(root: bytes, links: Sequence[Link]) -> tuple[bytes, ...]:
    """`root` and the keys that follow it, in order, as far as each link is signed."""
    raise NotImplementedError
