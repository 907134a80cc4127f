"""One message at a source's door that waits until people decide, or its client leaves.

A client leaves in the way of its era: by closing the connection, or by `notifications/cancelled`.
Either way nothing runs for it, and what people were asked stays asked (promise A7).
"""

from mesh7_core.telemetry.records import Outcome
from mesh7_sidecar.doors.inbound import Inbound
from mesh7_sidecar.doors.waiting import COMMENT, EVENTS, Comments, left
from mesh7_sidecar.gate.waiting import Wait


def hold(inbound: Inbound, wait: Wait) -> None:
    """Keep the client until the gate answers, which may be at once (`--hold 0`)."""
    held = _Held(inbound, wait)
    if inbound.exchange.is_gone:
        held.gone()
    else:
        held.begin()


class _Held:
    __slots__ = ("_comments", "_inbound", "_wait")

    def __init__(self, inbound: Inbound, wait: Wait) -> None:
        self._inbound = inbound
        self._wait = wait
        self._comments: Comments | None = None

    def begin(self) -> None:
        inbound = self._inbound
        inbound.exchange.on_gone = self.gone
        inbound.end_wait = self._end
        if inbound.prepared.takes_events:
            self._comments = Comments(inbound.state.patience, self._speak)
        key = inbound.legacy_key()
        if key is not None:
            inbound.state.held.add(key, self._cancel)

    def gone(self) -> None:
        """The connection is closed."""
        self._end()
        self._wait.leave()
        self._inbound.decision = left(self._wait)
        self._inbound.record(Outcome.GONE)

    def _cancel(self) -> None:
        """The client wants no answer any more, so it gets none (D32)."""
        inbound = self._inbound
        self.gone()
        if not inbound.is_streaming:
            inbound.exchange.start(200, EVENTS)
        inbound.exchange.finish()

    def _end(self) -> None:
        inbound = self._inbound
        inbound.exchange.on_gone = None
        inbound.end_wait = None
        if self._comments is not None:
            self._comments.stop()
        key = inbound.legacy_key()
        if key is not None:
            inbound.state.held.remove(key, self._cancel)

    def _speak(self) -> None:
        inbound = self._inbound
        if not inbound.is_streaming:
            inbound.is_streaming = True
            inbound.exchange.start(200, EVENTS)
        if not inbound.exchange.is_full:
            inbound.exchange.write(COMMENT)
