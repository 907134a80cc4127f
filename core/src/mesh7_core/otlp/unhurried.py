"""Work in a thread that lets others work: a short stretch, then a rest three times as long.

While this thread has the interpreter no agent's call can go on, so a stretch is short; and the
rests leave three quarters of the interpreter to others, however much there is to send.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Generic, TypeVar

from typing_extensions import override

STRETCH_S: Final = 0.0004
"""Of this thread's own time: some 70 spans, or 40 log records."""
_LOOK_EVERY: Final = 4
"""Items: looking costs a twentieth of what a span does."""
REST: Final = 3.0

Ours = TypeVar("Ours")
Theirs = TypeVar("Theirs")


class Unhurried(Iterable[Theirs], Generic[Ours, Theirs]):
    """Items, each made when its turn comes, with a rest after each stretch.

    Args:
        make: from ours to what is asked for.
        hurry: no rests once it is set.

    Attributes:
        left_out: how many there are of which nothing can be made, as a ValueError of `make` said.
    """

    def __init__(
        self, items: Iterable[Ours], make: Callable[[Ours], Theirs], hurry: threading.Event
    ) -> None:
        self._items = items
        self._make = make
        self._hurry = hurry
        self.left_out = 0

    @override
    def __iter__(self) -> Iterator[Theirs]:
        began_s = time.thread_time()
        for number, one in enumerate(self._items, 1):
            try:
                made = self._make(one)
            except ValueError:
                self.left_out += 1
                continue
            yield made
            if number % _LOOK_EVERY == 0:
                worked_s = time.thread_time() - began_s
                if worked_s >= STRETCH_S:
                    self._hurry.wait(worked_s * REST)
                    began_s = time.thread_time()
