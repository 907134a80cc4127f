"""Lines on an open descriptor, such as stdout: whoever reads it keeps and bounds them.

For one thread at a time; it blocks as long as the reader does.
"""

import os
from dataclasses import dataclass
from typing import Final

STDOUT: Final = 1


@dataclass(frozen=True, slots=True)
class Loss:
    """What could not be written, and why."""

    records: int
    why: str


class Stream:
    """Lines on one descriptor.

    Args:
        descriptor: stays open when the stream is closed.
    """

    def __init__(self, descriptor: int = STDOUT) -> None:
        self._descriptor = descriptor
        self._is_torn = False

    def write(self, lines: list[bytes], dropped: int) -> Loss | None:
        """Write `lines`, and how many were dropped before them unless that is 0.

        Returns:
            None when all is written; else how many records are not, those dropped included.
        """
        if dropped:
            lines = [*lines, b'{"dropped":%d}' % dropped]
        block = b"\n".join(lines) + b"\n"
        # A line that was cut in two must not swallow the next one.
        left = memoryview(b"\n" + block if self._is_torn else block)
        try:
            while left:
                written = os.write(self._descriptor, left)
                self._is_torn = left[written - 1] != ord("\n")
                left = left[written:]
        except OSError as error:
            lost = block[max(0, len(block) - len(left)) :].count(b"\n")
            records = lost - 1 + dropped if dropped and lost else lost
            return Loss(records, error.strerror or "it fails")
        return None

    def close(self) -> None:
        """Nothing more is written."""
