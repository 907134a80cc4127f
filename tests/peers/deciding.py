"""The controller of one namespace, as far as its sidecars see it: counts votes, signs, exchanges.

It stands in for the operator where a test needs people's decisions and no API server: it believes
whatever request it finds, and takes votes from the test. Its bytes are the operator's.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from mesh7_core.delivery import decisions
from mesh7_core.delivery.decisions import Decision
from mesh7_core.delivery.keys import SigningKey
from mesh7_core.ledger import approvals, functions, redis_layout, resp
from mesh7_core.ledger.asked import Request, State, Verdict, Vote
from tests.peers import redis_servers

_PATIENCE_S: Final = 30.0
_STEP_S: Final = 0.01
_READ_BYTES: Final = 1 << 20


def said(
    name: str = "jane",
    verdict: Verdict = Verdict.APPROVE,
    reason: str = "",
    groups: tuple[str, ...] = ("finance",),
    policies: tuple[str, ...] = (),
) -> Vote:
    """One person's yes or no, as the controller has it of a Grant."""
    return Vote(
        person=name, name=name, groups=groups, policies=policies, verdict=verdict, reason=reason
    )


class Controller:
    """Decides about the requests of one namespace in one store.

    Args:
        server: the store.
        namespace: whose requests.
        signer: the signing key of the moment.
        library: what is called there; None = ours.
    """

    def __init__(
        self,
        server: redis_servers.Server,
        namespace: str,
        signer: Callable[[], SigningKey],
        library: functions.Library | None = None,
    ) -> None:
        self._server = server
        self._namespace = namespace
        self._signer = signer
        self._library = library or functions.library_of(functions.written())
        self._layout = redis_layout.Layout(namespace)

    # What it sees

    def requests(self) -> tuple[Request, ...]:
        """All that are kept, in no order."""
        listed = _list(self._call("listing", [self._layout.requests]))
        found = (self.request(str(one, "ascii")) for one in listed if isinstance(one, bytes))
        return tuple(one for one in found if one is not None)

    def request(self, request_id: str) -> Request | None:
        """One of them, as it is now; None when there is none that can be read."""
        now_ms, found = self._read(request_id)
        return None if found is None else approvals.at(found, now_ms)

    async def asked(self, *, but: tuple[str, ...] = ()) -> Request:
        """The request that is pending, once there is one beside those named."""
        deadline_s = time.monotonic() + _PATIENCE_S
        while True:
            for one in self.requests():
                if one.state is State.PENDING and one.id not in but:
                    return one
            assert time.monotonic() < deadline_s, "nobody asks"
            await asyncio.sleep(_STEP_S)

    async def became(self, request_id: str, state: State) -> Request:
        """The request, once it is in that state."""
        deadline_s = time.monotonic() + _PATIENCE_S
        while (found := self.request(request_id)) is None or found.state is not state:
            assert time.monotonic() < deadline_s, found
            await asyncio.sleep(_STEP_S)
        return found

    async def finished(self, request_id: str, outcome: str) -> Request:
        """The request, once it was used and that became of it."""
        deadline_s = time.monotonic() + _PATIENCE_S
        while (found := self.request(request_id)) is None or found.outcome != outcome:
            assert time.monotonic() < deadline_s, found
            await asyncio.sleep(_STEP_S)
        return found

    # What it does

    def decide(self, request_id: str, *votes: Vote) -> Request:
        """Count these votes alone; signed and exchanged when they decide; the request after it."""
        before, after = self._counted(request_id, votes)
        if after.state in {State.APPROVED, State.DENIED}:
            self.lay(request_id, decisions.seal(self.decision(after), self._signer()))
        if after is not before:
            self.exchange(before, after)
        return after

    def lay_otherwise(
        self,
        request_id: str,
        changed: Mapping[str, object],
        *votes: Vote,
        signer: SigningKey | None = None,
    ) -> None:
        """Decide, but lay down what is a little else, or is signed by somebody else."""
        before, after = self._counted(request_id, votes or (said(),))
        decision = self.decision(after)
        fields = {name: getattr(decision, name) for name in Decision.__slots__}
        meant = Decision(**{**fields, **changed})
        self.lay(request_id, decisions.seal(meant, signer or self._signer()))
        if after is not before:
            self.exchange(before, after)

    def decision(self, request: Request) -> Decision:
        """What a decided request comes to."""
        no = [one for one in request.votes if one.verdict is Verdict.DENY]
        spoke = no or list(request.votes)
        is_approved = request.state is State.APPROVED
        span_ms = request.use_within_ms if is_approved else request.timeout_ms
        return Decision(
            namespace=self._namespace, request_id=request.id, digest=request.digest,
            uid=request.uid, is_approved=is_approved, until_ms=request.decided_at_ms + span_ms,
            by=tuple(one.name for one in spoke), reason=spoke[-1].reason if spoke else "",
        )  # fmt: skip

    def lay(self, request_id: str, sealed: bytes) -> None:
        """Write a decision where only the operator may."""
        self._server.tell("SET", self._layout.decision(request_id), sealed)

    def laid(self, request_id: str) -> bytes:
        """The decision that lies there; empty = none."""
        found = self._server.tell("GET", self._layout.decision(request_id))
        return found if isinstance(found, bytes) else b""

    def exchange(self, before: Request, after: Request) -> None:
        """Put a request in the place of what it was, unless somebody else was faster.

        Raises:
            AssertionError: somebody was.
        """
        now_ms, _ = self._read(after.id)
        answered = self._call(
            "exchange", self._layout.of_request(after), after.id, before.version, after.version,
            redis_layout.write_request(after), now_ms, *redis_layout.standing_of(after),
            self._layout.channel, "",
        )  # fmt: skip
        assert answered == [redis_layout.DONE], answered

    def forge(self, request: Request, *votes: Vote, **changed: object) -> Request:
        """Write what people are said to have decided, as anybody with the credential can."""
        now_ms, _ = self._read(request.id)
        after = approvals.tally(request, votes, now_ms)
        fields = {"version": request.version + 1, **changed}
        forged = replace(after, **fields)  # type: ignore[arg-type]  # names of fields
        self.exchange(request, forged)
        return forged

    def point(self, request: Request, letter: str) -> None:
        """Write only what its digest is answered by: `P`, `A` or `D`."""
        now_ms, _ = self._read(request.id)
        key = self._layout.of_request(request)[0]
        self._server.tell("SET", key, f"{request.id} {letter} {now_ms + 600_000}")
        self._server.tell("PUBLISH", self._layout.channel, request.id)

    def _counted(self, request_id: str, votes: tuple[Vote, ...]) -> tuple[Request, Request]:
        now_ms, found = self._read(request_id)
        assert found is not None, request_id
        before = approvals.at(found, now_ms)
        return before, approvals.tally(before, votes, now_ms)

    def _read(self, request_id: str) -> tuple[int, Request | None]:
        answered = _list(self._call("read", [self._layout.request(request_id)], _READ_BYTES))
        now_ms, text, arguments = answered
        assert isinstance(now_ms, int)
        return now_ms, redis_layout.read_request(text, arguments, request_id)

    def _call(self, name: str, keys: list[str], *words: str | bytes | int) -> object:
        function = f"{self._library.name}_{name}"
        return self._server.tell("FCALL", function, len(keys), *keys, *words)


def _list(found: object) -> list[resp.Reply]:
    assert isinstance(found, list), found
    return found
