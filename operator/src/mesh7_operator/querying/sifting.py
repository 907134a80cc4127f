"""Which lines of a stream entry are wanted: newest first, and most are passed over unread.

What a wanted line must have in it is looked for in its bytes before anything is parsed.
Pure: no clock, no network, no logging.
"""

import re
from collections.abc import Iterator
from typing import Final

from mesh7_core.audit import recorded, wanted
from mesh7_core.audit.wanted import Wanted
from mesh7_core.ledger.audit_entries import Entry

_PLAIN: Final = re.compile(r"[A-Za-z0-9._-]+")
"""Text that JSON has no other spelling for among those that writers of ours use."""
_LATE_MS: Final = 3_600_000
"""A record may come to the stream that much later than it was made, and clocks may differ so."""
_MS_US: Final = 1000


class Sieve:
    """Of one question."""

    def __init__(self, asked: Wanted) -> None:
        self._asked = asked
        exact = (asked.trace, asked.request, asked.pod, asked.decision, asked.outcome, asked.reason)
        agent = asked.agent.rpartition("/")[2]
        self._needles = tuple(
            one.encode() for one in (asked.id, agent, *exact) if _PLAIN.fullmatch(one)
        )

    @property
    def before(self) -> str:
        """The stream id that all that can be wanted is older than; empty = there is none."""
        until_us = self._asked.until_us
        return "" if until_us is None else f"{max(0, until_us // _MS_US) + _LATE_MS}-0"

    def is_past(self, entry: Entry) -> bool:
        """Whether neither this entry nor an older one can have what is wanted."""
        since_us = self._asked.since_us
        return since_us is not None and entry.at_ms + _LATE_MS < since_us // _MS_US

    def may_have(self, entry: Entry) -> bool:
        """Whether it is worth looking at its lines."""
        body = entry.segment.body if entry.segment is not None else b""
        return bool(body) and all(needle in body for needle in self._needles)

    def lines(self, entry: Entry, most: int) -> Iterator[tuple[int, bytes]]:
        """Wanted lines with their positions, last first.

        Args:
            most: only so many lines at its beginning are looked at; 0 = all.
        """
        body = entry.segment.body if entry.segment is not None else b""
        every = body.split(b"\n")
        for position in range(min(most or len(every), len(every)) - 1, -1, -1):
            line = every[position]
            if not all(needle in line for needle in self._needles):
                continue
            found = recorded.read(line)
            if found is not None and wanted.means(self._asked, found):
                yield position, line
