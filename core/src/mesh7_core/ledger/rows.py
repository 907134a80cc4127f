"""What a ledger holds as rows of its database, and back; a damaged row is left out.

A damaged grant or veto is handed on as one that cannot be read: it may be a veto.

Pure: no clock, no network, no logging.
"""

import json
from array import array
from collections.abc import Iterable, Iterator

from mesh7_core.ledger import approvals
from mesh7_core.ledger.asked import Request
from mesh7_core.ledger.counts import Counts, Spent
from mesh7_core.ledger.database import Batch, Row
from mesh7_core.ledger.protocol import Standing
from mesh7_core.ledger.requests import Requests, kept_until
from mesh7_core.ledger.shelves import Shelf
from mesh7_core.ledger.stands import Stands, unreadable
from mesh7_core.ledger.windows import Places

_CELL_BYTES = 16
"""A stamp and a count, eight bytes each, in the machine's own order: the file stays on it."""


class Holding:
    """All that one home holds, to be filled from a file and written to it."""

    __slots__ = ("counts", "requests", "stands")

    def __init__(self, counts: Counts, requests: Requests, stands: Stands) -> None:
        self.counts = counts
        self.requests = requests
        self.stands = stands

    def fill(self, table: str, rows: Iterable[Row], now_ms: int) -> int:
        """Take the rows of a table; how many of them were damaged."""
        fill = {
            "windows": lambda row: _fill_places(self.counts.windows, row, now_ms),
            "repeats": lambda row: _fill_places(self.counts.repeats, row, now_ms),
            "uses": self._fill_uses,
            "requests": self._fill_request,
            "standing": self._fill_standing,
        }[table]
        return sum(not fill(row) for row in rows)

    def batch(self) -> Batch:
        """Everything, as one batch."""
        return Batch(
            rows={
                "windows": [places_row(key, places) for key, places in self.counts.windows],
                "repeats": [places_row(key, places) for key, places in self.counts.repeats],
                "uses": [uses_row(key, spent) for key, spent in self.counts.grants],
                "requests": [request_row(one) for one in self.requests],
                "standing": [standing_row(one) for one in self.stands.listed()],
            }
        )

    def _fill_uses(self, row: Row) -> bool:
        match row:
            case (str(key), int(used), int(expires_at_ms)) if used > 0 and expires_at_ms >= 0:
                self.counts.grants.keep(key, Spent(used, expires_at_ms))
                return True
            case _:
                return False

    def _fill_request(self, row: Row) -> bool:
        match row:
            case (str(key), bytes(body), int()):
                request = approvals.decode(body)
                if request is None or request.id != key:
                    return False
                self.requests.put(request)
                return True
            case _:
                return False

    def _fill_standing(self, row: Row) -> bool:
        match row:
            case (str(name), str(document), int(made_at_ms), str(by)):
                self.stands.put(
                    Standing(name=name, document=document, made_at_ms=made_at_ms, by=by)
                )
                return True
            case (name, *_):
                self.stands.put(unreadable(name if isinstance(name, str) else repr(name)))
                return True
            case _:
                return False


def shelf_rows(shelf: Shelf, keys: Iterable[str], now_ms: int) -> Iterator[Row]:
    """The rows of these windows; of those that have lapsed there is none."""
    for key in keys:
        # Only calls set windows back: when something is written must not change what is answered.
        places = shelf.kept(key, now_ms)
        if places is not None:
            yield places_row(key, places)


def places_row(key: str, places: Places) -> Row:
    """A window: stamps and then counts as one run of numbers, leases as a JSON object."""
    cells = array("q", places.stamps + places.counts).tobytes()
    return key, cells, json.dumps(places.leases) if places.leases else "", places.lapses_at_ms


def uses_row(key: str, spent: Spent) -> Row:
    """A grant's uses."""
    return key, spent.used, spent.expires_at_ms


def request_row(request: Request) -> Row:
    """A request, and until when it is kept."""
    return request.id, approvals.encode(request), kept_until(request)


def standing_row(standing: Standing) -> Row:
    """A grant or veto made by hand."""
    return standing.name, standing.document, standing.made_at_ms, standing.by


def _fill_places(shelf: Shelf, row: Row, now_ms: int) -> bool:
    match row:
        case (str(key), bytes(cells), str(leases), int(lapses_at_ms)):
            places = _places(cells, leases, lapses_at_ms)
            if places is None:
                return False
            if not places.lapses_at_ms or places.lapses_at_ms > now_ms:
                shelf.keep(key, places)
            return True
        case _:
            return False


def _places(cells: bytes, leases: str, lapses_at_ms: int) -> Places | None:
    held = _leases(leases)
    if held is None or len(cells) % _CELL_BYTES or lapses_at_ms < 0:
        return None
    numbers = array("q", cells).tolist()
    places = Places()
    half = len(numbers) // 2
    places.stamps, places.counts = numbers[:half], numbers[half:]
    if sorted(places.stamps) != places.stamps or any(one < 1 for one in places.counts):
        return None
    places.used = sum(places.counts)
    places.leases = held
    places.lapses_at_ms = lapses_at_ms
    return places


def _leases(written: str) -> dict[str, int] | None:
    if not written:
        return {}
    try:
        found = json.loads(written)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not all(type(end) is int for end in found.values()):
        return None
    return found
