"""A byte stream cut into lines, each bounded: how JSON-RPC travels over stdio.

Pure: no clock, no network, no logging.
"""

from typing import Final

_KEPT: Final = 256


class Overlong:
    """A line that was longer than allowed; its middle was thrown away as it came.

    Attributes:
        head: its first bytes, at most 256.
        tail: its last bytes, at most 256; a program that writes the id last shows it here.
    """

    __slots__ = ("head", "tail")

    def __init__(self, head: bytes, tail: bytes) -> None:
        self.head = head
        self.tail = tail


class Lines:
    """Collects chunks and gives back whole lines, without their line feed.

    Never holds more than `maximum_bytes` and one chunk.
    """

    def __init__(self, maximum_bytes: int) -> None:
        self._maximum_bytes = maximum_bytes
        self._pieces: list[bytes] = []
        self._size = 0
        self._overlong: Overlong | None = None

    def feed(self, chunk: bytes) -> list[bytes | Overlong]:
        """The lines that this chunk completes, in order; blank ones are left out."""
        *ended, rest = chunk.split(b"\n")
        lines: list[bytes | Overlong] = []
        for piece in ended:
            self._keep(piece)
            line = self._take()
            if line:
                lines.append(line)
        if rest:
            self._keep(rest)
        return lines

    def rest(self) -> bytes | Overlong:
        """What came after the last line feed; empty when nothing did."""
        return self._take()

    def _keep(self, piece: bytes) -> None:
        if self._overlong is not None:
            self._overlong.tail = (self._overlong.tail + piece[-_KEPT:])[-_KEPT:]
            return
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > self._maximum_bytes:
            whole = b"".join(self._pieces)
            self._overlong = Overlong(whole[:_KEPT], whole[-_KEPT:])
            self._pieces.clear()

    def _take(self) -> bytes | Overlong:
        overlong, self._overlong = self._overlong, None
        line = b"".join(self._pieces).strip()
        self._pieces.clear()
        self._size = 0
        return line if overlong is None else overlong
