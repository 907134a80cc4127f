"""One caller that waits while people are asked: what its door sees of that, and its one answer."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from mesh7_core.policy import calls
from mesh7_core.policy.decision import Decision
from mesh7_sidecar.gate import edge, exact

MOST_STARTS: Final = 8
"""How often a waiter may start over because what it asks for is changed under it."""


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


class Waiter:
    """One caller from its question to its answer, or to its leaving.

    Args:
        call: what it asks for.
        answer: its door's.
        hold_s: its own patience.
        trace_id: of the call; empty when it has none.

    Attributes:
        definition: digest of the tool's definition that it goes by; the latest one listed.
        what: what it forwards; `exact.UNSPELLED` until it has been worked out.
        is_over: it has its answer, or is gone.
        is_due: its patience is at an end: it gets the pending answer as soon as there is one.
        stir: told when it is over or due; whoever holds it sets that.
        starts: how often it was taken up by a hold.
    """

    __slots__ = (
        "_answer", "_timer", "call", "definition", "is_due", "is_over", "starts", "stir",
        "trace_id", "wait", "what",
    )  # fmt: skip

    def __init__(
        self,
        call: calls.Call,
        answer: Callable[[Decision], None],
        hold_s: float,
        trace_id: str = "",
    ) -> None:
        self.call = call
        self.definition = call.definition
        self.trace_id = trace_id
        self.what = exact.UNSPELLED
        self.is_over = False
        self.is_due = hold_s <= 0
        self.starts = 0
        self.stir: Callable[[], None] = _nobody
        self.wait = Wait(hold_s, self._leave)
        self._answer = answer
        # Only callers that wait for people have a timer (design 13).
        self._timer = asyncio.get_running_loop().call_later(hold_s, self._end_patience)

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
        self._timer.cancel()

    def _end_patience(self) -> None:
        self.is_due = True
        self.stir()


def _nobody() -> None:
    """Nobody holds it yet."""
