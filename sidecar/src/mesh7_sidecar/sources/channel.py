"""All that one child process is asked, and who gets what it says.

Ids and progress tokens are made unique on the way out and restored on the way back, by splicing
bytes, so that clients who chose the same ones never meet (M5). Only a response is ever an answer:
a request of the server whose id equals one of ours is a request (D13).

    shared channel     modern requests of all clients; nothing of the server's own goes to anybody
    session's channel  one legacy session; the server may ask the client, on the session's streams

A session outlives its child: another channel says the client's own `initialize` again.
"""

import itertools
import logging
from collections.abc import Callable
from typing import Final

from mesh7_sidecar.net import upstream
from mesh7_sidecar.sources.child import Child
from mesh7_sidecar.sources.pending import Pending
from mesh7_sidecar.sources.session_stream import SessionStream
from mesh7_sidecar.wire import identifiers, jsonrpc, mcp, splice
from mesh7_sidecar.wire.lines import Overlong

MAXIMUM_UNWRITTEN_BYTES: Final = 16 * 1024 * 1024
MAXIMUM_OWED: Final = 64
GREETING: Final = 0
"""The id of a handshake that is said again; all others count from 1."""
REQUEST_CANCELLED: Final = -32800

_CANCEL: Final = (
    b'{"jsonrpc":"2.0","method":"notifications/cancelled",'
    b'"params":{"requestId":%d,"reason":"the client is gone or its time is over"}}'
)
_REFUSE: Final = (
    b'{"jsonrpc":"2.0","id":%b,"error":{"code":-32601,"message":"nobody here can answer"}}'
)
_CANCELLED: Final = (
    b'{"jsonrpc":"2.0","id":%b,"error":{"code":%d,"message":"the client cancelled the request"}}'
)
_INITIALIZED: Final = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'
_TELLS_ALL: Final = frozenset({
    "notifications/tools/list_changed", "notifications/resources/list_changed",
    "notifications/prompts/list_changed", "notifications/resources/updated",
})  # fmt: skip
_LATE: Final = upstream.Failure(
    kind=upstream.FailureKind.TIMED_OUT, message="did not answer in time"
)
_TOO_LARGE: Final = upstream.Failure(
    kind=upstream.FailureKind.TOO_LARGE, message="answered more than its `bounds` allow"
)
_UNREADABLE: Final = upstream.Failure(
    kind=upstream.FailureKind.MALFORMED, message="answered something that is not strict JSON-RPC"
)
_BUSY: Final = upstream.Failure(
    kind=upstream.FailureKind.BUSY,
    message="has as many calls under way as it may get",
    is_unsent=True,
)
_NOT_READING: Final = upstream.Failure(
    kind=upstream.FailureKind.BUSY, message="does not read what it is sent", is_unsent=True
)

log = logging.getLogger("mesh7.sources")


