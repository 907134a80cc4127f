"""What people are said to have decided counts when the operator signed it, and not before."""

import asyncio
import logging
from collections.abc import Callable

import pytest

from mesh7_core.delivery import decisions
from mesh7_core.delivery.decisions import Decision
from mesh7_core.delivery.envelopes import Refusal
from mesh7_core.ledger.absent import AbsentLedger
from mesh7_core.ledger.asked import Refused, Request, State, Verdict
from mesh7_core.ledger.memory import MemoryLedger
from mesh7_core.ledger.protocol import (
    LOST,
    Caps,
    Changed,
    Observation,
    Observed,
    Opened,
    Seen,
    Unknown,
    Use,
)
from mesh7_core.ledger.signed import Desk, SignedLedger
from tests.core.delivery.parts import STRANGER
from tests.core.ledger import contract
from tests.core.ledger.contract import MINUTE, NO, observed, opened, plain, vote, window
from tests.core.ledger.homes import START_MS, Clock
from tests.core.ledger.signing import NAMESPACE, UID, Signed, decision_of

DIGEST, OTHER = "sha256:" + "0a" * 32, "sha256:" + "0b" * 32
CALL = contract.asked(window(), digest=DIGEST)


class World:
    """A home that anybody may write to, and a pod's signed ledger over it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.home = MemoryLedger(self.clock)
        self.signed = Signed()
        self.pod = self.signed.over(self.home)

    async def asked(self, number: int = 1, digest: str = DIGEST) -> str:
        """The id of the request that the pod opens."""
        return await opened(self.pod, contract.request(number, digest))

    async def voted(self, identity: str, verdict: Verdict = Verdict.APPROVE) -> Request:
        """Whoever writes to the store votes there."""
        found = await self.home.vote(identity, vote(verdict=verdict, reason="no more refunds"))
        assert isinstance(found, Request)
        return found

    async def decided(self, verdict: Verdict = Verdict.APPROVE, /, **changed: object) -> str:
        """A request that people decided, as the operator would write it."""
        request = await self.voted(await self.asked(), verdict)
        self.signed.sign(request, **changed)
        return request.id

    async def sees(self, observation: Observation = CALL) -> Seen:
        return (await observed(self.pod, observation)).seen

    @property
    def refused(self) -> list[Refusal]:
        return [why for _, why, _ in self.signed.doubts]


@pytest.fixture
def world() -> World:
    return World()


async def test_a_signed_yes_is_believed_and_used_once(world: World) -> None:
    """Issue 7: the waiting sidecar verifies, decides again, claims; runs once."""
    assert await world.sees() is Seen.ADMITTED
    identity = await world.asked()
    assert await world.sees() is Seen.PENDING
    world.signed.sign(await world.voted(identity))
    assert await world.sees() is Seen.APPROVED
    used = await world.pod.claim(identity, DIGEST, CALL.windows)
    assert isinstance(used, Request)
    assert isinstance(await world.pod.claim(identity, DIGEST, CALL.windows), Refused)
    assert await world.pod.finish(identity, "ok") is None
    assert (await kept(world, identity)).outcome == "ok"
    assert world.signed.doubts == []


async def kept(world: World, identity: str) -> Request:
    found = await world.home.request(identity)
    assert isinstance(found, Request)
    return found


@pytest.mark.promise("K9", "A12")
@pytest.mark.parametrize("verdict", Verdict)
async def test_what_nobody_signed_is_pending_and_counted_once(
    world: World, verdict: Verdict
) -> None:
    """Issue 7: a Redis writer forging a decision (ignored, counted)."""
    identity = (await world.voted(await world.asked(), verdict)).id
    for _ in range(3):
        found = await observed(world.pod, CALL)
        assert (found.seen, found.request_id) == (Seen.PENDING, identity)
    claimed = await world.pod.claim(identity, DIGEST, CALL.windows)
    if verdict is Verdict.APPROVE:
        assert claimed == Refused(f"nobody has signed that request `{identity}` is approved")
        assert (await kept(world, identity)).state is State.APPROVED
    assert isinstance(claimed, Refused)
    assert world.refused == [Refusal.UNSIGNED]


@pytest.mark.promise("K9", "A12")
async def test_a_forged_denial_ends_nothing_that_people_may_decide(world: World) -> None:
    """The controller puts it right, and whoever waited runs."""
    identity = (await world.voted(await world.asked(), NO)).id
    found = await world.pod.request(identity)
    assert isinstance(found, Request)
    assert (found.state, found.votes, found.decided_at_ms) == (State.PENDING, (), 0)


FORGED: dict[str, tuple[dict[str, object], Refusal]] = {
    "pod": ({"uid": "uid-2"}, Refusal.FOREIGN),
    "namespace": ({"namespace": "bank"}, Refusal.FOREIGN),
    "request": ({"request_id": contract.request_id(2)}, Refusal.FOREIGN),
    "digest": ({"digest": OTHER}, Refusal.FOREIGN),
    "verdict": ({"is_approved": False}, Refusal.UNSIGNED),
    "over": ({"until_ms": START_MS}, Refusal.OLD),
}


@pytest.mark.promise("A12", "K9")
@pytest.mark.parametrize("other", FORGED)
async def test_a_true_decision_about_something_else_is_not_believed(
    world: World, other: str
) -> None:
    """Issue 7: a decision of another pod uid, request, digest, namespace; expired."""
    changed, refusal = FORGED[other]
    identity = await world.decided()
    world.signed.sign(await kept(world, identity), **changed)
    assert await world.sees() is Seen.PENDING
    assert isinstance(await world.pod.claim(identity, DIGEST, CALL.windows), Refused)
    assert world.refused == [refusal]
    assert (await kept(world, identity)).state is State.APPROVED


@pytest.mark.promise("A12")
@pytest.mark.parametrize("verdict", Verdict)
async def test_a_decision_holds_no_longer_than_it_says(world: World, verdict: Verdict) -> None:
    """A Redis writer moves the times of a request; not those of its decision."""
    until_ms = START_MS + MINUTE
    await world.decided(verdict, until_ms=until_ms)
    said = Seen.DENIED if verdict is NO else Seen.APPROVED
    world.clock.at_ms = until_ms - 1
    assert await world.sees() is said
    world.clock.at_ms = until_ms
    assert await world.sees() is Seen.PENDING
    assert world.refused == [Refusal.OLD]


@pytest.mark.promise("A12")
async def test_a_key_that_may_not_sign_decides_nothing(world: World) -> None:
    """Issue 7: a decision of a retired key, or of anybody's."""
    request = await world.voted(await world.asked())
    world.signed.laid[request.id] = decisions.seal(decision_of(request), STRANGER)
    assert await world.sees() is Seen.PENDING
    assert world.refused == [Refusal.UNSIGNED]
    world.signed.laid[request.id] = b"junk"
    assert await world.sees() is Seen.PENDING
    assert world.refused == [Refusal.UNSIGNED, Refusal.MALFORMED]


