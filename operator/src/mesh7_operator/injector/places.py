"""How much is judged at once: so many reviews of so many bytes, and no queue behind them."""

import contextlib
from collections.abc import Iterator
from typing import Final

_MOST: Final = 64
_MOST_BYTES: Final = 48 * 1024 * 1024


class Places:
    """Places for reviews; used on one event loop alone.

    Args:
        most: reviews at once.
        most_bytes: of their bodies together; parsed they take several times that.
    """

    def __init__(self, most: int = _MOST, most_bytes: int = _MOST_BYTES) -> None:
        self._free = most
        self._free_bytes = most_bytes

    @contextlib.contextmanager
    def place(self, size: int) -> Iterator[bool]:
        """A place for the block, if there is one; says whether."""
        is_taken = self._free > 0 and self._free_bytes >= size
        if not is_taken:
            yield False
            return
        self._free -= 1
        self._free_bytes -= size
        try:
            yield True
        finally:
            self._free += 1
            self._free_bytes += size
