"""Legacy MCP sessions: who opened each, and what is under way in it.

A session id is minted by the source (or by the gateway where it is the server) and bound to the
agent that opened it: anybody else's is unknown (M7, D9). Pure: the time is an argument.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from mesh7_core.policy import calls
from mesh7_core.policy.reasons import Reason
from mesh7_sidecar.sources.registry import Served
from mesh7_sidecar.wire import jsonrpc

MAXIMUM_SESSIONS = 10_000
IDLE_S = 3600.0
MAXIMUM_ASKED = 256
MAXIMUM_MOVED = 16
MAXIMUM_ID_CHARACTERS = 256
STREAM_TAKEN: Final = jsonrpc.Malformed(
    409, jsonrpc.INVALID_REQUEST, "the stream of this session is open already"
)


class Session:
    """One open session.

    Attributes:
        agent: who opened it.
        source: the source's name; empty for the aggregate.
        served: the very source that minted the id; after an edit of its definition another one
            bears its name, and must not be told the id. None for the aggregate.
        streams: its open GET stream; one at a time.
        resumed: its open GET streams that go on where another ended (`Last-Event-ID`), which
            clients open beside that one; as many as answers can be moved.
        asked: JSON-RPC ids of server requests that were let through and await an answer.
        moved: what to do with the answer to a request whose stream the source ended early; the
            answer comes on a stream that the client resumes (`Last-Event-ID`).
    """

    __slots__ = (
        "agent", "asked", "identifier", "moved", "resumed", "served", "source", "streams",
        "used_at_s",
    )  # fmt: skip

    def __init__(
        self,
        agent: calls.Agent,
        source: str,
        identifier: str,
        now_s: float,
        served: Served | None,
    ) -> None:
        self.agent = agent
        self.served = served
        self.streams: set[object] = set()
        self.resumed: set[object] = set()
        self.source = source
        self.identifier = identifier
        self.asked: OrderedDict[int | str, None] = OrderedDict()
        self.moved: OrderedDict[int | str, Callable[[bytes], bytes]] = OrderedDict()
        self.used_at_s = now_s

    def move(self, identifier: int | str, judge: Callable[[bytes], bytes]) -> None:
        """Expect the answer to a request on another stream; the oldest gives way.

        Args:
            judge: makes the source's answer what the agent gets.
        """
        if len(self.moved) >= MAXIMUM_MOVED:
            self.moved.popitem(last=False)
        self.moved[identifier] = judge

    def ask(self, identifier: int | str) -> None:
        """Remember that the source asked the client something; the oldest question gives way."""
        if len(self.asked) >= MAXIMUM_ASKED:
            self.asked.popitem(last=False)
        self.asked[identifier] = None

    def may_answer(self, identifier: object) -> bool:
        """Whether the source asked this, once; an answer to nothing is not let through."""
        if not isinstance(identifier, int | str) or identifier not in self.asked:
            return False
        del self.asked[identifier]
        return True


class Sessions:
    """All open sessions, least recently used first, bounded in number and idleness."""

    def __init__(self) -> None:
        self._open: OrderedDict[tuple[str, str], Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def open(
        self,
        agent: calls.Agent,
        source: str,
        identifier: str,
        now_s: float,
        served: Served | None = None,
    ) -> None:
        """Bind a freshly minted id; the longest unused session gives way beyond the bound.

        An id that is too long to come back is not bound: `prepared` refuses it.
        """
        if len(identifier) > MAXIMUM_ID_CHARACTERS:
            return
        self.expire(now_s)
        if len(self._open) >= MAXIMUM_SESSIONS:
            self._open.popitem(last=False)
        self._open[source, identifier] = Session(agent, source, identifier, now_s, served)

    def find(
        self,
        agent: calls.Agent,
        source: str,
        identifier: str,
        now_s: float,
        served: Served | None = None,
    ) -> Session | None:
        """The session, if this agent opened it here and it is not expired; None is 404."""
        session = self._open.get((source, identifier))
        if session is None or session.agent != agent or session.served is not served:
            return None
        if now_s - session.used_at_s > IDLE_S:
            return None
        session.used_at_s = now_s
        self._open.move_to_end((source, identifier))
        return session

    def close(self, session: Session) -> None:
        """Forget a session; forgetting twice is harmless."""
        self._open.pop((session.source, session.identifier), None)

    def expire(self, now_s: float) -> None:
        """Forget sessions that nobody used for an hour."""
        while self._open:
            session = next(iter(self._open.values()))
            if now_s - session.used_at_s <= IDLE_S:
                return
            self._open.popitem(last=False)


def unknown_session(identifier: int | str | None) -> jsonrpc.Malformed:
    """The answer that makes a client start a new session; the same for a foreign one.

    Args:
        identifier: of the request; None when there was none.
    """
    return jsonrpc.Malformed(
        404,
        jsonrpc.INVALID_REQUEST,
        "this session is not known here – start a new one with `initialize`",
        identifier,
        reason=Reason.UNKNOWN_SESSION,
    )


def answers_nothing(identifier: int | str | None) -> jsonrpc.Malformed:
    """The answer to a client's response that no request was let through for."""
    return jsonrpc.Malformed(
        400,
        jsonrpc.INVALID_REQUEST,
        "this answers no request that was let through in this session",
        identifier,
    )