async def test_a_denial_is_told_with_the_signed_words_and_no_others(world: World) -> None:
    """Only the decision says who refused, and why."""
    identity = await world.decided(NO, by=("kim", "lea"), reason="not today")
    assert await world.sees() is Seen.DENIED
    found = await world.pod.request(identity)
    assert isinstance(found, Request)
    said = [(one.name, one.verdict, one.reason) for one in found.votes]
    assert said == [("kim", NO, ""), ("lea", NO, "not today")]
    assert world.signed.doubts == []


async def test_of_an_approved_or_used_request_only_the_signed_is_told(world: World) -> None:
    identity = await world.decided(by=("jane",), reason="")
    approved = await world.pod.request(identity)
    assert isinstance(approved, Request)
    assert [one.name for one in approved.votes] == ["jane"]
    await world.pod.claim(identity, DIGEST, CALL.windows)
    used = await world.pod.request(identity)
    assert isinstance(used, Request)
    assert (used.state, used.votes) == (State.USED, ())
    assert await world.pod.request(contract.request_id(7)) == Unknown()


async def test_an_approval_that_is_over_is_no_forgery(world: World) -> None:
    """Between a look at the store and a look at the decision, time passes."""
    identity = await world.decided()
    late = _Late(world.home, lambda: _pass_by(world, 20 * MINUTE))
    world.pod.home = late
    assert await world.sees() is Seen.PENDING
    assert world.signed.doubts == []
    assert (await kept(world, identity)).state is State.LAPSED


