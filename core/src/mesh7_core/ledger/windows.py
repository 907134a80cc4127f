"""The arithmetic of one sliding window: who has a place in it, and when the next is free.

A window is a list of cells, oldest first, each a stamp and a count, and of reservations, each a
digest and the end of its lease. All numbers are whole milliseconds or counts.

    a cell counts            while stamp > now - window_ms; of a lifetime (window_ms 0) always
    a reservation counts     while its lease ends after now
    there is room            when counting cells + others' counting reservations < maximum
    a call is stamped        into the newest cell when both fall into the same slice
                             (stamp // slice == now // slice), which then bears the newer stamp;
                             else into a cell of its own
    slice                    1 when maximum ≤ 256; else window_ms // 256, at least 1;
                             of a lifetime there is one cell only
    what counts is forgotten when the newest cell has aged and every lease has ended
    the future               when the clock was set back, stamps of the future are now, and leases
                             end an hour from now at the latest

So up to 256 calls a window are counted exactly, and above that a call stays at most a 256th of the
window too long: the count errs towards refusing only, and no window needs more than some 257 cells.
The maximum and the window are those of the moment: nothing is kept of what they were, so a
changed limit holds from the next call. What was refused or only looked at leaves everything as it
was, so cells are dropped only when another is written.

`functions.lua` does the very same sums and must agree (`tests/core/ledger/test_agreement.py`).
Pure: no clock, no network, no logging.
"""

from typing import Final

from mesh7_core.ledger.protocol import Window

MOST_EXACT: Final = 256
"""Maximums up to here are counted exactly; above, the window is cut into as many slices."""
LONGEST_LEASE_MS: Final = 3_600_000
"""No reservation outlasts its holder by more; who lives reserves anew each second."""
_SESSION: Final = ":Session:"


class Places:
    """The taken places of one window. Changed in place; a plain slotted class.

    Attributes:
        stamps, counts: of the cells, oldest first.
        used: the sum of `counts`.
        leases: digest → when its reservation lapses.
        lapses_at_ms: from then on it is as if there were none; 0 = never.
        due_ms: when whoever keeps it looks whether it has lapsed; 0 = not planned.
    """

    __slots__ = ("counts", "due_ms", "lapses_at_ms", "leases", "stamps", "used")

    def __init__(self) -> None:
        self.stamps: list[int] = []
        self.counts: list[int] = []
        self.used = 0
        self.leases: dict[str, int] = {}
        self.lapses_at_ms = 0
        self.due_ms = 0


def slice_ms(window: Window) -> int:
    """How far apart two calls are that may share a cell."""
    if window.maximum <= MOST_EXACT:
        return 1
    return window.window_ms // MOST_EXACT or 1


def taken(places: Places, window: Window, digest: str, now_ms: int) -> int:
    """How many places others have: a reservation under `digest` itself does not count."""
    used = places.used
    if window.window_ms:
        horizon = now_ms - window.window_ms
        counts = places.counts
        for index, stamp in enumerate(places.stamps):
            if stamp > horizon:
                break
            used -= counts[index]
    if places.leases:
        used += sum(1 for holder, end in places.leases.items() if end > now_ms and holder != digest)
    return used


def retry_after(places: Places, window: Window, digest: str, now_ms: int) -> int:
    """In how many milliseconds a place is free if nobody else takes it, of a window without room.

    Cells age and leases end; the answer is when enough of them have. At least 1; 0 = never.
    """
    missing = taken(places, window, digest, now_ms) - window.maximum + 1
    freed = [(end, 1) for holder, end in places.leases.items() if end > now_ms and holder != digest]
    if window.window_ms:
        horizon = now_ms - window.window_ms
        freed += [
            (stamp + window.window_ms, count)
            for stamp, count in zip(places.stamps, places.counts, strict=True)
            if stamp > horizon
        ]
    for at_ms, count in sorted(freed):
        missing -= count
        if missing <= 0:
            return at_ms - now_ms
    return 0


def is_reserved(places: Places, digest: str, now_ms: int) -> bool:
    """Whether a place is reserved under `digest`."""
    return places.leases.get(digest, 0) > now_ms


def stamp(places: Places, window: Window, digest: str, now_ms: int) -> None:
    """Count one call now; what was reserved under `digest` becomes that call."""
    if places.leases:
        places.leases.pop(digest, None)
    _forget(places, window, now_ms)
    stamps, counts = places.stamps, places.counts
    if not window.window_ms:
        stamps[:] = [now_ms]
        counts[:] = [places.used + 1]
    elif stamps and _shares(stamps[-1], now_ms, slice_ms(window)):
        stamps[-1] = now_ms
        counts[-1] += 1
    else:
        stamps.append(now_ms)
        counts.append(1)
    places.used += 1
    places.lapses_at_ms = _lapses_at(places, window, now_ms)


def reserve(places: Places, window: Window, digest: str, end_ms: int, now_ms: int) -> None:
    """Keep a place under `digest` until `end_ms`; once, however often: the lease starts anew."""
    _forget(places, window, now_ms)
    places.leases[digest] = min(end_ms, now_ms + LONGEST_LEASE_MS)
    places.lapses_at_ms = _lapses_at(places, window, now_ms)


def give_back(places: Places, window: Window, digest: str, now_ms: int) -> None:
    """Free what is reserved under `digest`; nothing reserved is fine."""
    if places.leases.pop(digest, None) is not None:
        _forget(places, window, now_ms)
        places.lapses_at_ms = _lapses_at(places, window, now_ms)


def set_back(places: Places, now_ms: int) -> None:
    """Bring what lies in the future to now, for the clock was set back; else do nothing.

    It would hold its places until the clock has caught up. A call was made before now, so that
    counting it from now on errs towards refusing. Seen by the future itself, because a clock can
    be set back while nobody runs.
    """
    stamps = places.stamps
    if stamps and stamps[-1] > now_ms:
        stamps[:] = [min(one, now_ms) for one in stamps]
    latest_ms = now_ms + LONGEST_LEASE_MS
    if places.leases and max(places.leases.values()) > latest_ms:
        places.leases = {holder: min(end, latest_ms) for holder, end in places.leases.items()}


def is_of_session(key: str) -> bool:
    """Whether a window is one session's own (`<policy>/<limit>:Session:<pod>/<session>`).

    Not so is that of all calls of a pod without one, which is named by the pod alone.
    """
    return "/" in key.partition(_SESSION)[2]


def _shares(newest_ms: int, now_ms: int, span_ms: int) -> bool:
    return newest_ms // span_ms == now_ms // span_ms


def _forget(places: Places, window: Window, now_ms: int) -> None:
    """Drop cells that have aged and leases that have ended."""
    stamps = places.stamps
    if window.window_ms and stamps:
        horizon = now_ms - window.window_ms
        if stamps[0] <= horizon:
            aged = next((i for i, one in enumerate(stamps) if one > horizon), len(stamps))
            places.used -= sum(places.counts[:aged])
            del stamps[:aged], places.counts[:aged]
    if places.leases:
        places.leases = {holder: end for holder, end in places.leases.items() if end > now_ms}


def _lapses_at(places: Places, window: Window, now_ms: int) -> int:
    """When nothing of it counts any more, as long as nobody touches it; 0 = never.

    A lifetime that is kept while idle lapses `idle_ms` after it was last touched. Without cells
    and leases it has lapsed already.
    """
    end = now_ms
    if places.stamps:
        if window.window_ms:
            end = places.stamps[-1] + window.window_ms
        elif window.idle_ms:
            end = now_ms + window.idle_ms
        else:
            return 0
    return max(end, *places.leases.values()) if places.leases else end
