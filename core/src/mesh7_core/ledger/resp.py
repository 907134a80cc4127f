"""One connection that speaks RESP: commands of one turn in one write, answers in their order.

Made for the path of every call: no future, no task and no timer for a command. One sweep runs
while something is in flight; what is older than a second fails, and the connection with it, for
nobody could tell a late answer from the next one's.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final, TypeAlias, TypeVar, Union

import hiredis
from typing_extensions import override

from mesh7_core.ledger.protocol import LOST, Lost

Reply: TypeAlias = Union[bytes, int, float, bool, hiredis.ReplyError, "list[Reply]", None]
"""What a server answers; an error reply is a value."""
Answer: TypeAlias = Callable[[Reply | Lost], None]
"""Called once for a command, now or later; what it raises is logged, and the next one goes on."""

log = logging.getLogger("mesh7.ledger")

MOST_IN_FLIGHT: Final = 10_000
"""Commands that may wait for their answers; the next one is lost at once."""
_SWEEP_S: Final = 0.2
_SWEEPS: Final = 5  # together the second after which an answer comes too late
_NOTHING: Final = object()
TOO_LONG: Final = "a message came that is too long to be ours; see who else may publish there"
"""Why a connection ended that brought more than it may."""
_NOT_REDIS: Final = "it answers something that is not the protocol of Redis"

Told = TypeVar("Told")


class Pipeline(asyncio.Protocol):
    """One connection: the protocol object of an asyncio transport.

    Args:
        loop: the running one.
        ended: called once with the reason (for people) when the connection is over.
        pushed: takes what the server sends by itself (published messages).
        longest: bytes that may arrive without completing a reply; 0 = any number. What is published
            is whoever's who may publish, and it is kept until it is complete.
    """

    __slots__ = (
        "_answered", "_ended", "_flushes", "_longest", "_loop", "_marks", "_outgoing", "_pushed",
        "_reader", "_timer", "_transport", "_unfinished", "_waiting",
    )  # fmt: skip

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        ended: Callable[[str], None],
        pushed: Callable[[list[Reply]], None],
        longest: int = 0,
    ) -> None:
        self._loop = loop
        self._ended = ended
        self._pushed = pushed
        self._longest = longest
        self._unfinished = 0
        self._reader = hiredis.Reader(notEnoughData=_NOTHING)
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[Answer] = deque()
        self._outgoing: list[bytes] = []
        self._flushes = False
        self._answered = 0
        self._marks: deque[int] = deque()
        self._timer: asyncio.TimerHandle | None = None

    # Commands

    def send(self, command: bytes, answer: Answer) -> None:
        """Send a packed command with this turn's others; LOST at once when that cannot be."""
        if self._transport is None or len(self._waiting) >= MOST_IN_FLIGHT:
            answer(LOST)
            return
        self._waiting.append(answer)
        self._write(command)
        if self._timer is None:
            self._timer = self._loop.call_later(_SWEEP_S, self._sweep)

    def send_unanswered(self, command: bytes) -> None:
        """Send a command that the server answers by pushing only (SUBSCRIBE)."""
        if self._transport is not None:
            self._write(command)

    def drop(self, why: str) -> None:
        """End the connection at once; everything in flight is lost."""
        if self._transport is not None:
            self._transport.abort()
            self._over(why)

    def _write(self, command: bytes) -> None:
        self._outgoing.append(command)
        if not self._flushes:
            self._flushes = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushes = False
        if self._transport is not None:
            self._transport.write(b"".join(self._outgoing))
        self._outgoing.clear()

    # The transport's side

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self._transport = transport  # type: ignore[assignment]  # streams get a Transport

    @override
    def data_received(self, data: bytes) -> None:
        """Answers, in order; and what was published."""
        self._unfinished += len(data)
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not _NOTHING:
                self._unfinished = 0
                if not self._take(reply):
                    break
        except hiredis.ProtocolError:
            self.drop(_NOT_REDIS)
        if 0 < self._longest < self._unfinished:
            self.drop(TOO_LONG)

    def _take(self, reply: Reply) -> bool:
        """Hand one on; whether more may follow."""
        if self._transport is None:
            return False  # whoever took the one before has ended the connection
        if isinstance(reply, hiredis.PushNotification):
            _tell(self._pushed, reply)
            return True
        if not self._waiting:
            # An answer that nobody asked for; what follows could be anybody's.
            self.drop(_NOT_REDIS)
            return False
        answer = self._waiting.popleft()
        self._answered += 1
        _tell(answer, reply)
        return True

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        if self._transport is not None:
            self._over("it closed the connection")

    # Endings

    def _sweep(self) -> None:
        """Lose everything when something in flight is a second old.

        Sweeps are counted, not seconds: a process that was stopped for a while finds the answers
        in its socket, and must not call them late.
        """
        self._marks.append(self._answered + len(self._waiting))
        if len(self._marks) >= _SWEEPS and self._answered < self._marks.popleft():
            self._timer = None
            self.drop("it does not answer within a second")
        elif self._waiting:
            self._timer = self._loop.call_later(_SWEEP_S, self._sweep)
        else:
            self._timer = None
            self._marks.clear()

    def _over(self, why: str) -> None:
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, deque()
        self._ended(why)
        for answer in waiting:
            _tell(answer, LOST)


def _tell(told: Callable[[Told], None], what: Told) -> None:
    """A defect of one who is told must not cost the answers of all others."""
    try:
        told(what)
    except Exception:
        log.exception("an answer of redis was not taken: a defect, please report it")


def pack(*words: bytes | str | int) -> bytes:
    """A command as the bytes that go on the wire."""
    # Its stub speaks of tuples of one word.
    packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]
    return packed
