"""Segments of audit chains in Redis: appended by sidecars, moved and read by the operator.

A segment is one or more whole blocks of one chain, or the word of its writer that such blocks were
not sent, or that the chain ends. It is appended as one text: a line that says which it is, then the
bytes of the blocks. What is read back was possibly written by somebody else.
Pure: no clock, no network, no logging.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from mesh7_core.delivery import keys, spelled

LONGEST: Final = 1024 * 1024
"""Bytes of a segment with its line; a longer one is none."""
LONGEST_LINE: Final = 800
"""Bytes of that line at most."""
NOBODY: Final = "-"
_CHAIN: Final = re.compile(r"[a-z2-7]{12}")
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_NUMBER: Final = re.compile(r"[0-9]{1,16}")
_POD: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")
_UID: Final = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z-]{0,34}[0-9A-Za-z])?")
_ID: Final = re.compile(r"[0-9]{1,19}-[0-9]{1,19}")


class Kind(StrEnum):
    """What a segment is."""

    BLOCKS = "blocks"
    WITHHELD = "withheld"
    """These blocks were not sent: Redis was away for too long. They are on the writer's stdout."""
    END = "end"
    """Nothing follows the block that it names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Blocks `first` to `last` of a chain.

    Attributes:
        hash: of block `last`, 64 hex digits.
        records: how many the blocks hold, by their writer's word.
        uid, pod: whose chain it is, by the same word; `-` = nobody's.
        body: the blocks as they were written; empty unless these are BLOCKS.
        key: public, 32 bytes; the chain is named by it (`audit_writers`). Empty = none was given:
            the operator needs none, for nobody else can write into the stream itself.
        signature: with it over all of the above, 64 bytes; empty = none was given.
    """

    kind: Kind
    chain: str
    first: int
    last: int
    hash: str
    records: int
    uid: str = NOBODY
    pod: str = NOBODY
    body: bytes = field(default=b"", repr=False)
    key: bytes = field(default=b"", repr=False)
    signature: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What lies in a namespace's stream under one id.

    Attributes:
        id: `<milliseconds>-<number>`, given by the server.
        segment: None = nobody of ours has written this.
        is_operators: the operator wrote it; whoever it comes from otherwise shares the
            namespace's credentials.
        size_bytes: of what lies there.
    """

    id: str
    segment: Segment | None
    is_operators: bool
    size_bytes: int

    @property
    def at_ms(self) -> int:
        """When it came there, by the server's clock."""
        return int(self.id.partition("-")[0])

    @property
    def place(self) -> tuple[int, int]:
        """By which entries are ordered."""
        return place_of(self.id)


def place_of(entry_id: str) -> tuple[int, int]:
    """Its two numbers; (0, 0) is before every entry, and of whatever is no id."""
    if not _ID.fullmatch(entry_id):
        return 0, 0
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number)


def uid_of(text: str) -> str:
    """The same if a segment can bear it, else nobody's."""
    return text if _UID.fullmatch(text) else NOBODY


def pod_of(text: str) -> str:
    """The same if a segment can bear it, else nobody's."""
    return text if _POD.fullmatch(text) else NOBODY


def words(segment: Segment) -> str:
    """What its line says but for key and signature: without the body, all that is signed."""
    return (
        f"{segment.kind} {segment.chain} {segment.first} {segment.last} {segment.hash}"
        f" {segment.records} {segment.uid} {segment.pod}"
    )


def written(segment: Segment) -> bytes:
    """As it is appended to the inbox."""
    shown = (spelled.to_base64(one) or NOBODY for one in (segment.key, segment.signature))
    return f"{words(segment)} {' '.join(shown)}\n".encode("ascii") + segment.body


def fields(segment: Segment) -> list[bytes | str | int]:
    """As the operator writes its own into the stream."""
    return [
        "k", segment.kind.value, "c", segment.chain, "n", segment.first, "m", segment.last,
        "h", segment.hash, "r", segment.records, "u", segment.uid, "p", segment.pod,
        "b", segment.body, "o", 1,
    ]  # fmt: skip


def read_entry(reply: object) -> Entry | None:
    """One of the entries that a server answers; None = an answer that no server gives."""
    match reply:
        case [bytes(entry_id), [*found]] if _ID.fullmatch(_text(entry_id)):
            held = _pairs(found)
        case _:
            return None
    return Entry(
        id=_text(entry_id),
        segment=_segment(held),
        is_operators=held.get(b"o") == b"1",
        size_bytes=sum(len(one) for pair in held.items() for one in pair),
    )


def _pairs(found: Sequence[object]) -> Mapping[bytes, bytes]:
    each = zip(found[::2], found[1::2], strict=False)
    return {
        name: value for name, value in each if isinstance(name, bytes) and isinstance(value, bytes)
    }


def _segment(held: Mapping[bytes, bytes]) -> Segment | None:
    said = {name: _text(held.get(name.encode(), b"")) for name in "kcnmhrupys"}
    numbers = [_number(said[name]) for name in "nmr"]
    is_one = (
        said["k"] in set(Kind)
        and _CHAIN.fullmatch(said["c"])
        and _HASH.fullmatch(said["h"])
        and (said["u"], said["p"]) == (uid_of(said["u"]), pod_of(said["p"]))
        and 0 <= numbers[0] <= numbers[1]
        and numbers[2] >= 0
    )
    body = held.get(b"b", b"")
    if not is_one or bool(body) != (said["k"] == Kind.BLOCKS):
        return None
    return Segment(
        kind=Kind(said["k"]),
        chain=said["c"],
        first=numbers[0],
        last=numbers[1],
        hash=said["h"],
        records=numbers[2],
        uid=said["u"],
        pod=said["p"],
        body=body,
        key=spelled.from_base64(said["y"], keys.KEY_BYTES) or b"",
        signature=spelled.from_base64(said["s"], keys.SIGNATURE_BYTES) or b"",
    )


def _number(text: str) -> int:
    """-1 = it is none."""
    number = int(text) if _NUMBER.fullmatch(text) else -1
    return number if number <= spelled.MOST else -1


def _text(found: bytes) -> str:
    return found.decode("latin-1")
