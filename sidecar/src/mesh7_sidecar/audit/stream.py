"""Blocks on an open descriptor, such as stdout: whoever reads it keeps and bounds them.

For one thread at a time; it blocks as long as the reader does.
"""

import os
from typing import Final

from mesh7_core.audit.heads import Head
from mesh7_sidecar.audit.sealing import Wrote

STDOUT: Final = 1


class Stream:
    """One descriptor.

    Args:
        descriptor: stays open when the stream is closed.
    """

    def __init__(self, descriptor: int = STDOUT) -> None:
        self._descriptor = descriptor

    def write(self, content: bytes) -> Wrote:
        """Write all of it; what was written before a failure stays there."""
        return write_all(self._descriptor, content)

    def settle(self, head: Head) -> None:
        """Nothing is rotated here."""

    def sync(self) -> None:
        """Whoever reads it keeps it."""

    def sign(self, head: Head) -> None:
        """Heads of what is read here are signed elsewhere."""

    def close(self) -> None:
        """Nothing more is written."""


def write_all(descriptor: int, content: bytes) -> Wrote:
    """Write it, and say how far that went."""
    left = memoryview(content)
    try:
        while left:
            left = left[os.write(descriptor, left) :]
    except OSError as error:
        return Wrote(len(content) - len(left), error.strerror or "it fails")
    return Wrote(len(content), "")
