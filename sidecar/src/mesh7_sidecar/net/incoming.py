"""The rest of a request's body, as it comes. Pure: no clock, no network, no logging."""

from mesh7_sidecar.net import heads
from mesh7_sidecar.net.chunked import ChunkedBody


class IncomingBody:
    """Cuts what follows a head into this body and what comes behind it.

    Attributes:
        is_complete: nothing of it is missing.
        has_surplus: see `ChunkedBody`; the connection cannot be used further.
    """

    __slots__ = ("_chunks", "_left", "has_surplus", "is_complete")

    def __init__(self, length: int) -> None:
        """`length` is bytes or `heads.CHUNKED`."""
        self._chunks = ChunkedBody() if length == heads.CHUNKED else None
        self._left = length
        self.is_complete = length == 0
        self.has_surplus = False

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """The piece of the body in `data`, and what is not of the body.

        Raises:
            BadChunks: see `ChunkedBody.feed`.
        """
        chunks = self._chunks
        if chunks is None:
            rest = data[self._left :]
            piece = data[: self._left] if rest else data
            self._left -= len(piece)
            self.is_complete = self._left == 0
            return piece, rest
        piece = chunks.feed(data)
        self.is_complete = chunks.is_complete
        self.has_surplus = chunks.has_surplus
        return piece, b""
