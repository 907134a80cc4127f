"""The home in memory: for tests and for what need not outlive a process.

Nothing waits here: the coroutines of the protocol answer at once.
"""

from collections.abc import Callable, Sequence

from mesh7_core.ledger.asked import Refused, Request, State, Vote
from mesh7_core.ledger.counts import Counts
from mesh7_core.ledger.protocol import (
    Caps,
    Changed,
    Full,
    Observation,
    Observed,
    Opened,
    Seen,
    Standing,
    Unknown,
    Window,
)
from mesh7_core.ledger.requests import Requests
from mesh7_core.ledger.stands import Stands
from mesh7_core.ledger.telling import Listeners


class MemoryLedger:
    """A ledger that forgets everything when its process ends.

    Args:
        now_ms: the clock, Unix milliseconds.
    """

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._clock = now_ms
        self._counts = Counts()
        self._requests = Requests()
        self._stands = Stands()
        self._listeners = Listeners()

    def observe(self, observation: Observation, answer: Callable[[Observed], None]) -> None:
        """Take all that a call hangs on, or nothing, and answer before returning."""
        answer(take(self._requests, self._counts, observation, self._clock()))

    async def open(self, request: Request, caps: Caps) -> Opened | Full:
        """Ask people, or join."""
        planned = self._requests.plan_open(request, caps, self._clock())
        return Opened(self._put(planned).id) if isinstance(planned, Request) else planned

    async def vote(self, request_id: str, vote: Vote) -> Request | Refused | Unknown:
        """One person's yes or no."""
        planned = self._requests.plan_vote(request_id, vote, self._clock())
        return self._put(planned) if isinstance(planned, Request) else planned

    async def claim(
        self, request_id: str, digest: str, windows: Sequence[Window]
    ) -> Request | Refused:
        """Use an approval, once."""
        now_ms = self._clock()
        planned = self._requests.plan_claim(request_id, digest, now_ms)
        if isinstance(planned, Refused):
            return planned
        full = self._counts.claim(windows, digest, now_ms)
        return self._put(planned) if full is None else no_place(full)

    async def finish(self, request_id: str, outcome: str) -> None:
        """Note what became of a claimed call."""
        planned = self._requests.plan_finish(request_id, outcome, self._clock())
        if isinstance(planned, Request):
            self._put(planned)

    async def give_back(self, digest: str, windows: Sequence[Window]) -> None:
        """Free what is reserved under `digest`."""
        self._counts.windows.give_back(windows, digest, self._clock())

    async def withdraw(self, request_id: str) -> None:
        """Nobody needs an answer any more."""
        planned = self._requests.plan_withdraw(request_id, self._clock())
        if isinstance(planned, Request):
            self._put(planned)

    async def requests(self) -> tuple[Request, ...]:
        """All that are open or closed lately, oldest first."""
        return self._requests.listed(self._clock())

    async def request(self, request_id: str) -> Request | Unknown:
        """One of them, by its whole id."""
        return self._requests.find(request_id, self._clock())

    async def used(self, keys: Sequence[str]) -> tuple[int, ...]:
        """How often each grant was used."""
        return self._counts.grants.used(keys, self._clock())

    async def standing(self) -> tuple[Standing, ...]:
        """All standing grants and vetoes made by hand, by name."""
        return self._stands.listed()

    async def stand(self, name: str, document: str, by: str) -> Standing | Refused:
        """Keep a grant or veto."""
        planned = self._stands.plan(name, document, by, self._clock())
        if isinstance(planned, Standing):
            self._stands.put(planned)
            self._listeners.tell(Changed(""))
        return planned

    async def fall(self, name: str) -> Standing | Unknown:
        """Remove one."""
        fallen = self._stands.fall(name)
        if isinstance(fallen, Standing):
            self._listeners.tell(Changed(""))
        return fallen

    def subscribe(self, told: Callable[[Changed], None]) -> Callable[[], None]:
        """Be told of changes; what time alone changes is told by nobody."""
        return self._listeners.add(told)

    async def now_ms(self) -> int:
        """The clock."""
        return self._clock()

    def trouble(self) -> str:
        """There is none to be had."""
        return ""

    async def close(self) -> None:
        """There is nothing to write."""

    def _put(self, request: Request) -> Request:
        self._requests.put(request)
        self._listeners.tell(Changed(request.id))
        return request


def take(requests: Requests, counts: Counts, observation: Observation, now_ms: int) -> Observed:
    """Take all that a call hangs on, or nothing."""
    request = None
    if observation.digest:
        request = requests.answering(observation.digest, now_ms)
        if request is not None and request.state is State.DENIED:
            return Observed(Seen.DENIED, request_id=request.id)
    return counts.take(observation, request, now_ms)


def no_place(window: Window) -> Refused:
    """Why an approval was not claimed: its places had lapsed, and others have taken them."""
    return Refused(f"no place is left in `{window.key}`; the approval can still be used later")
