"""The grants and vetoes that were last read, noted in the journal for a start without the ledger.

A gateway that is started anew while its store is away is bound by the kills that it knew.
"""

import json
from typing import Final

from mesh7_core.compiling.grants import MAXIMUM_CHARACTERS
from mesh7_core.ledger.protocol import Standing
from mesh7_core.ledger.stands import unreadable
from mesh7_sidecar.gate.journal import Journal

_NAME: Final = "standing:"


class Notes:
    """Of one namespace's ledger, in one gateway's journal."""

    def __init__(self, journal: Journal, namespace: str) -> None:
        self._journal = journal
        self._name = _NAME + namespace
        self._written: tuple[Standing, ...] | None = None

    def read(self) -> tuple[Standing, ...] | None:
        """What was noted last, perhaps by an earlier process; None when nothing was."""
        text = self._journal.known(self._name)
        return _decoded(text) if text else None

    async def write(self, found: tuple[Standing, ...]) -> None:
        """Note these; on disk when it returns, unless the disk takes nothing."""
        if found != self._written and await self._journal.remember(self._name, _encoded(found)):
            self._written = found


def _encoded(found: tuple[Standing, ...]) -> str:
    return json.dumps([[one.name, _cut(one), one.made_at_ms, one.by] for one in found])


def _cut(standing: Standing) -> str:
    # What is too long to be read is not read the shorter.
    return standing.document if len(standing.document) <= MAXIMUM_CHARACTERS else ""


def _decoded(text: str) -> tuple[Standing, ...] | None:
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return tuple(_standing(row) for row in rows) if isinstance(rows, list) else None


def _standing(row: object) -> Standing:
    match row:
        case [str(name), str(document), int(made_at_ms), str(by)]:
            return Standing(name=name, document=document, made_at_ms=made_at_ms, by=by)
        case _:
            return unreadable("damaged-note")
