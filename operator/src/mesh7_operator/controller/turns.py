"""Namespaces off a queue, each at its turn: several at once, none twice, what fails after a pause.

The edge of one namespace: a defect that shows with it must not cost the others their turns.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from mesh7_operator.clock import Clock
from mesh7_operator.controller import queue
from mesh7_operator.controller.queue import Queue

_LOG: Final = logging.getLogger(__name__)
_LONGEST_WAIT_S: Final = 1.0
"""What is measured of the queue is this fresh."""
_SHORTEST_WAIT_S: Final = 0.001
"""Whatever became due while the last ones were started is taken at the next look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Not all was done: it is tried again, after a pause that grows from time to time.

    Attributes:
        why: what the log says; empty = that is no news.
        about: fields beside it.
    """

    why: str = ""
    about: Mapping[str, object] = field(default_factory=dict)


class Outcome(Enum):
    """How a turn ended."""

    DONE = "done"
    FAILED = "failed"
    CRASHED = "crashed"


@dataclass(frozen=True, slots=True)
class Ended:
    """What came of a turn.

    Attributes:
        pause_s: after how long it is tried again; None = all was done.
    """

    outcome: Outcome
    pause_s: float | None = None


def _nobody(_: str, __: Ended) -> None:
    """Is told."""


def _nothing() -> None:
    """Is measured."""


class Turns:
    """Takes the namespaces that are marked.

    Args:
        turn: what is done with one; None = all is done. What it raises is a defect.
        at_once: how many namespaces.
        crashed: what the log says of a defect.
        ended: told after each turn, when its namespace may be taken again; it must not raise.
        spacing_s: between two turns of a namespace: a burst of changes comes to one.
    """

    def __init__(
        self,
        turn: Callable[[str], Awaitable[Again | None]],
        clock: Clock,
        *,
        at_once: int,
        crashed: str,
        ended: Callable[[str, Ended], None] = _nobody,
        spacing_s: float = queue.SPACING_S,
    ) -> None:
        self._turn = turn
        self._clock = clock
        self._at_once = at_once
        self._crashed = crashed
        self._ended = ended
        self._queue = Queue(spacing_s=spacing_s)
        self._busy = 0
        self._stirred = asyncio.Event()

    def mark(self, namespace: str, after_s: float = 0.0) -> None:
        """It is to have a turn, no sooner than `after_s` from now; an earlier mark stands."""
        self._queue.mark(namespace, self._clock.monotonic_s(), after_s)
        self._stirred.set()

    def forget(self, namespace: str) -> None:
        """There is no such namespace any more."""
        self._queue.forget(namespace)

    @property
    def age_s(self) -> float:
        """How long the namespace that is due longest has waited."""
        return self._queue.age_s(self._clock.monotonic_s())

    @property
    def depth(self) -> int:
        """How many are due."""
        return self._queue.depth(self._clock.monotonic_s())

    def is_wanted(self, namespace: str) -> bool:
        """Whether its turn is to end soon: something newer is known of it, or others wait."""
        now_s = self._clock.monotonic_s()
        return self._queue.is_due(namespace, now_s) or self._is_crowded(now_s)

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Threads work for a namespace: as long as they do, it keeps nobody's place."""
        self._busy -= 1
        self._stirred.set()
        try:
            yield
        finally:
            self._busy += 1

    async def run(self, measure: Callable[[], None] = _nothing) -> None:
        """Take turns until cancelled.

        Args:
            measure: called at least once a second, whenever what is due has begun.
        """
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._stirred.clear()
                now_s = self._clock.monotonic_s()
                while self._has_place and (namespace := self._queue.take(now_s)) is not None:
                    self._busy += 1
                    tasks.create_task(self._one(namespace))
                measure()
                await self._wait(now_s)

    @property
    def _has_place(self) -> bool:
        return self._busy < self._at_once

    def _is_crowded(self, now_s: float) -> bool:
        next_s = self._queue.next_s()
        return not self._has_place and next_s is not None and next_s <= now_s

    async def _wait(self, now_s: float) -> None:
        next_s = self._queue.next_s() if self._has_place else None
        wait_s = _LONGEST_WAIT_S if next_s is None else min(next_s - now_s, _LONGEST_WAIT_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(wait_s, _SHORTEST_WAIT_S)):
                await self._stirred.wait()

    async def _one(self, namespace: str) -> None:
        try:
            again = await self._turn(namespace)
        except Exception:  # noqa: BLE001 - the edge of one namespace, see above
            ended = Ended(Outcome.CRASHED, self._queue.failed(namespace, self._clock.monotonic_s()))
            _LOG.exception(self._crashed, extra=_about(namespace, ended))
        else:
            ended = self._let_go(namespace, again)
        self._ended(namespace, ended)
        self._busy -= 1
        self._stirred.set()

    def _let_go(self, namespace: str, again: Again | None) -> Ended:
        now_s = self._clock.monotonic_s()
        if again is None:
            self._queue.done(namespace, now_s)
            return Ended(Outcome.DONE)
        ended = Ended(Outcome.FAILED, self._queue.failed(namespace, now_s))
        if again.why:
            _LOG.warning(again.why, extra={**again.about, **_about(namespace, ended)})
        return ended


def _about(namespace: str, ended: Ended) -> dict[str, object]:
    return {"namespace": namespace, "again_in_s": round(ended.pause_s or 0.0, 1)}