def _pass_by(world: World, span_ms: int) -> None:
    world.clock.at_ms += span_ms


class _Late(MemoryLedger):
    """Something happens after each observation."""

    def __init__(self, home: MemoryLedger, after: Callable[[], None]) -> None:
        self.__dict__ = home.__dict__
        self._observed = after

    def observe(self, observation: Observation, answer: Callable[[Observed], None]) -> None:
        super().observe(observation, answer)
        self._observed()


async def test_a_store_that_is_lost_meanwhile_is_lost(world: World) -> None:
    identity = await world.decided()
    world.signed.is_lost = True
    assert await world.sees() is Seen.LOST
    assert await world.pod.claim(identity, DIGEST, CALL.windows) is LOST
    assert await world.pod.request(identity) is LOST
    assert world.signed.doubts == []
    world.signed.is_lost = False
    assert await world.sees() is Seen.APPROVED


HOSTILE = ("", "r-1", "r-" + "A" * 26, contract.request_id(1) + "\n", "\x1b[31m", "x" * 2**20)


class _Answering(MemoryLedger):
    """Answers an id of somebody else's making."""

    def __init__(self, seen: Seen, identity: str) -> None:
        super().__init__(lambda: START_MS)
        self._found = Observed(seen, request_id=identity)

    def observe(self, _observation: Observation, answer: Callable[[Observed], None]) -> None:
        answer(self._found)

    async def open(self, _request: Request, _caps: Caps) -> Opened:
        return Opened(self._found.request_id)


