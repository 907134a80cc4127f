"""People's way in: requests, decisions, grants and the kill, on unix sockets alone.

Nothing of it is on a TCP listener: reaching the agent's port, or loopback, gives no right to decide
(A5, D10). Whoever asks is the process at the other end of the socket, and `people.hurdles` says
what it may. Reading needs no more than the socket; to decide, grant and revoke one must pass for a
person; a kill only narrows, and needs the right alone.
"""

import asyncio
import re
from collections.abc import Callable, Coroutine
from typing import Final

from mesh7_core.audit.deeds import Act
from mesh7_core.ledger import protocol
from mesh7_core.ledger.asked import Request, State, Verdict, Vote, counts_for
from mesh7_sidecar.doors.people_answers import Answer, Ground, against, deed, lost, refused, unsure
from mesh7_sidecar.doors.people_grants import Grants
from mesh7_sidecar.doors.people_watch import BEAT_S, Watching
from mesh7_sidecar.doors.work import Work
from mesh7_sidecar.net import holders
from mesh7_sidecar.net.exchange import Exchange
from mesh7_sidecar.net.peer import Peer
from mesh7_sidecar.people import accounts, hurdles, shown, wishes
from mesh7_sidecar.people.wishes import Wrong

_ID: Final = r"(r-[0-9A-Za-z]{26})"
_NAME: Final = r"([A-Za-z0-9][-._A-Za-z0-9]{0,252})"
_ACTS: Final = {Verdict.APPROVE: Act.APPROVE, Verdict.DENY: Act.DENY}
_Take = Callable[[Exchange, str], None]
"""Takes an exchange and what its path names."""