class Channel:
    """One child and what is under way with it. Starting and stopping it is the owner's.

    Args:
        name: the source's, for the log.
        stream: of a legacy session; None makes the channel a shared one.
        on_end: called once when the child is gone, with why.
        clock_s: monotonic seconds.

    Attributes:
        child: None until it runs.
        started_s: when it was made.
        used_s: when a client last spoke.
        is_over: it takes nothing more.
        greeting: the client's `initialize`, once a child has accepted it; else empty.
    """

    def __init__(
        self,
        name: str,
        maximum_concurrency: int,
        stream: SessionStream | None,
        on_end: "Callable[[Channel, str], None]",
        clock_s: Callable[[], float],
    ) -> None:
        self.stream = stream
        self.child: Child | None = None
        self.started_s = self.used_s = clock_s()
        self.is_over = False
        self.greeting = b""
        self._is_greeting = False
        self._asked_greeting = b""
        self._name = name
        self._maximum_concurrency = maximum_concurrency
        self._on_end = on_end
        self._clock_s = clock_s
        self._numbers = itertools.count(1)
        self._pending: dict[int, Pending] = {}
        self._owed: dict[int | str, None] = {}
        self._unstarted: list[tuple[int, bytes]] = []

    # Towards the child.

    @property
    def is_idle(self) -> bool:
        """Nobody waits for anything."""
        return not self._pending and (self.stream is None or not self.stream.is_open)

    def begin(self, child: Child) -> bool:
        """The child runs: it gets what waited for it. False when it comes too late."""
        if self.is_over:
            return False
        self.child = child
        if self._is_greeting:
            child.write(_numbered(self.greeting, GREETING)[0])
        else:
            self._write_unstarted()
        return True

    def greet_again(self, greeting: bytes) -> None:
        """Open a session anew that lost its child; what it is asked waits for the child's answer.

        Args:
            greeting: of the channel before; goes out first.
        """
        self.greeting = greeting
        self._is_greeting = True

    def ask(self, message: jsonrpc.Message, pending: Pending) -> int | upstream.Failure:
        """Put a request to the child.

        Returns:
            Its number, for `abandon`; or why it was not put.
        """
        if len(self._pending) >= self._maximum_concurrency:
            return _BUSY
        if self.child is not None and self.child.unwritten_bytes > MAXIMUM_UNWRITTEN_BYTES:
            return _NOT_READING
        number = next(self._numbers)
        line, pending.token = _numbered(message.raw, number)
        self.used_s = pending.asked_s
        if message.method == "initialize":
            self._asked_greeting = message.raw
        self._pending[number] = pending
        self._write(number, line)
        return number

    def tell(self, message: jsonrpc.Message) -> None:
        """Pass on a notification, or an answer to what the server asked."""
        self.used_s = self._clock_s()
        if message.kind is jsonrpc.Kind.RESPONSE and message.id is not None:
            self._owed.pop(message.id, None)
        if message.method == "notifications/cancelled":
            self._cancel(message)
        else:
            self._write(0, _one_line(message.raw))

    def abandon(self, number: int) -> None:
        """Nobody wants this answer any more: tell the child, and drop the answer if it comes."""
        pending = self._pending.pop(number, None)
        # By the protocol the handshake must not be cancelled.
        if pending is not None and pending.is_written and pending.method != "initialize":
            self._write(0, _CANCEL % number)

    def expire(self, now_s: float) -> None:
        """Fail what has waited too long."""
        waits = bool(self._owed)
        late = [
            number
            for number, pending in self._pending.items()
            if pending.is_late(now_s, is_waiting_for_client=waits)
        ]
        for number in late:
            found = self._pending.get(number)
            if found is not None:
                self.abandon(number)
                found.fail(_LATE)

    def _cancel(self, message: jsonrpc.Message) -> None:
        """A legacy client's cancellation: its own id in it becomes ours."""
        wanted = message.params.get("requestId")
        if not isinstance(wanted, int | str):
            return
        identifier = jsonrpc.encode_id(wanted)
        for number, pending in self._pending.items():
            if pending.identifier == identifier:
                line = _one_line(message.raw)
                self._write(0, splice.replace(line, ("params", "requestId"), b"%d" % number))
                del self._pending[number]
                # The client drops this; but every request of HTTP has an answer.
                code = REQUEST_CANCELLED
                pending.answer(_CANCELLED % (identifier, code), code)
                return

    def _write(self, number: int, line: bytes) -> None:
        if self.child is None or self._is_greeting:
            self._unstarted.append((number, line))
            return
        if number in self._pending:
            self._pending[number].is_written = True
        self.child.write(line)

    def _write_unstarted(self) -> None:
        unstarted, self._unstarted = self._unstarted, []
        for number, line in unstarted:
            if number == 0 or number in self._pending:
                self._write(number, line)

    # From the child.

    def line(self, line: bytes) -> None:
        """One line of its stdout."""
        message = jsonrpc.parse(line)
        if isinstance(message, jsonrpc.Malformed):
            identifier = message.id
            if identifier is None:
                identifier = identifiers.likely_id(line[:256], line[-256:])
            self._lost(identifier, _UNREADABLE)
        elif message.kind is jsonrpc.Kind.RESPONSE:
            self._answered(message)
        elif message.kind is jsonrpc.Kind.REQUEST:
            self._asked_back(message)
        else:
            self._noticed(message)

    def overlong(self, line: Overlong) -> None:
        """An answer beyond the bound fails its own call, if it says which that is."""
        self._lost(identifiers.likely_id(line.head, line.tail), _TOO_LARGE)

    def ended(self, ending: str) -> None:
        """The child is gone by itself, or never came up."""
        if not self.is_over:
            self.close(ending)
            self._on_end(self, ending)

    def close(self, ending: str) -> None:
        """Fail what is under way; it may have run, so nothing is asked again. Stops no child."""
        self.is_over = True
        pending, self._pending = self._pending, {}
        for each in pending.values():
            each.fail(upstream.Failure(
                kind=upstream.FailureKind.CLOSED,
                message=f"gave no answer: {ending}",
                is_unsent=not each.is_written,
            ))  # fmt: skip
        if self.stream is not None:
            self.stream.close()

    def _answered(self, message: jsonrpc.Message) -> None:
        if self._is_greeting and message.id == GREETING:
            self._greeted(message)
            return
        pending = self._taken(message.id)
        if pending is None:
            # Late, or an answer to nothing.
            log.debug("an answer that nobody waits for was dropped", extra={"source": self._name})
            return
        line = identifiers.with_id(message.raw, pending.identifier)
        code = message.error["code"] if message.error is not None else None
        if pending.method == "initialize" and message.error is None:
            self.greeting = self._asked_greeting
        if pending.method == "subscriptions/listen":
            path = ("result", "_meta", mcp.META_SUBSCRIPTION)
            line = splice.replace(line, path, pending.identifier)
        pending.answer(line, code if isinstance(code, int) else None)

    def _greeted(self, message: jsonrpc.Message) -> None:
        if message.error is not None:
            self.ended("its program refused the handshake that it had accepted before")
            return
        self._is_greeting = False
        self._write(0, _INITIALIZED)
        self._write_unstarted()

    def _asked_back(self, message: jsonrpc.Message) -> None:
        if self.stream is None or len(self._owed) >= MAXIMUM_OWED or message.id is None:
            self._write(0, _REFUSE % jsonrpc.encode_id(message.id))
            return
        self._owed[message.id] = None
        self._give(message)

    def _noticed(self, message: jsonrpc.Message) -> None:
        now_s = self._clock_s()
        if message.method == "notifications/progress":
            pending = self._known(message.params.get("progressToken"))
            if pending is not None and pending.token is not None:
                path: splice.Path = ("params", "progressToken")
                pending.event(splice.replace(message.raw, path, pending.token), now_s)
            return
        meta = message.params.get("_meta")
        subscription = meta.get(mcp.META_SUBSCRIPTION) if isinstance(meta, dict) else None
        if subscription is not None:
            pending = self._known(subscription)
            if pending is not None:
                path = ("params", "_meta", mcp.META_SUBSCRIPTION)
                pending.event(splice.replace(message.raw, path, pending.identifier), now_s)
            return
        self._give(message)

    def _give(self, message: jsonrpc.Message) -> None:
        """Something that names no request of ours."""
        now_s = self._clock_s()
        if self.stream is None:
            # Only to the one who can have been meant: a guess would show it to a stranger.
            asking = [each for each in self._pending.values() if each.wants_logs]
            if message.method == "notifications/message" and len(asking) == 1:
                asking[0].event(message.raw, now_s)
            return
        if message.method not in _TELLS_ALL or not self.stream.is_open:
            for pending in self._pending.values():
                if pending.accepts_events:
                    pending.event(message.raw, now_s)
                    return
        self.stream.deliver(message.raw)

    def _lost(self, identifier: int | str | None, failure: upstream.Failure) -> None:
        log.warning(
            "a line that cannot be read was dropped",
            extra={"source": self._name, "why": failure.kind},
        )
        pending = self._taken(identifier)
        if pending is not None:
            pending.fail(failure)

    def _known(self, number: object) -> Pending | None:
        # `type is`: True is an int and no number of ours.
        return self._pending.get(number) if type(number) is int else None

    def _taken(self, number: object) -> Pending | None:
        return self._pending.pop(number, None) if type(number) is int else None


def _numbered(raw: bytes, number: int) -> tuple[bytes, bytes | None]:
    """A request under an id of ours, its progress token too; and the token that it had."""
    line = identifiers.with_id(_one_line(raw), b"%d" % number)
    token = splice.span(line, ("params", "_meta", "progressToken"))
    if token is None:
        return line, None
    return line[: token[0]] + b"%d" % number + line[token[1] :], line[token[0] : token[1]]


def _one_line(raw: bytes) -> bytes:
    """A message without line ends, which in strict JSON are blanks between tokens and no more."""
    if b"\n" in raw or b"\r" in raw:
        return raw.replace(b"\n", b" ").replace(b"\r", b" ")
    return raw