@pytest.mark.promise("K9")
@pytest.mark.parametrize("identity", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("seen", [Seen.PENDING, Seen.APPROVED, Seen.DENIED])
async def test_an_id_that_no_request_has_reaches_nobody(
    world: World, seen: Seen, identity: str
) -> None:
    """It would be shown to agents, and lead to other keys."""
    world.pod.home = _Answering(seen, identity)
    assert await world.sees() is Seen.LOST
    assert await world.pod.open(contract.request(), Caps()) is LOST
    assert world.signed.fetched == 0
    assert [(one, why) for one, why, _ in world.signed.doubts] == [("", Refusal.MALFORMED)]


@pytest.mark.parametrize("seen", [Seen.PENDING, Seen.APPROVED, Seen.DENIED])
async def test_a_call_that_asks_nobody_is_answered_by_no_request(world: World, seen: Seen) -> None:
    world.pod.home = _Answering(seen, contract.request_id(1))
    assert await world.sees(plain(window())) is Seen.LOST
    assert world.signed.fetched == 0


async def test_only_calls_that_people_decided_cost_a_task(world: World) -> None:
    """Design 13: no task per call."""
    answers: list[Seen] = []

    def ask(observation: Observation) -> None:
        world.pod.observe(observation, lambda found: answers.append(found.seen))

    ask(plain(window()))
    ask(CALL)
    await world.asked()
    ask(CALL)
    assert answers == [Seen.ADMITTED, Seen.ADMITTED, Seen.PENDING]
    assert world.signed.fetched == 0


async def test_a_dry_run_is_told_the_same_and_changes_nothing(world: World) -> None:
    """P1: what `/v1/decide` says is what a call would come to."""
    dry = Observation(CALL.windows, digest=DIGEST, is_dry=True)
    assert await world.sees(dry) is Seen.ADMITTED
    identity = await world.asked()
    assert await world.sees(dry) is Seen.PENDING
    request = await world.voted(identity)
    assert await world.sees(dry) is Seen.PENDING
    world.signed.sign(request)
    assert await world.sees(dry) is Seen.APPROVED
    assert (await kept(world, identity)).state is State.APPROVED


async def test_limits_loops_grants_and_withdrawals_are_the_homes(world: World) -> None:
    """Issue 5: limits are shared."""
    once = plain(window("once", 1))
    assert [await world.sees(once) for _ in range(2)] == [Seen.ADMITTED, Seen.SPENT]
    loop = plain(repeats=(window("loop", 1),))
    assert [await world.sees(loop) for _ in range(2)] == [Seen.ADMITTED, Seen.REPEATED]
    granted = contract.asked(digest=OTHER, uses=((Use("grant", 1, 0),),))
    assert await world.sees(granted) is Seen.GRANTED
    assert await world.pod.used(["grant"]) == (1,)
    identity = await world.asked()
    assert await world.pod.withdraw(identity) is None
    assert (await kept(world, identity)).state is State.WITHDRAWN
    assert await world.pod.give_back(DIGEST, CALL.windows) is None
    assert await world.pod.now_ms() == START_MS
    assert world.pod.trouble() == ""


async def test_nobody_decides_or_grants_here(world: World) -> None:
    """K9: what people do comes signed."""
    identity = await world.asked()
    assert await world.pod.vote(identity, vote()) is LOST
    assert await world.pod.requests() is LOST
    assert await world.pod.stand("veto", "{}", "lea") is LOST
    assert await world.pod.fall("veto") is LOST
    assert await world.pod.standing() is LOST
    assert (await kept(world, identity)).state is State.PENDING
    assert await world.home.standing() == ()


async def test_subscribers_hear_of_whichever_home_it_is(world: World) -> None:
    """pod.py: the store comes when the exchange answers, and may be another one later."""
    changes: list[Changed] = []
    pod = world.signed.over(AbsentLedger("no credentials for it yet"))
    end = pod.subscribe(changes.append)
    assert pod.trouble() == "no credentials for it yet"
    pod.home = world.home
    assert changes == [Changed("")]
    identity = await opened(pod, contract.request(1, DIGEST))
    assert changes == [Changed(""), Changed(identity)]
    pod.home = MemoryLedger(world.clock)
    await world.voted(identity)
    assert changes == [Changed(""), Changed(identity), Changed("")]
    assert await world.sees() is Seen.PENDING
    end()
    await opened(pod, contract.request(1, DIGEST))
    assert len(changes) == 3


async def test_another_home_loses_no_call_that_is_under_way(world: World) -> None:
    seen: list[Seen] = []
    for _ in range(100):
        world.pod.observe(plain(window("many", 1000)), lambda found: seen.append(found.seen))
    world.pod.home = AbsentLedger("gone")
    world.pod.observe(plain(window("many", 1000)), lambda found: seen.append(found.seen))
    assert seen == [Seen.ADMITTED] * 100 + [Seen.LOST]


async def test_a_defect_in_believing_is_a_lost_store_and_is_told(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Fail closed; and everybody is answered."""

    async def fails(_: str) -> None:
        raise ZeroDivisionError

    await world.decided()
    desk = Desk(
        namespace=NAMESPACE, uid=UID, fetch=fails,
        verify=lambda data: decisions.unseal(data, ()), doubted=lambda *_: None,
    )  # fmt: skip
    with caplog.at_level(logging.ERROR):
        found = await observed(SignedLedger(world.home, desk), CALL)
    assert found.seen is Seen.LOST
    assert "a decision makes mesh7 fail" in caplog.text


async def test_closing_answers_who_still_waits_for_a_decision(world: World) -> None:
    never = asyncio.Event()

    async def waits(_: str) -> None:
        await never.wait()

    await world.decided()
    desk = Desk(
        namespace=NAMESPACE, uid=UID, fetch=waits,
        verify=lambda data: decisions.unseal(data, ()), doubted=lambda *_: None,
    )  # fmt: skip
    pod = SignedLedger(world.home, desk)
    seen: list[Seen] = []
    pod.observe(CALL, lambda found: seen.append(found.seen))
    await pod.close()
    assert seen == [Seen.LOST]


async def test_what_is_doubted_is_bounded_and_forgeries_are_told_apart(
    world: World,
) -> None:
    """A writer with endless forgeries fills no memory."""
    several = range(1500)
    request = await world.voted(await world.asked())
    for number in several:
        world.signed.laid[request.id] = b"%d" % number
        assert await world.sees() is Seen.PENDING
    assert len(world.signed.doubts) == len(several)
    world.signed.laid[request.id] = b"%d" % several[-1]
    assert await world.sees() is Seen.PENDING
    assert len(world.signed.doubts) == len(several)


def test_a_decision_names_who_said_it() -> None:
    """The stand-in of these tests decides as the controller does."""
    assert decision_of(contract.request()) == Decision(
        namespace=NAMESPACE, request_id=contract.request_id(1), digest="sha256:a", uid=UID,
        is_approved=True, until_ms=5 * MINUTE,
    )  # fmt: skip