class People:
    """The door.

    Args:
        ground: the rest of the gateway.
        beat_s: how often a watcher is written to when nothing happens.
    """

    def __init__(self, ground: Ground, beat_s: float = BEAT_S) -> None:
        self._ground = ground
        self._grants = Grants(ground)
        self._watching = Watching(ground, beat_s)
        self._work = Work()
        self._routes: tuple[tuple[re.Pattern[str], dict[str, _Take]], ...] = (
            (re.compile(r"/control/requests(?:\?state=(open|all))?"), {"GET": self._list}),
            (re.compile(rf"/control/requests/{_ID}"), {"GET": self._show}),
            (re.compile(rf"/control/requests/{_ID}/approve"), {"POST": self._approve}),
            (re.compile(rf"/control/requests/{_ID}/deny"), {"POST": self._deny}),
            (re.compile(r"/control/watch"), {"GET": self._watch}),
            (re.compile(r"/control/grants"), {"GET": self._list_grants, "POST": self._grant}),
            (re.compile(rf"/control/grants/{_NAME}"), {"DELETE": self._revoke}),
            (re.compile(r"/control/kill"), {"POST": self._kill}),
        )

    def __call__(self, exchange: Exchange) -> None:
        """Answer one request; whatever is spelled otherwise is not found."""
        for pattern, methods in self._routes:
            found = pattern.fullmatch(exchange.target)
            if found is None:
                continue
            take = methods.get(exchange.method)
            if take is None:
                exchange.respond(405, [(b"allow", ", ".join(methods).encode())], b"")
            else:
                take(exchange, (found[1] or "") if found.re.groups else "")
            return
        refused(404, "there is nothing at this path").send(exchange)

    def dismiss(self) -> None:
        """The gateway ends: end the answers that have no end of their own."""
        self._watching.dismiss()

    # Reading

    def _list(self, exchange: Exchange, state: str) -> None:
        self._work.run(exchange, _answer(exchange, self._listed(is_all=state == "all")))

    def _show(self, exchange: Exchange, request_id: str) -> None:
        self._work.run(exchange, _answer(exchange, self._shown(request_id)))

    def _watch(self, exchange: Exchange, _: str) -> None:
        self._watching.start(exchange)

    def _list_grants(self, exchange: Exchange, _: str) -> None:
        self._work.run(exchange, _answer(exchange, self._grants.list()))

    async def _listed(self, *, is_all: bool) -> Answer:
        moment = await self._moment()
        if moment is None:
            return lost(self._ground.ledger)
        requests = [each for each in moment.others if is_all or shown.is_open(each)]
        return Answer(200, shown.listed(requests, moment))

    async def _shown(self, request_id: str) -> Answer:
        request = await self._ground.ledger.request(request_id)
        if isinstance(request, protocol.Unknown):
            return _no_request(request_id)
        return await self._whole(request)

    async def _whole(self, request: Request | protocol.Lost) -> Answer:
        moment = await self._moment()
        if moment is None or isinstance(request, protocol.Lost):
            return lost(self._ground.ledger)
        return Answer(200, shown.whole(request, moment))

    async def _moment(self) -> shown.Moment | None:
        requests = await self._ground.ledger.requests()
        now_ms = await self._ground.ledger.now_ms()
        if isinstance(requests, protocol.Lost) or isinstance(now_ms, protocol.Lost):
            return None
        return against(self._ground, now_ms, requests)

    # Deciding

    def _approve(self, exchange: Exchange, request_id: str) -> None:
        self._take(exchange, lambda body, caller: self._decide(
            caller, request_id, Verdict.APPROVE, wishes.read_reason(body)
        ))  # fmt: skip

    def _deny(self, exchange: Exchange, request_id: str) -> None:
        self._take(exchange, lambda body, caller: self._decide(
            caller, request_id, Verdict.DENY, wishes.read_reason(body)
        ))  # fmt: skip

    async def _decide(
        self, caller: hurdles.Caller, request_id: str, verdict: Verdict, reason: str | Wrong
    ) -> Answer:
        if isinstance(reason, Wrong):
            return refused(422, reason.why)
        ground, person = self._ground, caller.person
        account = person.account
        obstacle = self._obstacle(caller)
        before = await ground.ledger.request(request_id)
        if isinstance(before, protocol.Lost):
            return lost(ground.ledger)
        if isinstance(before, protocol.Unknown):
            return refused(403, obstacle) if obstacle else _no_request(request_id)
        after: object = None
        why = obstacle
        vote = Vote(
            person=account.person,
            name=account.name,
            groups=account.groups,
            verdict=verdict,
            reason=reason,
            evidence=person.evidence,
        )
        if not obstacle:
            after = await ground.ledger.vote(request_id, vote)
            why = after.why if isinstance(after, protocol.Refused) else ""
        if why or isinstance(after, Request):
            await self._note_decision(person, before, vote, why)
        if isinstance(after, Request):
            # It counts, so whatever is lost from here on, the answer is no failure.
            moment = await self._moment()
            return Answer(200, shown.whole(after, moment or self._alone(after)))
        if isinstance(after, protocol.Lost):
            return unsure(ground.ledger)
        if isinstance(after, protocol.Unknown):
            return _no_request(request_id)
        return refused(403 if obstacle or _is_not_theirs(before, vote) else 409, why)

    def _alone(self, request: Request) -> shown.Moment:
        return against(self._ground, self._ground.clock.wall_ns() // 1_000_000, (request,))

    async def _note_decision(
        self, person: hurdles.Person, request: Request, vote: Vote, refused: str
    ) -> None:
        await self._ground.note(
            deed(
                self._ground,
                person,
                _ACTS[vote.verdict],
                refused=refused,
                request_id=request.id,
                tool=request.tool,
                agent=request.agent,
                reason=vote.reason,
                trace_id=request.trace_id,
            )
        )

    # Granting

    def _grant(self, exchange: Exchange, _: str) -> None:
        self._take(exchange, lambda body, caller: self._granted(caller, wishes.read_grant(body)))

    async def _granted(self, caller: hurdles.Caller, wish: wishes.GrantWish | Wrong) -> Answer:
        if isinstance(wish, Wrong):
            return refused(422, wish.why)
        obstacle = self._obstacle(caller)
        if obstacle:
            await self._note_refusal(caller, Act.GRANT, obstacle, tool=wish.tool)
            return refused(403, obstacle)
        return await self._grants.make(wish, caller.person)

    def _revoke(self, exchange: Exchange, name: str) -> None:
        self._start(exchange, b"", lambda _, caller: self._revoked(caller, name))

    async def _revoked(self, caller: hurdles.Caller, name: str) -> Answer:
        obstacle = self._obstacle(caller)
        if obstacle:
            await self._note_refusal(caller, Act.REVOKE, obstacle, grant=name)
            return refused(403, obstacle)
        return await self._grants.revoke(name, caller.person)

    def _kill(self, exchange: Exchange, _: str) -> None:
        self._take(exchange, lambda body, caller: self._killed(caller, wishes.read_kill(body)))

    async def _killed(self, caller: hurdles.Caller, wish: wishes.KillWish | Wrong) -> Answer:
        if isinstance(wish, Wrong):
            return refused(422, wish.why)
        obstacle = hurdles.may_not_narrow(caller.person.account, self._ground.rules)
        if obstacle:
            await self._note_refusal(caller, Act.KILL, obstacle)
            return refused(403, obstacle)
        return await self._grants.kill(wish, caller.person)

    async def _note_refusal(self, caller: hurdles.Caller, act: Act, why: str, **said: str) -> None:
        await self._ground.note(deed(self._ground, caller.person, act, refused=why, **said))

    # Who calls

    def _obstacle(self, caller: hurdles.Caller) -> str:
        return hurdles.may_not_decide(caller, self._ground.rules, self._ground.clients)

    def _take(
        self,
        exchange: Exchange,
        act: Callable[[bytes, hurdles.Caller], Coroutine[None, None, Answer]],
    ) -> None:
        """Read the body, then see who sent it, and act."""
        if exchange.head.header(b"content-type") != b"application/json":
            why = "the body must be `Content-Type: application/json`"
            refused(415, why).send(exchange)
            return
        exchange.collect(wishes.MAXIMUM_BYTES, lambda _, body: self._start(exchange, body, act))

    def _start(
        self,
        exchange: Exchange,
        body: bytes,
        act: Callable[[bytes, hurdles.Caller], Coroutine[None, None, Answer]],
    ) -> None:
        # Now, not later: once the exchange is over its socket may be somebody else's.
        peer = exchange.peer.look() if exchange.peer is not None else None
        if peer is None:
            refused(403, "the process that calls has ended, or cannot be seen from here – decide "
                    "from a program that waits for its answer").send(exchange)  # fmt: skip
            return
        self._work.run(exchange, _answer(exchange, self._acting(peer, body, act)))
        # A caller that leaves cuts no act in two: what is done is written down.
        exchange.on_gone = None

    async def _acting(
        self,
        peer: Peer,
        body: bytes,
        act: Callable[[bytes, hurdles.Caller], Coroutine[None, None, Answer]],
    ) -> Answer:
        # In threads: the account database may be a directory server, the table of sockets long.
        account = await asyncio.to_thread(accounts.account_of, peer.uid, peer.gid)
        holder = await asyncio.to_thread(holders.holder, peer.chain, self._ground.ports())
        person = hurdles.Person(account=account, evidence=hurdles.evidence(peer))
        return await act(body, hurdles.Caller(peer=peer, person=person, holder=holder))


async def _answer(exchange: Exchange, work: Coroutine[None, None, Answer]) -> None:
    (await work).send(exchange)


def _no_request(request_id: str) -> Answer:
    return refused(
        404, f"there is no request `{request_id}` – `mesh7 requests` lists them by their whole ids"
    )


def _is_not_theirs(request: Request, vote: Vote) -> bool:
    return request.state is State.PENDING and not any(
        counts_for(asking, vote) for asking in request.asking
    )
