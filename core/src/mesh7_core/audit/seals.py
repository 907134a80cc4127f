"""The line that closes a block of records, and what a line of records begins with.

    {"id":"k3v7q2m5x4ab-1","time":…}                                     a record
    {"id":"k3v7q2m5x4ab-2","time":…}
    {"seal":{"chain":"k3v7q2m5x4ab","block":1,"records":2,"total":2,"time":"…",
             "previous":"<64 hex>","hash":"<64 hex>"}}                    its seal, on one line

`hash` is the SHA-256 of every byte that is stored after the seal before, through to the one before
`,"hash":"`: so it covers the records with their newlines, and all that the seal itself says.
Pure: no clock, no network, no logging.
"""

import re
from hashlib import sha256
from typing import Final

import orjson

from mesh7_core.audit.heads import Head

SEAL: Final = b'{"seal":{"chain":"'
"""A line that begins so is a seal, for every other one of ours begins with `RECORD`."""
RECORD: Final = b'{"id":"'
LONGEST_SEAL: Final = 512
"""Bytes of one with its newline; numbers of 16 digits leave room."""

_NEXT: Final = b"\n" + SEAL
_SEAL: Final = re.compile(
    rb'\{"seal":\{"chain":"([a-z2-7]{12})","block":([1-9][0-9]{0,15}),"records":([1-9][0-9]{0,15})'
    rb',"total":([1-9][0-9]{0,15}),"time":"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{6}Z)"'
    rb',"previous":"([0-9a-f]{64})","hash":"([0-9a-f]{64})"\}\}\n'
)
_PIECE_BYTES: Final = 2047
"""Of more at once, hashlib lets go of the interpreter, and a thread that seals block by block
beside a busy loop waits for it each time."""
_AFTER_HASHED: Final = len(b',"hash":""}}\n') + 64


class Seal:
    """What a seal says. A plain slotted class: a verifier makes very many.

    Attributes:
        chain, block, total, time, hash: as of `Head`.
        records: in this block.
        previous: the hash of the block before, `heads.NOTHING` in block 1.
        begin, end: of the line with its newline, within the bytes that it was read from.
    """

    __slots__ = (
        "begin", "block", "chain", "end", "hash", "previous", "records", "time", "total"
    )  # fmt: skip

    def __init__(self, line: re.Match[bytes]) -> None:
        chain, block, records, total, time, previous, name = line.groups()
        self.chain = chain.decode()
        self.block = int(block)
        self.records = int(records)
        self.total = int(total)
        self.time = time.decode()
        self.previous = previous.decode()
        self.hash = name.decode()
        self.begin, self.end = line.span()

    @property
    def head(self) -> Head:
        """The chain as it stands with this block. Made when it is asked for: few ever are."""
        return Head(
            chain=self.chain, block=self.block, total=self.total, hash=self.hash, time=self.time
        )


def sealed(content: bytes, before: Head, records: int, time: str) -> tuple[bytes, Head]:
    """The seal of a block with its newline, and where the chain stands with it.

    Args:
        content: every byte since the last seal.
        before: where the chain stands.
        records: how many of them are in the block.
        time: `moments.written`.
    """
    chain, block, total = before.chain, before.block + 1, before.total + records
    said = (
        f'{{"seal":{{"chain":"{chain}","block":{block},"records":{records},"total":{total}'
        f',"time":"{time}","previous":"{before.hash}"'
    ).encode()
    hashed = sha256()
    stored = memoryview(content)
    for at in range(0, len(stored), _PIECE_BYTES):
        hashed.update(stored[at : at + _PIECE_BYTES])
    hashed.update(said)
    name = hashed.hexdigest()
    head = Head(chain=chain, block=block, total=total, hash=name, time=time, first=before.first)
    return b'%b,"hash":"%b"}}\n' % (said, name.encode()), head


def find(stored: bytes, at: int) -> int:
    """Where the next line that claims to be a seal begins, from the line that begins at `at`.

    -1 = there is none.
    """
    if stored.startswith(SEAL, at):
        return at
    found = stored.find(_NEXT, at)
    return found if found < 0 else found + 1


def read(stored: bytes, begin: int) -> Seal | None:
    """The seal whose line begins there; None when it is no whole, well-formed one."""
    found = _SEAL.match(stored, begin)
    return None if found is None else Seal(found)


def is_true(stored: memoryview, begin: int, seal: Seal) -> bool:
    """Whether its hash is that of what is stored from `begin` on."""
    content = stored[begin : seal.end - _AFTER_HASHED]
    return sha256(content).hexdigest() == seal.hash


def last(stored: bytes) -> Seal | None:
    """The last whole seal; None when there is none."""
    end = len(stored)
    while True:
        begin = stored.rfind(SEAL, 0, end)
        if begin < 0:
            return None
        found = read(stored, begin) if begin == 0 or stored[begin - 1] == ord("\n") else None
        if found is not None:
            return found
        end = begin


def count_records(stored: bytes, chain: str, number: int) -> int:
    """How many whole records of the chain there are among lines, the first being `number`.

    Lines that a crash cut off stand among them; each is no JSON, and the record that follows has
    its number.
    """
    found = 0
    for line in stored.split(b"\n")[:-1]:
        opening = b'{"id":"%b-%d",' % (chain.encode(), number + found)
        if line.startswith(opening) and is_json(line):
            found += 1
    return found


def is_json(line: bytes) -> bool:
    """Whether the line is whole; a part of a record is not."""
    try:
        orjson.loads(line)
    except ValueError:
        return False
    return True
