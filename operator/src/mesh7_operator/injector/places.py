"""How much is judged at once: so many reviews of so many bytes, and no queue behind them.

What a review takes in memory hangs on its shape more than on its size: a byte of text takes about
one, `[` takes eighty and `{"":` two hundred. So a review weighs what it has of bytes, or sixteen
for each object and list in it, whichever is more.
"""

import contextlib
from collections.abc import Iterator
from typing import Final

_MOST: Final = 64
MOST_BYTES: Final = 8 * 1024 * 1024
"""Of the reviews of one kind of door together: two of them, at their worst shapes, are parsed into
less than half of the memory that the chart gives the injector."""
_BYTES_EACH: Final = 16


class Places:
    """Places for reviews; used on one event loop alone.

    Args:
        most: reviews at once.
        most_bytes: what they may weigh together.
    """

    def __init__(self, most: int = _MOST, most_bytes: int = MOST_BYTES) -> None:
        self._free = most
        self._free_bytes = most_bytes

    @contextlib.contextmanager
    def place(self, size: int) -> Iterator[bool]:
        """A place for the block, if there is one; says whether."""
        if self._free <= 0:
            yield False
            return
        self._free -= 1
        try:
            with self.room(size) as is_taken:
                yield is_taken
        finally:
            self._free += 1

    @contextlib.contextmanager
    def room(self, size: int) -> Iterator[bool]:
        """As much more for the block, for who has a place; says whether."""
        is_taken = self._free_bytes >= size
        taken = size if is_taken else 0
        self._free_bytes -= taken
        try:
            yield is_taken
        finally:
            self._free_bytes += taken


def weight(body: bytes) -> int:
    """What the review weighs, told without parsing it."""
    return max(len(body), _BYTES_EACH * (body.count(b"{") + body.count(b"[")))
