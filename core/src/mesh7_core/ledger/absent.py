"""Two ledgers that give less: none at all, and one whose people's decisions nobody vouches for."""

from collections.abc import Callable, Sequence

from mesh7_core.ledger.asked import Request, Vote
from mesh7_core.ledger.protocol import (
    LOST,
    OBSERVED_LOST,
    Caps,
    Changed,
    Ledger,
    Lost,
    Observation,
    Observed,
    Seen,
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

    async def give_back(self, _digest: str, _windows: Sequence[Window]) -> Lost | None:
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

    async def used(self, _keys: Sequence[str]) -> tuple[int, ...] | Lost:
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

    async def now_ms(self) -> int | Lost:
        """There is no clock but our own."""
        return LOST

    def trouble(self) -> str:
        """Say why limits do what they do."""
        return self._why

    async def close(self) -> None:
        """Nothing is open."""


class CountingLedger(AbsentLedger):
    """What may be counted in a store that others can write to, and nothing that people decide.

    In a cluster a decision is nobody's word until the operator signs it; what stands in Redis
    without a signature opens nothing and approves nothing. Grants travel signed, so the store is
    asked only how often each was used.

    Args:
        home: where calls are counted.

    Attributes:
        home: may be put in place of another while calls go on; each is answered by the one that
            it was sent to.
    """

    def __init__(self, home: Ledger) -> None:
        super().__init__()
        self.home = home

    def observe(self, observation: Observation, answer: Callable[[Observed], None]) -> None:
        """Count, as the home does; what people are said to have decided is a store loss."""
        nobody_to_ask = bool(observation.digest) and observation.is_dry

        def believed(observed: Observed) -> None:
            seen = observed.seen
            # What is reserved for such a call lapses with its lease.
            is_said = seen is Seen.APPROVED or seen is Seen.DENIED or seen is Seen.PENDING
            # A dry run asks what would come of it: `open` is lost.
            if is_said or (nobody_to_ask and seen is Seen.ADMITTED):
                observed = OBSERVED_LOST
            answer(observed)

        self.home.observe(observation, believed)

    async def give_back(self, digest: str, windows: Sequence[Window]) -> Lost | None:
        """Free what is reserved under `digest`."""
        return await self.home.give_back(digest, windows)

    async def used(self, keys: Sequence[str]) -> tuple[int, ...] | Lost:
        """How often each of these grants was used."""
        return await self.home.used(keys)

    async def now_ms(self) -> int | Lost:
        """The home's clock."""
        return await self.home.now_ms()

    def trouble(self) -> str:
        """Why the home is lost; empty when it is not."""
        return self.home.trouble()

    async def close(self) -> None:
        """Let the home go."""
        await self.home.close()
