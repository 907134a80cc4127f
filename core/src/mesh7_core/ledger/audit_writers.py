"""Who speaks for a chain: whoever has the key that it is named by, and nobody else.

A sidecar makes a key for its chain when it starts, and keeps it in memory alone. What the chain is
called follows from the public key, so its name, which stands in every record, says by itself whose
word counts; no list of keys is needed, and whoever reads a pod's log cannot speak for it.
Pure: no clock, no network, no logging.
"""

import base64
from dataclasses import replace
from hashlib import sha256
from typing import Final

from mesh7_core.delivery import keys
from mesh7_core.ledger import audit_entries
from mesh7_core.ledger.audit_entries import Segment

PURPOSE: Final = "mesh7.dev/audit-segment-v1"
"""Of a signature: what is signed is the namespace, the segment's words, and its body's SHA-256."""
NAMED_BY: Final = b"mesh7.dev/audit-chain-v1\0"
"""Stands before the public key in what a chain's name is the hash of."""
_NAME_LENGTH: Final = 12


def name_of(public: bytes) -> str:
    """What the chain of this key is called: 12 characters of lower-case base32."""
    digest = sha256(NAMED_BY + public).digest()
    return base64.b32encode(digest).decode().lower()[:_NAME_LENGTH]


def signed(segment: Segment, key: keys.SigningKey, namespace: str) -> Segment:
    """The same with its writer's signature.

    Args:
        key: that its chain is named by.
        namespace: whose audit it is for.
    """
    signature = key.sign(PURPOSE, _canonical(segment, namespace))
    return replace(segment, key=key.public, signature=signature)


def is_signed(segment: Segment, namespace: str) -> bool:
    """Whether the key that the chain is named by has signed all of it, for this namespace."""
    return name_of(segment.key) == segment.chain and keys.verify(
        segment.key, PURPOSE, _canonical(segment, namespace), segment.signature
    )


def _canonical(segment: Segment, namespace: str) -> bytes:
    body = sha256(segment.body).hexdigest()
    return f"{namespace} {audit_entries.words(segment)} {body}".encode("utf-8", "replace")
