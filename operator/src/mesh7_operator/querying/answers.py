"""An answer, as it grows entry by entry, newest first; and as the status that says it.

It ends when there are enough records, when nothing older can be wanted, or when so much was looked
at that it is somebody else's turn: then its cursor says where to go on, and stays good while new
records come. Only from entries that are believed by themselves is anything answered, for all pods
of a namespace can append. Pure: no clock, no network, no logging.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Final

from mesh7_core.audit import seals
from mesh7_core.ledger.audit_entries import Entry
from mesh7_operator.anchoring import believing
from mesh7_operator.querying.questions import Place, Question
from mesh7_operator.querying.sifting import Sieve

MOST_BYTES: Final = 512 * 1024
"""Of records in a status, as JSON spells them there."""
MOST_SCANNED: Final = 64 * 1024 * 1024
"""Bytes of entries that one answer may look at."""
MOST_MESSAGE: Final = 1024
NOTHING: Final = "nothing is recorded here that is still kept"
_QUOTES_AND_COMMA: Final = 3
_DOUBTED: Final = (
    "{} entries are left out, for they are not what a writer of their chain has signed; `kubectl "
    "mesh7 audit verify` says which, and who may have written them"
)

Status = Mapping[str, object]


class Answer:
    """To one question.

    Args:
        question: which.
        namespace: whose stream is looked through.

    Attributes:
        is_full: nothing more is to be taken in.
    """

    def __init__(self, question: Question, namespace: str) -> None:
        self._question = question
        self._namespace = namespace
        self._sieve = Sieve(question.wanted)
        self._records: list[str] = []
        self._places: dict[bytes, int] = {}
        self._size = self._scanned = self._scanned_bytes = self._oversized = self._doubted = 0
        self._place = question.place
        self._is_over = False
        self._seen = False
        self.is_full = False

    @property
    def before(self) -> str:
        """The id that the next entries are to be older than; empty = from the newest on."""
        return self._place.before if self._place is not None else self._sieve.before

    def take(self, entries: Sequence[Entry]) -> None:
        """Look at entries, newest first, older than `before`; none = there are no more."""
        if not entries:
            self._is_over = self.is_full = True
        for entry in entries:
            self._take(entry)
            if self.is_full:
                return

    def status(self) -> Status:
        """What is to be written."""
        said: dict[str, object] = {
            "phase": "Done", "records": self._records, "scanned": self._scanned,
        }  # fmt: skip
        if not self._is_over and self._place is not None:
            said["cursor"] = str(self._place)
        if message := self._message():
            said["message"] = message[:MOST_MESSAGE]
        return said

    def _take(self, entry: Entry) -> None:
        self._seen = True
        if self._sieve.is_past(entry):
            self._is_over = self.is_full = True
            return
        # Where an earlier answer ended within it.
        left = self._place.lines if self._place and self._place.entry == entry.id else 0
        self._place = Place(entry.id)
        self._scanned_bytes += entry.size_bytes
        self._scanned += _count(entry)
        is_meant = self._sieve.may_have(entry)
        if is_meant and not believing.is_believed(entry, self._namespace):
            self._doubted += 1
        elif is_meant:
            for position, line in self._sieve.lines(entry, left):
                if not self._add(line):
                    # It is the first of the next answer.
                    self._place = Place(entry.id, position + 1)
                    break
        has_enough = len(self._records) >= self._question.limit
        self.is_full |= has_enough or self._scanned_bytes >= MOST_SCANNED

    def _add(self, line: bytes) -> bool:
        """Whether there was room for it."""
        text = line.decode("utf-8", "replace")
        size = _size_of(text)
        if size > MOST_BYTES:
            self._oversized += 1
            return True
        name = line[: line.index(b",")]
        if name in self._places:
            return self._add_again(self._places[name], text, size)
        if self._size + size > MOST_BYTES or len(self._records) >= self._question.limit:
            self.is_full = True
            return False
        self._places[name] = len(self._records)
        self._records.append(text)
        self._size += size
        if self._question.wanted.id:
            # There is one of that id.
            self._is_over = self.is_full = True
        return True

    def _add_again(self, place: int, text: str, size: int) -> bool:
        """One that was sent twice, or with other words: what came first is what was followed."""
        before = self._records[place]
        self._doubted += before != text
        grown = self._size + size - _size_of(before)
        # Where there is no room for the first, the other is not to stand for it.
        if grown <= MOST_BYTES:
            self._records[place] = text
            self._size = grown
        return True

    def _message(self) -> str:
        said = []
        if not self._seen and self._question.place is None:
            said.append(NOTHING)
        elif self.is_full and not self._is_over and self._scanned_bytes >= MOST_SCANNED:
            said.append(f"{self._scanned} records were looked at; go on with the cursor")
        if self._oversized:
            said.append(f"{self._oversized} records are too large to be shown here")
        if self._doubted:
            said.append(_DOUBTED.format(self._doubted))
        return "; ".join(said)


def failed(why: str) -> Status:
    """There is no answer."""
    return {"phase": "Failed", "message": why[:MOST_MESSAGE]}


def _size_of(text: str) -> int:
    """Bytes of it in a status."""
    return len(json.dumps(text, ensure_ascii=False).encode()) + _QUOTES_AND_COMMA


def _count(entry: Entry) -> int:
    body = entry.segment.body if entry.segment is not None else b""
    return body.count(b"\n" + seals.RECORD) + body.startswith(seals.RECORD)
