"""A namespace's requests: by id, by the digest they answer, and how many are open.

Nothing looks through all of them when a call comes by. What closes is kept for a day, for people
and for "the same call ran before", and is bounded by number. All arguments together are bounded by
size: those of closed requests are let go, the longest closed first; the requests themselves stay.
Plans (`plan_…`) say what would become of a request and change nothing, so that a home can write it
down first; `put` then takes it. Time is an argument; nothing here waits or writes.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from mesh7_core.ledger import approvals, shortening
from mesh7_core.ledger.asked import Refused, Request, State, Vote
from mesh7_core.ledger.protocol import Caps, Full, Opened, Unknown

KEPT_MS: Final = 24 * 60 * 60 * 1000
MOST_CLOSED: Final = 10_000


class Requests:
    """All requests of one namespace, as last written.

    Args:
        forgotten: told of the id of each one that is let go, or whose arguments are.
    """

    __slots__ = (
        "_answering", "_by_id", "_bytes", "_closed", "_due", "_forgotten", "_pending", "_spare",
    )  # fmt: skip

    def __init__(self, forgotten: Callable[[str], None] | None = None) -> None:
        self._forgotten = forgotten
        self._by_id: dict[str, Request] = {}
        self._answering: dict[str, str] = {}
        self._pending: Counter[str] = Counter()
        self._closed: dict[str, None] = {}
        self._spare: dict[str, None] = {}  # those of `_closed` that have arguments
        self._bytes = 0
        self._due: list[tuple[int, str, int, State]] = []

    def __iter__(self) -> Iterator[Request]:
        return iter(self._by_id.values())

    def answering(self, digest: str, now_ms: int) -> Request | None:
        """What the digest is answered by now: pending, approved, or lately denied."""
        request = self._by_id.get(self._answering.get(digest, ""))
        if request is None or not approvals.answers(request, now_ms):
            return None
        return approvals.at(request, now_ms)

    def find(self, request_id: str, now_ms: int) -> Request | Unknown:
        """One of them as it is now."""
        self.clear(now_ms)
        request = self._by_id.get(request_id)
        return Unknown() if request is None else approvals.at(request, now_ms)

    def listed(self, now_ms: int) -> tuple[Request, ...]:
        """All of them as they are now, oldest first; of one moment by their ids."""
        self.clear(now_ms)
        found = (approvals.at(one, now_ms) for one in self._by_id.values())
        return tuple(sorted(found, key=lambda one: (one.opened_at_ms, one.id)))

    def plan_open(self, request: Request, caps: Caps, now_ms: int) -> Request | Opened | Full:
        """The request to be opened, or the one to be joined."""
        self.clear(now_ms)
        found = self.answering(request.digest, now_ms)
        if found is not None:
            return Opened(found.id)
        if self._pending[request.pod] >= caps.per_pod:
            return Full("Pod")
        if self._pending.total() >= caps.per_namespace:
            return Full("Namespace")
        return approvals.opened(request, now_ms)

    def plan_vote(self, request_id: str, vote: Vote, now_ms: int) -> Request | Refused | Unknown:
        """The request with one more vote."""
        request = self.find(request_id, now_ms)
        return request if isinstance(request, Unknown) else approvals.vote(request, vote, now_ms)

    def plan_claim(self, request_id: str, digest: str, now_ms: int) -> Request | Refused:
        """The request, used."""
        request = self.find(request_id, now_ms)
        if isinstance(request, Unknown):
            return Refused(f"there is no request `{request_id}`")
        return approvals.claim(request, digest, now_ms)

    def plan_finish(
        self, request_id: str, outcome: str, now_ms: int
    ) -> Request | Refused | Unknown:
        """The request with what became of it."""
        request = self.find(request_id, now_ms)
        return request if isinstance(request, Unknown) else approvals.finish(request, outcome)

    def plan_withdraw(self, request_id: str, now_ms: int) -> Request | Refused | Unknown:
        """The request, withdrawn."""
        request = self.find(request_id, now_ms)
        return request if isinstance(request, Unknown) else approvals.withdraw(request, now_ms)

    def put(self, request: Request) -> None:
        """Take a request as it is written now, new or changed."""
        self._forget(request.id)
        self._by_id[request.id] = request
        if request.state in {State.PENDING, State.APPROVED, State.DENIED}:
            self._answering[request.digest] = request.id
        if request.state is State.PENDING:
            self._pending[request.pod] += 1
        if approvals.closed_at(request):
            self._closed[request.id] = None
            if request.arguments:
                self._spare[request.id] = None
        self._bytes += shortening.size_bytes(request)
        heapq.heappush(self._due, (_due_at(request), request.id, request.version, request.state))

    def clear(self, now_ms: int) -> None:
        """Let time close and forget."""
        while self._due and self._due[0][0] <= now_ms:
            _, request_id, version, state = heapq.heappop(self._due)
            request = self._by_id.get(request_id)
            if request is None or (request.version, request.state) != (version, state):
                continue
            if approvals.closed_at(request):
                self._let_go(request_id)
            else:
                self.put(approvals.at(request, now_ms))
        while len(self._closed) > MOST_CLOSED:
            self._let_go(next(iter(self._closed)))
        while self._spare and self._bytes > shortening.MOST_BYTES:
            self._let_arguments_go(next(iter(self._spare)))

    def written(self, request_id: str) -> Request | None:
        """One of them as it was last put."""
        return self._by_id.get(request_id)

    def _let_arguments_go(self, request_id: str) -> None:
        request = self._by_id[request_id]
        self._bytes -= shortening.size_bytes(request)
        del self._spare[request_id]
        self._by_id[request_id] = replace(request, arguments="")
        if self._forgotten is not None:
            self._forgotten(request_id)

    def _let_go(self, request_id: str) -> None:
        self._forget(request_id)
        if self._forgotten is not None:
            self._forgotten(request_id)

    def _forget(self, request_id: str) -> None:
        request = self._by_id.pop(request_id, None)
        if request is None:
            return
        if self._answering.get(request.digest) == request_id:
            del self._answering[request.digest]
        if request.state is State.PENDING:
            self._pending[request.pod] -= 1
            if not self._pending[request.pod]:
                del self._pending[request.pod]
        self._bytes -= shortening.size_bytes(request)
        self._closed.pop(request_id, None)
        self._spare.pop(request_id, None)


def kept_until(request: Request) -> int:
    """When it can be forgotten, if nothing more happens to it."""
    end = approvals.ends_at(request)
    return max(end, approvals.closed_at(request) or end) + KEPT_MS


def _due_at(request: Request) -> int:
    """When time does something to it next: closes it, or lets it be forgotten."""
    closed_at_ms = approvals.closed_at(request)
    if not closed_at_ms:
        return approvals.ends_at(request)
    return kept_until(request)
