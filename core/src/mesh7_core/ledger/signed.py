"""A ledger that believes of people's decisions only what the operator signed.

In a cluster whoever has a namespace's credential can write into its Redis. What stands there may be
counted; what people are said to have decided is nobody's word without a signed decision
(`delivery.decisions`) for this very request, call and pod. Without one a request counts as still
pending: nothing runs, nobody is told of a denial, and whoever waits goes on waiting while the
operator puts right what is there. It needs a running event loop.
"""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from mesh7_core.delivery import decisions, envelopes
from mesh7_core.delivery.decisions import Decision
from mesh7_core.ledger import approvals
from mesh7_core.ledger.asked import Refused, Request, State, Verdict, Vote
from mesh7_core.ledger.protocol import (
    LOST,
    OBSERVED_LOST,
    Caps,
    Changed,
    Full,
    Ledger,
    Lost,
    Observation,
    Observed,
    Opened,
    Seen,
    Unknown,
    Window,
)
from mesh7_core.ledger.telling import Listeners

log = logging.getLogger("mesh7.ledger")

MOST_DOUBTED: Final = 1024
"""Forgeries that are known again; the oldest is forgotten first, and counted anew."""
_SAID: Final = {Seen.APPROVED: State.APPROVED, Seen.DENIED: State.DENIED}
_DECIDED: Final = frozenset(_SAID.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Where one pod finds out what was decided, and says what it does not believe.

    Attributes:
        namespace: of the pod.
        uid: of the pod.
        fetch: what lies there as the decision about a request; None = nothing.
        verify: the decision, if a key that may sign now has signed it.
        doubted: told of each forgery, once as long as it stays the same: the id of the request
            (empty: none of ours), and why it is not believed.
    """

    namespace: str
    uid: str
    fetch: Callable[[str], Awaitable[bytes | Lost | None]]
    verify: Callable[[bytes], Decision | envelopes.Refused]
    doubted: Callable[[str, envelopes.Refused], None]


@dataclass(frozen=True, slots=True)
class _Found:
    """What lay there when the store's clock said that; `content` is a digest of it."""

    meant: Decision | envelopes.Refused
    content: bytes
    now_ms: int


class SignedLedger:
    """A pod's ledger. Nobody votes here, and grants travel signed; the rest is the home's.

    Args:
        home: where calls are counted and requests are kept.
        desk: where signed decisions are.
    """

    def __init__(self, home: Ledger, desk: Desk) -> None:
        self._desk = desk
        self._listeners = Listeners()
        self._doubted: dict[tuple[str, State | None, bytes], None] = {}
        self._tasks: set[asyncio.Task[Observed]] = set()
        self._home = home
        self._unsubscribe = home.subscribe(self._listeners.tell)

    @property
    def home(self) -> Ledger:
        """May be put in place of another while calls go on; each is answered by its own."""
        return self._home

    @home.setter
    def home(self, home: Ledger) -> None:
        self._unsubscribe()
        self._home = home
        self._unsubscribe = home.subscribe(self._listeners.tell)
        self._listeners.tell(Changed(""))

    # The data path

    def observe(self, observation: Observation, answer: Callable[[Observed], None]) -> None:
        """As the home does; only what people are said to have decided costs a task."""

        def believed(observed: Observed) -> None:
            seen = observed.seen
            if seen is Seen.APPROVED or seen is Seen.DENIED or seen is Seen.PENDING:
                self._consider(observation, observed, answer)
            else:
                answer(observed)

        self._home.observe(observation, believed)

    def _consider(
        self, observation: Observation, observed: Observed, answer: Callable[[Observed], None]
    ) -> None:
        if not observation.digest or not self._is_ours(observed.request_id):
            answer(OBSERVED_LOST)
        elif observed.seen is Seen.PENDING:
            answer(observed)
        else:
            task = asyncio.get_running_loop().create_task(self._believed(observation, observed))
            self._tasks.add(task)
            task.add_done_callback(partial(self._answered, answer))

    def _answered(self, answer: Callable[[Observed], None], task: "asyncio.Task[Observed]") -> None:
        self._tasks.discard(task)
        failure = None if task.cancelled() else task.exception()
        if failure is not None:
            log.error("a decision makes mesh7 fail; it is not believed", exc_info=failure)
        answer(OBSERVED_LOST if task.cancelled() or failure is not None else task.result())

    async def _believed(self, observation: Observation, observed: Observed) -> Observed:
        identity, state = observed.request_id, _SAID[observed.seen]
        decision = await self._signed(identity, observation.digest, state)
        if isinstance(decision, Lost):
            return OBSERVED_LOST
        if decision is not None:
            return observed
        return Observed(Seen.PENDING, request_id=identity, unknown=observed.unknown)

    # Requests

    async def open(self, request: Request, caps: Caps) -> Opened | Full | Lost:
        """Ask people, or join."""
        opened = await self._home.open(request, caps)
        if isinstance(opened, Opened) and not self._is_ours(opened.request_id):
            return LOST
        return opened

    async def claim(
        self, request_id: str, digest: str, windows: Sequence[Window]
    ) -> Request | Refused | Lost:
        """Use an approval, once, if people's yes is signed still."""
        found = await self._found(request_id, digest, State.APPROVED)
        if isinstance(found, Lost):
            return LOST
        if not isinstance(found.meant, Decision):
            return Refused(f"nobody has signed that request `{request_id}` is approved")
        return await self._home.claim(request_id, digest, windows)

    async def request(self, request_id: str) -> Request | Unknown | Lost:
        """One of them, with no word of people but what the operator signed."""
        found = await self._home.request(request_id)
        if not isinstance(found, Request):
            return found
        bare = replace(found, votes=())
        if found.state not in _DECIDED:
            return bare
        decision = await self._signed(request_id, found.digest, found.state)
        if isinstance(decision, Lost):
            return LOST
        if decision is None:
            return replace(bare, state=State.PENDING, decided_at_ms=0)
        return replace(bare, votes=_votes(decision))

    async def finish(self, request_id: str, outcome: str) -> Lost | None:
        """Note what became of a claimed call."""
        return await self._home.finish(request_id, outcome)

    async def give_back(self, digest: str, windows: Sequence[Window]) -> Lost | None:
        """Free what is reserved under `digest`."""
        return await self._home.give_back(digest, windows)

    async def withdraw(self, request_id: str) -> Lost | None:
        """Nobody needs an answer any more."""
        return await self._home.withdraw(request_id)

    # What people do elsewhere

    async def vote(self, _request_id: str, _vote: Vote) -> Lost:
        """Nobody decides here."""
        return LOST

    async def requests(self) -> Lost:
        """Nobody looks here."""
        return LOST

    async def standing(self) -> Lost:
        """Grants come signed, in the overlay."""
        return LOST

    async def stand(self, _name: str, _document: str, _by: str) -> Lost:
        """Nobody grants here."""
        return LOST

    async def fall(self, _name: str) -> Lost:
        """Nobody revokes here."""
        return LOST

    # The rest

    async def used(self, keys: Sequence[str]) -> tuple[int, ...] | Lost:
        """How often each of these grants was used."""
        return await self._home.used(keys)

    def subscribe(self, told: Callable[[Changed], None]) -> Callable[[], None]:
        """Be told of changes, whichever home it is; of everything when that is another one."""
        return self._listeners.add(told)

    async def now_ms(self) -> int | Lost:
        """The home's clock."""
        return await self._home.now_ms()

    def trouble(self) -> str:
        """Why the home is lost; empty when it is not."""
        return self._home.trouble()

    async def close(self) -> None:
        """Let the home go."""
        self._unsubscribe()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._home.close()

    # What is believed

    async def _signed(self, request_id: str, digest: str, state: State) -> Decision | Lost | None:
        """The decision that makes a request what it is said to be; None when nobody's word does."""
        home = self._home
        found = await self._found(request_id, digest, state)
        if isinstance(found, Lost):
            return LOST
        if isinstance(found.meant, Decision):
            return found.meant
        doubt = (request_id, state, found.content)
        if doubt not in self._doubted:
            request = await home.request(request_id)
            # It may have been used, or be over, since it was looked at: then nothing is forged.
            if not isinstance(request, Request) or approvals.answers(request, found.now_ms):
                self._doubt(doubt, found.meant)
        return None

    async def _found(self, request_id: str, digest: str, state: State) -> _Found | Lost:
        sealed, now_ms = await asyncio.gather(self._desk.fetch(request_id), self._home.now_ms())
        if isinstance(sealed, Lost) or isinstance(now_ms, Lost):
            return LOST
        meant = self._read(sealed, request_id, digest, state, now_ms)
        return _Found(meant, hashlib.sha256(sealed or b"").digest(), now_ms)

    def _read(
        self, sealed: bytes | None, request_id: str, digest: str, state: State, now_ms: int
    ) -> Decision | envelopes.Refused:
        """Rungs, the first that fails decides."""
        if sealed is None:
            return _unsigned(f"nobody has signed that it is {state}")
        decision = self._desk.verify(sealed)
        if isinstance(decision, envelopes.Refused):
            return decision
        if (decision.namespace, decision.uid) != (self._desk.namespace, self._desk.uid):
            return _foreign("it is for another pod")
        if (decision.request_id, decision.digest) != (request_id, digest):
            return _foreign("it is about another call")
        if decision.is_approved != (state is State.APPROVED):
            return _unsigned(f"nobody has signed that it is {state}, but the contrary")
        if decision.until_ms <= now_ms:
            return envelopes.Refused(
                refusal=envelopes.Refusal.OLD, message="it held once, and is over"
            )
        return decision

    def _is_ours(self, request_id: str) -> bool:
        """Whether it can be the id of a request: it is shown to agents, and leads to keys."""
        if decisions.REQUEST_ID.fullmatch(request_id):
            return True
        doubt = ("", None, hashlib.sha256(request_id.encode("utf-8", "replace")).digest())
        self._doubt(doubt, _malformed("what answers a call there is no request of ours"))
        return False

    def _doubt(self, doubt: tuple[str, State | None, bytes], why: envelopes.Refused) -> None:
        if doubt in self._doubted:
            return
        while len(self._doubted) >= MOST_DOUBTED:
            del self._doubted[next(iter(self._doubted))]
        self._doubted[doubt] = None
        self._desk.doubted(doubt[0], why)


def _votes(decision: Decision) -> tuple[Vote, ...]:
    """What the decision says, as votes; the reason is that of the last who spoke."""
    verdict = Verdict.APPROVE if decision.is_approved else Verdict.DENY
    names = decision.by or ("",)
    return tuple(
        Vote(person=name, name=name, groups=(), verdict=verdict, reason=reason)
        for name, reason in zip(names, (*("",) * (len(names) - 1), decision.reason), strict=True)
    )


def _malformed(message: str) -> envelopes.Refused:
    return envelopes.Refused(refusal=envelopes.Refusal.MALFORMED, message=message)


def _unsigned(message: str) -> envelopes.Refused:
    return envelopes.Refused(refusal=envelopes.Refusal.UNSIGNED, message=message)


def _foreign(message: str) -> envelopes.Refused:
    return envelopes.Refused(refusal=envelopes.Refusal.FOREIGN, message=message)
