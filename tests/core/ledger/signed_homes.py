"""A pod's signed ledger as a home: people vote where only the operator may, who signs at once."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from mesh7_core.delivery.decisions import Decision
from mesh7_core.ledger import approvals
from mesh7_core.ledger.asked import Refused, Request, State, Vote
from mesh7_core.ledger.protocol import (
    Caps,
    Changed,
    Full,
    Ledger,
    Lost,
    Observation,
    Observed,
    Opened,
    Standing,
    Unknown,
    Window,
)
from mesh7_core.ledger.signed import Desk, SignedLedger
from tests.core.ledger.contract import Home, OpenHome
from tests.core.ledger.redis_homes import REDIS_HOMES
from tests.core.ledger.signing import NAMESPACE, UID, decision_of


class _Decided:
    """Calls go to the pod's ledger, people to the store behind it.

    Decisions are kept as values: digests of the contract suite are too short to be signed.
    """

    def __init__(self, behind: Ledger) -> None:
        self._behind = behind
        self._laid: dict[bytes, Decision] = {}
        desk = Desk(
            namespace=NAMESPACE,
            uid=UID,
            fetch=self._fetch,
            verify=self._laid.__getitem__,
            doubted=_never,
        )
        self._pod = SignedLedger(behind, desk)

    async def _fetch(self, request_id: str) -> bytes | None:
        name = request_id.encode()
        return name if name in self._laid else None

    def observe(self, observation: Observation, answer: Callable[[Observed], None]) -> None:
        self._pod.observe(observation, answer)

    async def open(self, request: Request, caps: Caps) -> Opened | Full | Lost:
        return await self._pod.open(request, caps)

    async def vote(self, request_id: str, vote: Vote) -> Request | Refused | Unknown | Lost:
        voted = await self._behind.vote(request_id, vote)
        if isinstance(voted, Request) and voted.state is not State.PENDING:
            self._laid[request_id.encode()] = decision_of(voted)
        return voted

    async def claim(
        self, request_id: str, digest: str, windows: Sequence[Window]
    ) -> Request | Refused | Lost:
        claimed = await self._pod.claim(request_id, digest, windows)
        known, now_ms = await self._behind.request(request_id), await self._behind.now_ms()
        if isinstance(claimed, Refused) and isinstance(known, Request) and isinstance(now_ms, int):
            # What nobody signed is refused before the store is asked; its words are for people.
            said = approvals.claim(known, digest, now_ms)
            return said if isinstance(said, Refused) else claimed
        return claimed

    async def finish(self, request_id: str, outcome: str) -> Lost | None:
        return await self._pod.finish(request_id, outcome)

    async def give_back(self, digest: str, windows: Sequence[Window]) -> Lost | None:
        return await self._pod.give_back(digest, windows)

    async def withdraw(self, request_id: str) -> Lost | None:
        return await self._pod.withdraw(request_id)

    async def requests(self) -> tuple[Request, ...] | Lost:
        return await self._behind.requests()

    async def request(self, request_id: str) -> Request | Unknown | Lost:
        return await self._behind.request(request_id)

    async def used(self, keys: Sequence[str]) -> tuple[int, ...] | Lost:
        return await self._pod.used(keys)

    async def standing(self) -> tuple[Standing, ...] | Lost:
        return await self._behind.standing()

    async def stand(self, name: str, document: str, by: str) -> Standing | Refused | Lost:
        return await self._behind.stand(name, document, by)

    async def fall(self, name: str) -> Standing | Unknown | Lost:
        return await self._behind.fall(name)

    def subscribe(self, told: Callable[[Changed], None]) -> Callable[[], None]:
        return self._pod.subscribe(told)

    async def now_ms(self) -> int | Lost:
        return await self._pod.now_ms()

    def trouble(self) -> str:
        return self._pod.trouble()

    async def close(self) -> None:
        await self._pod.close()


def _never(request_id: str, refused: object) -> None:
    raise AssertionError(f"{request_id} is not believed: {refused}")


class _SignedHome:
    """The clock is that of the home behind it."""

    def __init__(self, behind: Home) -> None:
        self.ledger: Ledger = _Decided(behind.ledger)
        self.slack_ms = behind.slack_ms
        self._behind = behind

    async def advance(self, ms: int) -> None:
        await self._behind.advance(ms)


def _over(open_home: OpenHome) -> OpenHome:
    @asynccontextmanager
    async def opened(folder: Path) -> AsyncIterator[Home]:
        async with open_home(folder) as behind:
            yield _SignedHome(behind)

    return opened


SIGNED_HOMES: dict[str, OpenHome] = {
    f"signed-{kind}": _over(open_home) for kind, open_home in REDIS_HOMES.items()
}
