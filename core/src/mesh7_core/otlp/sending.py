"""A bounded queue and one thread that empties it: whoever adds never waits, and never fails.

What is dropped is counted; the log says once that a collector does not take what it is sent, and
once that it does again; it says the same of a queue that is full.
"""

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from mesh7_core.otlp.counts import Counts, Lost
from mesh7_core.otlp.settings import Target

Item = TypeVar("Item")
Given_contra = TypeVar("Given_contra", contravariant=True)
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one batch.

    Attributes:
        sent: items that were taken.
        lost: why the others were not; None = all were.
        cause: the same for people (`answered 401`); empty = all were taken.
    """

    sent: int
    lost: Lost | None = None
    cause: str = ""


_DEFECT: Final = Outcome(0, Lost.REFUSED, "was not served, for a defect of mesh7")


class Sink(Protocol[Given_contra]):
    """Sends batches; used by one thread, but for `stop`."""

    def send(self, items: Sequence[Given_contra]) -> Outcome:
        """One batch, tried again within the target's time. Does not raise."""
        ...

    def stop(self) -> None:
        """Try nothing again from now on. From any thread, and more than once."""
        ...

    def close(self) -> None:
        """Nothing is sent any more."""
        ...


class Sender(Generic[Item]):
    """A queue and its thread.

    Args:
        signal: `spans`, `log records`, `metrics`: for the thread's name and the log.
        target: where to, and the bounds.
        open_sink: called in the thread, because what it imports takes long.

    Attributes:
        counts: what became of all that was added.
    """

    def __init__(self, signal: str, target: Target, open_sink: Callable[[], Sink[Item]]) -> None:
        self.counts = Counts()
        self._signal = signal
        self._target = target
        self._open_sink = open_sink
        self._sink: Sink[Item] | None = None
        self._waiting: deque[Item] = deque()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._accounts = threading.Lock()
        self._flying = 0
        self._is_failing = False
        self._takes_nothing = False
        self._is_full = False
        self._has_overflowed = False
        self._is_abandoned = False
        self._has_confessed = False
        # A daemon: a collector that never answers must not keep the program from ending.
        self._thread = threading.Thread(target=self._run, name=f"otlp {signal}", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Items that wait to be sent."""
        return len(self._waiting)

    def add(self, item: Item) -> None:
        """Have it sent later, or count it as dropped. From any thread."""
        waiting = self._waiting
        if len(waiting) >= self._target.most_waiting:
            self.counts.lost[Lost.QUEUE_FULL] += 1
            self._has_overflowed = True
            if not self._is_full:
                self._tell_full()
        elif self._closing.is_set():
            self.counts.lost[Lost.CLOSED] += 1
        else:
            waiting.append(item)
            if len(waiting) >= self._target.batch:
                self._wake.set()

    def close(self, within_s: float) -> None:
        """Send what waits, for as long at most; what is left is dropped and counted.

        A collector that took nothing last time is not waited for.
        """
        if self._closing.is_set():
            return
        self._closing.set()
        self._wake.set()
        if self._takes_nothing:
            self._stop()
        self._thread.join(within_s)
        if self._thread.is_alive():
            self._stop()
            with self._accounts:
                self._is_abandoned = True
                self.counts.lost[Lost.CLOSED] += self._flying + len(self._waiting)
                self._waiting.clear()

    def _stop(self) -> None:
        if self._sink is not None:
            self._sink.stop()

    def _run(self) -> None:
        with self._outliving():
            self._opened()
        while not self._closing.is_set():
            self._wake.wait(self._target.delay_s)
            self._wake.clear()
            self._look_for_room()
            self._send(len(self._waiting))
        self._send(len(self._waiting))
        with self._outliving():
            if self._sink is not None:
                self._sink.stop()
                self._sink.close()

    def _opened(self) -> Sink[Item]:
        if self._sink is None:
            self._sink = self._open_sink()
        return self._sink

    @contextlib.contextmanager
    def _outliving(self) -> Iterator[None]:
        """A defect costs what it meets: without its thread all that comes later would wait."""
        try:
            yield
        except Exception:  # noqa: BLE001 - see above
            if not self._has_confessed:
                self._has_confessed = True
                _LOG.exception(
                    "telemetry: a batch of %s was not sent, which is a defect of mesh7: please "
                    "report it; further ones are counted", self._signal
                )  # fmt: skip

    def _send(self, count: int) -> None:
        """Send so many in batches: one that comes meanwhile waits for company."""
        while count > 0 and not self._is_abandoned:
            if self._closing.is_set() and self._takes_nothing:
                with self._accounts:
                    self.counts.lost[Lost.CLOSED] += len(self._waiting)
                    self._waiting.clear()
                return
            batch = self._take(min(count, self._target.batch))
            count -= len(batch) or count
            if batch:
                outcome = _DEFECT
                with self._outliving():
                    outcome = self._opened().send(batch)
                self._note(outcome)

    def _take(self, most: int) -> list[Item]:
        with self._accounts:
            batch = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
            self._flying = len(batch)
        return batch

    def _note(self, outcome: Outcome) -> None:
        with self._accounts:
            flying, self._flying = self._flying, 0
            if self._is_abandoned:
                return
            self.counts.sent += outcome.sent
            self._takes_nothing = outcome.lost is not None and not outcome.sent
            if outcome.lost is not None:
                self.counts.lost[outcome.lost] += flying - outcome.sent
        self._tell(outcome)

    def _tell(self, outcome: Outcome) -> None:
        if (outcome.lost is not None) == self._is_failing:
            return
        self._is_failing = outcome.lost is not None
        if self._is_failing:
            _LOG.warning(
                "telemetry: %s are dropped and counted: the collector at %s %s; "
                "this is not said again until it takes them",
                self._signal, self._target.place, outcome.cause,
            )  # fmt: skip
        else:
            _LOG.warning(
                "telemetry: the collector at %s takes %s again; %d were dropped until now",
                self._target.place, self._signal, sum(self.counts.lost.values()),
            )  # fmt: skip

    def _tell_full(self) -> None:
        """By whoever adds: the thread may be waiting for a collector that hangs."""
        self._is_full = True
        _LOG.warning(
            "telemetry: %s are dropped and counted: %d wait already, more than the collector at "
            "%s takes; this is not said again until there is room",
            self._signal, self._target.most_waiting, self._target.place,
        )  # fmt: skip

    def _look_for_room(self) -> None:
        """There is when nothing was dropped since the last look, and half of it is free."""
        had_overflowed, self._has_overflowed = self._has_overflowed, False
        if had_overflowed or len(self._waiting) * 2 > self._target.most_waiting:
            return
        if self._is_full:
            self._is_full = False
            _LOG.warning(
                "telemetry: there is room for %s again; %d were dropped for want of it until now",
                self._signal, self.counts.lost[Lost.QUEUE_FULL],
            )  # fmt: skip
