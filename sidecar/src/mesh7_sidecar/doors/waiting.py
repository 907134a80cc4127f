"""What a held call's client sees while people are asked: nothing, or comments on a late stream.

A client that reads event streams gets one after a while, because silence makes some give up and
others tear down their connection; not at once, for the HTTP status is lost with it. Only held
calls have timers.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from mesh7_core.policy import calls
from mesh7_core.policy.decision import Decision, Verdict
from mesh7_core.policy.reasons import Reason
from mesh7_sidecar.gate.waiting import Wait
from mesh7_sidecar.settings import Patience
from mesh7_sidecar.wire import sse

EVENTS: Final = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]
COMMENT: Final = sse.comment(b"waiting for approval")
CANCELLED: Final = "notifications/cancelled"
Key = tuple[calls.Agent, str, str, int | str]
"""Agent, source, session (empty when the source has none) and JSON-RPC id."""


class Comments:
    """Speaks now and then, until stopped."""

    __slots__ = ("_every_s", "_loop", "_speak", "_timer")

    def __init__(self, patience: Patience, speak: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._every_s = patience.comment_every_s
        self._speak = speak
        self._timer = self._loop.call_later(patience.stream_after_s, self._turn)

    def stop(self) -> None:
        """Say no more; stopping twice is harmless."""
        self._timer.cancel()

    def _turn(self) -> None:
        self._timer = self._loop.call_later(self._every_s, self._turn)
        self._speak()


def left(wait: Wait) -> Decision:
    """What is on record for a call whose caller left before anybody decided."""
    return Decision(Verdict.HOLD, Reason.APPROVAL_REQUIRED, request_id=wait.request_id)


class HeldCalls:
    """Held calls of legacy clients, which say by a message of its own that they want no answer."""

    def __init__(self) -> None:
        self._held: dict[Key, list[Callable[[], None]]] = {}

    def add(self, key: Key, cancel: Callable[[], None]) -> None:
        """`cancel` is called when this request is cancelled."""
        self._held.setdefault(key, []).append(cancel)

    def remove(self, key: Key, cancel: Callable[[], None]) -> None:
        """It is no longer held."""
        waiting = self._held.get(key, [])
        if cancel in waiting:
            waiting.remove(cancel)
        if not waiting:
            self._held.pop(key, None)

    def cancel(self, key: Key) -> bool:
        """Whether this one request was held, and is not any more.

        Clients without a session may use the same id at the same time; then nobody knows which
        of them is meant, and none is cancelled.
        """
        waiting = self._held.get(key, [])
        if len(waiting) != 1:
            return False
        waiting[0]()
        return True
