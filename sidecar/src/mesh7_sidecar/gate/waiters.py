"""The callers that wait for one exact call: who is still there, and whose patience is at an end."""

from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Final

from mesh7_core.policy.decision import SOURCE_UNAVAILABLE, Decision
from mesh7_sidecar.gate import edge
from mesh7_sidecar.gate.waiting import Waiter

MOST_WAITERS: Final = 16
"""Callers that wait for people about one call; a further one gets the pending answer at once."""
MOST_RACING: Final = 256
"""Callers that wait for one approved call's result, or for the ledger's first word."""


class Stage(Enum):
    """What is known of the call's request."""

    LOOKING = "looking"
    """Nothing for sure: whoever waits is answered by the next turn."""
    PENDING = "pending"
    """People have not decided."""
    CLAIMING = "claiming"
    """People said yes. Nobody may be told to come again: they would find it used for nobody."""
    RUNNING = "running"
    """It is used; one caller runs."""


class Waiters:
    """In the order they came; whoever is answered or has left is none of them any more."""

    def __init__(self) -> None:
        self._all: list[Waiter] = []

    def join(self, waiter: Waiter) -> None:
        """Another one."""
        self._all.append(waiter)

    def living(self) -> list[Waiter]:
        """All, as a list of its own: who is answered may ask again at once."""
        self._all = [waiter for waiter in self._all if not waiter.is_over]
        return self._all.copy()

    def take(self) -> list[Waiter]:
        """All, and none is left."""
        living, self._all = self.living(), []
        return living

    def show(self, request_id: str) -> None:
        """Tell those who can wait which request they wait for."""
        for waiter in self.living():
            if not waiter.is_due:
                waiter.wait.request_id = request_id

    def impatient(self, stage: Stage) -> list[Waiter]:
        """Those who get what is known at this stage: they are late, due, or too many."""
        living = self.living()
        if stage is Stage.CLAIMING:
            return []
        if stage is Stage.LOOKING:
            return [waiter for waiter in living if waiter.is_late]
        due = [waiter for waiter in living if waiter.is_due]
        patient = [waiter for waiter in living if not waiter.is_due]
        return due + patient[MOST_WAITERS if stage is Stage.PENDING else MOST_RACING :]

    def patience_s(self) -> float:
        """Of the one who has most of it."""
        return max((waiter.wait.hold_s for waiter in self.living()), default=0.0)

    def dismiss(self) -> None:
        """Tell those whose source was replaced or removed: there is nothing to run for them."""
        for waiter in self.living():
            if not waiter.is_served():
                waiter.answer(SOURCE_UNAVAILABLE)


def each(waiters: list[Waiter], work: Callable[[Waiter], None], failed: Decision) -> None:
    """Do something for each; a defect with one denies that one, and the others go on."""
    for waiter in waiters:
        if waiter.is_over:
            continue
        failure = edge.guarded(partial(work, waiter), failed)
        if failure is not None:
            waiter.answer(failure)
