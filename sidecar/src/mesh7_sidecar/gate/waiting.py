"""One caller that waits while people are asked: what its door sees of that, and its one answer."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from mesh7_core.policy import calls
from mesh7_core.policy.decision import Decision
from mesh7_core.telemetry.passage import Passage
from mesh7_sidecar.gate import edge, exact

MOST_STARTS: Final = 8
"""How often a waiter may start over because what it asks for is changed under it."""
LOOK_S: Final = 4.5
"""How long it may take at least to learn where a call stands: clients with five seconds wait."""


class Wait:
    """Somebody waits for people; a door may show it, and says when its caller is gone.

    Attributes:
        hold_s: how long the answer may take, counted from the start of the wait.
        request_id: of the request that people see; empty until it is open.
    """

    __slots__ = ("_left", "hold_s", "request_id")

    def __init__(self, hold_s: float, left: Callable[[], None]) -> None:
        self.hold_s = hold_s
        self.request_id = ""
        self._left = left

    def leave(self) -> None:
        """The caller is gone: its `answer` is not called, nothing runs for it, the request stays.

        After the answer it does nothing.
        """
        self._left()


def unseen(_: Wait) -> None:
    """For doors that show nothing while they wait."""


def always() -> bool:
    """Of a source that is never replaced."""
    return True


class Waiter:
    """One caller from its question to its answer, or to its leaving.

    Args:
        call: what it asks for.
        passage: of the call.
        answer: its door's.
        hold_s: its own patience.
        is_served: whether the source that the call would go to is still in force.

    Attributes:
        definition: digest of the tool's definition that it goes by; the latest one listed.
        what: what it forwards; `exact.UNSPELLED` until it has been worked out.
        is_over: it has its answer, or is gone.
        is_due: its patience is at an end: it gets the pending answer as soon as there is one.
        is_late: it is due, and there was time enough to learn where its call stands.
        stir: told when it is over, due or late; whoever holds it sets that.
        freed: told when it is over; what it takes while it waits is free again.
        starts: how often it was taken up by a hold.
    """

    __slots__ = (
        "_answer", "_timers", "call", "definition", "freed", "is_due", "is_late", "is_over",
        "is_served", "passage", "starts", "stir", "wait", "what",
    )  # fmt: skip

    def __init__(
        self,
        call: calls.Call,
        passage: Passage,
        answer: Callable[[Decision], None],
        hold_s: float,
        is_served: Callable[[], bool] = always,
    ) -> None:
        self.call = call
        self.definition = call.definition
        self.passage = passage
        self.what = exact.UNSPELLED
        self.is_over = False
        self.is_due = hold_s <= 0
        self.is_late = False
        self.is_served = is_served
        self.starts = 0
        self.stir: Callable[[], None] = _nobody
        self.freed: Callable[[], None] = _nobody
        self.wait = Wait(hold_s, self._leave)
        self._answer = answer
        # Only callers that wait for people have a timer (design 13).
        later = asyncio.get_running_loop().call_later
        self._timers = (
            later(hold_s, self._end_patience),
            later(max(hold_s, LOOK_S), self._end_looking),
        )

    def answer(self, decision: Decision) -> None:
        """Tell its door, unless it has left or was told."""
        if self.is_over:
            return
        self._close()
        # One door's defect must not keep others from their answers.
        edge.guarded(partial(self._answer, decision), None)

    def _leave(self) -> None:
        if not self.is_over:
            self._close()
            self.stir()

    def _close(self) -> None:
        self.is_over = True
        for timer in self._timers:
            timer.cancel()
        self.freed()

    def _end_patience(self) -> None:
        self.is_due = True
        self.stir()

    def _end_looking(self) -> None:
        self.is_due = self.is_late = True
        self.stir()


def _nobody() -> None:
    """Nobody holds it yet."""
