"""The desk of whoever decides from the keyboard: what waits, what lies on top, what a key means.

Pure: no clock, no network, no logging; `now_s` is any clock that only goes forward.
"""

from collections.abc import Iterable, Mapping
from enum import Enum

from mesh7_cli import cards, reading

TYPED_AHEAD_S = 0.5
"""A key pressed sooner after a card was shown was meant for something else."""


class Wish(Enum):
    """What a key asks for."""

    NOTHING = "nothing"
    APPROVE = "approve"
    DENY = "deny"
    NEXT = "next"
    AGAIN = "again"
    FULL = "full"
    UNSEEN = "unseen"
    """A yes to arguments that were not shown in full: not done."""
    HELP = "help"
    QUIT = "quit"


KEYS = {
    "a": Wish.APPROVE,
    "d": Wish.DENY,
    "s": Wish.NEXT,
    "n": Wish.NEXT,
    "f": Wish.FULL,
    "?": Wish.HELP,
    "h": Wish.HELP,
    "q": Wish.QUIT,
}
ABOUT_THE_CARD = frozenset({Wish.APPROVE, Wish.DENY, Wish.NEXT, Wish.FULL})


class Desk:
    """What waits, in order; at most one card lies on top."""

    def __init__(self) -> None:
        self._waiting: dict[str, Mapping[str, object]] = {}
        self._passed: set[str] = set()
        self._top = ""
        self._is_whole = False
        self._shown_at_s = 0.0

    @property
    def top(self) -> str:
        """The id of the card that lies on top; empty when none does."""
        return self._top

    @property
    def waiting(self) -> int:
        """How many requests wait, the passed ones too."""
        return len(self._waiting)

    def listed(self, requests: Iterable[Mapping[str, object]]) -> bool:
        """These wait and no others; whether the card on top is gone thereby."""
        self._waiting = {reading.text(one, "id"): one for one in requests if _is_open(one)}
        self._passed &= self._waiting.keys()
        return self._clear()

    def changed(self, request: Mapping[str, object]) -> bool:
        """One is in another state; whether the card on top is gone thereby."""
        identifier = reading.text(request, "id")
        if _is_open(request):
            self._waiting[identifier] = request
            return False
        self._waiting.pop(identifier, None)
        self._passed.discard(identifier)
        return self._clear()

    def next(self) -> str:
        """The id of the card to show next; empty when one lies on top or nothing is left."""
        if self._top:
            return ""
        return next((one for one in self._waiting if one not in self._passed), "")

    def show(self, identifier: str, now_s: float, *, is_whole: bool) -> None:
        """A card was put on top; keys count from a moment later."""
        self._top = identifier
        self._is_whole = is_whole
        self._shown_at_s = now_s

    def put_by(self) -> None:
        """Turn to another card; this one waits on."""
        if self._top:
            self._passed.add(self._top)
        self._top = ""

    def done(self) -> None:
        """The card on top is decided."""
        self._waiting.pop(self._top, None)
        self._top = ""

    def again(self) -> None:
        """Look at the passed ones once more."""
        self._passed.clear()

    def press(self, key: str, now_s: float) -> Wish:
        """What `key` means now. Several letters at once are a paste or an arrow key: nothing."""
        wish = KEYS.get(key, Wish.NOTHING)
        if wish not in ABOUT_THE_CARD:
            return wish
        if not self._top:
            return Wish.AGAIN if wish is Wish.NEXT and self._passed else Wish.NOTHING
        if now_s - self._shown_at_s < TYPED_AHEAD_S:
            return Wish.NOTHING
        if wish is Wish.APPROVE and not self._is_whole:
            return Wish.UNSEEN
        return wish

    def _clear(self) -> bool:
        is_gone = bool(self._top) and self._top not in self._waiting
        if is_gone:
            self._top = ""
        return is_gone


def _is_open(request: Mapping[str, object]) -> bool:
    return reading.text(request, "state") == cards.PENDING
