"""No ledger at all: what a pod has before it has a store, or without one."""

from collections.abc import Callable, Sequence

from mesh7_core.ledger.asked import Request, Vote
from mesh7_core.ledger.protocol import (
    LOST,
    OBSERVED_LOST,
    Caps,
    Changed,
    Lost,
    Observation,
    Observed,
    Window,
)


class AbsentLedger:
    """A store loss that lasts. Each limit says what that means.

    Args:
        why: for people.
    """

    def __init__(self, why: str = "no store is configured") -> None:
        self._why = why

    def observe(self, _observation: Observation, answer: Callable[[Observed], None]) -> None:
        """Lost, at once."""
        answer(OBSERVED_LOST)

    async def open(self, _request: Request, _caps: Caps) -> Lost:
        """Nobody can be asked."""
        return LOST

    async def vote(self, _request_id: str, _vote: Vote) -> Lost:
        """Nobody was asked."""
        return LOST

    async def claim(self, _request_id: str, _digest: str, _windows: Sequence[Window]) -> Lost:
        """Nothing was approved."""
        return LOST

    async def finish(self, _request_id: str, _outcome: str) -> Lost:
        """Nothing ran by an approval."""
        return LOST

    async def give_back(self, _digest: str, _windows: Sequence[Window]) -> Lost:
        """Nothing is reserved."""
        return LOST

    async def withdraw(self, _request_id: str) -> Lost:
        """Nothing is pending."""
        return LOST

    async def requests(self) -> Lost:
        """Not known."""
        return LOST

    async def request(self, _request_id: str) -> Lost:
        """Not known."""
        return LOST

    async def used(self, _keys: Sequence[str]) -> Lost:
        """Not known."""
        return LOST

    async def standing(self) -> Lost:
        """Not known."""
        return LOST

    async def stand(self, _name: str, _document: str, _by: str) -> Lost:
        """Nowhere to keep it."""
        return LOST

    async def fall(self, _name: str) -> Lost:
        """Nothing is kept."""
        return LOST

    def subscribe(self, _told: Callable[[Changed], None]) -> Callable[[], None]:
        """Nothing ever changes."""
        return lambda: None

    async def now_ms(self) -> Lost:
        """There is no clock but our own."""
        return LOST

    def trouble(self) -> str:
        """Say why limits do what they do."""
        return self._why

    async def close(self) -> None:
        """Nothing is open."""
