"""A cluster as the audit's verbs want it: the records of one namespace, page by page."""

import re
from typing import Final

from mesh7_cli import neutral, reading
from mesh7_cli.backend import Voice
from mesh7_cli.querying import spec
from mesh7_cli.querying.asking import Asking
from mesh7_cli.records import Page, Seal, Wish

_RECORD: Final = re.compile(r"[a-z2-7]{12}-[1-9][0-9]{0,15}")
MOST_ROUNDS: Final = 10
"""Questions for one page: each looks at as much of the audit as is one's turn."""


class Cluster:
    """The audit of one namespace, as `records.Records` wants it.

    It complains by ClusterError.
    """

    def __init__(self, asking: Asking, namespace: str) -> None:
        self._asking = asking
        self._namespace = namespace

    @property
    def voice(self) -> Voice:
        """Of `kubectl mesh7`."""
        where = f" -n {neutral.line(self._namespace)}"
        return Voice(program="kubectl mesh7", complaint="error: ", where=where)

    def seal(self, identifier: str) -> Seal:  # noqa: ARG002 - the blocks are the controller's
        """Whoever has it verified by the controller learns more."""
        return Seal.NOT_CHECKED

    def query(self, wish: Wish) -> Page:
        """The newest records that are wanted."""
        if wish.wanted.id and not _RECORD.fullmatch(wish.wanted.id):
            # No pod's record has such an id, and the API server would refuse the question.
            return Page(lines=())
        lines, notes, cursor, scanned = list[str](), dict[str, None](), wish.cursor, 0
        for _ in range(MOST_ROUNDS):
            left = Wish(wanted=wish.wanted, limit=wish.limit - len(lines), cursor=cursor)
            status = self._asking.ask(self._namespace, spec.of_wish(left))
            lines += reading.texts(status, "records")
            cursor = reading.text(status, "cursor")
            scanned += reading.number(status, "scanned")
            if not cursor or len(lines) >= wish.limit:
                said = reading.text(status, "message")
                notes |= {neutral.line(said): None} if said and not cursor else {}
                break
        else:
            notes[f"{scanned:,} records were looked at, and there are older ones"] = None
        return Page(lines=tuple(lines[: wish.limit]), cursor=cursor, notes=tuple(notes))
