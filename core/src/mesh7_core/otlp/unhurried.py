"""Work in a thread that lets others work: a short stretch, then a rest three times as long.

While this thread has the interpreter no agent's call can go on, so a stretch is short; and the
rests leave three quarters of the interpreter to others, however much there is to send.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Generic, TypeVar, overload

from typing_extensions import override

AT_A_STRETCH: Final = 16
"""Items made and encoded: about half a millisecond of work."""
REST: Final = 3.0

Ours = TypeVar("Ours")
Theirs = TypeVar("Theirs")


class Unhurried(Sequence[Theirs], Generic[Ours, Theirs]):
    """Items, each made when it is asked for, with a rest after every few.

    Args:
        make: from ours to what is asked for.
        hurry: no rests once it is set.
    """

    def __init__(
        self, items: Sequence[Ours], make: Callable[[Ours], Theirs], hurry: threading.Event
    ) -> None:
        self._items = items
        self._make = make
        self._hurry = hurry

    @override
    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> Theirs: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Theirs]: ...
    @override
    def __getitem__(self, index: int | slice) -> Theirs | Sequence[Theirs]:
        if isinstance(index, slice):
            return [self._make(one) for one in self._items[index]]
        return self._make(self._items[index])

    @override
    def __iter__(self) -> Iterator[Theirs]:
        began_s = time.thread_time()
        for number, one in enumerate(self._items, 1):
            yield self._make(one)
            if number % AT_A_STRETCH == 0:
                self._hurry.wait((time.thread_time() - began_s) * REST)
                began_s = time.thread_time()
