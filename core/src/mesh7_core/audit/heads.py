"""Where a chain of records stands, as a value, and signed so that nobody else can say it.

A head names one block by its hash, and so everything before it. Its line is documented in
docs/reference/audit.md. Pure: no clock, no network, no logging; keys are arguments.
"""

import re
from dataclasses import dataclass
from typing import Final

import orjson

from mesh7_core.delivery import keys, spelled

PURPOSE: Final = "mesh7.dev/audit-head-v1"
"""Of a signature: what is signed is `canonical(head)`."""
NOTHING: Final = "0" * 64
"""Stands for the hash of what is before the first block."""
LONGEST_LINE: Final = 1024

_CHAIN: Final = re.compile(r"[a-z2-7]{12}")
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_MOST: Final = 2**53


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The end of a chain at some time.

    Attributes:
        chain: 12 characters of lower-case base32.
        block: the number of the last block; 0 = none yet.
        total: records in blocks 1 to `block`.
        hash: of that block, 64 hex digits; `NOTHING` for block 0.
        time: of that block's seal as written; empty for block 0.
        first: the oldest block that was kept when this was said; 1 = all, `block + 1` = none.
    """

    chain: str
    block: int
    total: int
    hash: str
    time: str
    first: int = 1


def begun(chain: str) -> Head:
    """Of a chain that has no block yet.

    Args:
        chain: its name, 12 random characters of lower-case base32.
    """
    return Head(chain=chain, block=0, total=0, hash=NOTHING, time="")


def canonical(head: Head) -> bytes:
    """The one way to write it; what is signed."""
    return orjson.dumps(
        {
            "chain": head.chain,
            "block": head.block,
            "total": head.total,
            "first": head.first,
            "time": head.time,
            "hash": head.hash,
        }
    )


def signed(head: Head, key: keys.SigningKey) -> bytes:
    """One JSON object, without the newline."""
    signature = spelled.to_base64(key.sign(PURPOSE, canonical(head)))
    return b'{"head":%b,"key":"%b","signature":"%b"}' % (
        canonical(head),
        keys.name_of(key.public).encode(),
        signature.encode(),
    )


def read(line: bytes) -> Head | None:
    """The head that a line of `signed` has, or one of `canonical`; nothing is verified."""
    fields = _fields(line)
    if fields is None:
        return None
    return read_fields(fields.get("head", fields))


def verified(line: bytes, public: bytes) -> Head | None:
    """The head of a line that this key signed; None for everything else."""
    fields, head = _fields(line), read(line)
    if fields is None or head is None:
        return None
    signature = spelled.from_base64(fields.get("signature"), keys.SIGNATURE_BYTES)
    if signature is None or not keys.verify(public, PURPOSE, canonical(head), signature):
        return None
    return head


def read_fields(value: object) -> Head | None:
    """A head from what JSON reads as; None when it is none."""
    match value:
        case {
            "chain": str() as chain,
            "block": int() as block,
            "total": int() as total,
            "first": int() as first,
            "time": str() as time,
            "hash": str() as hash_,
        }:
            head = Head(chain=chain, block=block, total=total, hash=hash_, time=time, first=first)
            return head if _is_sound(head) else None
        case _:
            return None


def _is_sound(head: Head) -> bool:
    return (
        _CHAIN.fullmatch(head.chain) is not None
        and _HASH.fullmatch(head.hash) is not None
        and (not head.block or _TIME.fullmatch(head.time) is not None)
        and 0 <= head.block <= head.total < _MOST
        and 1 <= head.first <= head.block + 1
    )


def _fields(line: bytes) -> dict[str, object] | None:
    if len(line) > LONGEST_LINE:
        return None
    try:
        value = orjson.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
