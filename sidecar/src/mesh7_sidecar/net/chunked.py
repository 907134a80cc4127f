"""A chunked body, decoded by llhttp: raw bytes in, pieces and an end out.

Pure: no clock, no network, no logging.
"""

from typing import Final

import httptools

_HEAD: Final = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
_ALLOWANCE: Final = 65_536
_PER_BYTE: Final = 16


class BadChunks(Exception):  # noqa: N818 - it never leaves this room
    """The framing of the body is broken; the connection cannot be used further."""


class ChunkedBody:
    """Decodes one body. Extensions and trailers are dropped, and bounded.

    Attributes:
        is_complete: the last chunk and its trailers are read.
        has_surplus: bytes of something else followed in the same piece; they are lost, so the
            connection must be closed after this message.
    """

    __slots__ = ("_parser", "_payload", "_pieces", "_raw", "has_surplus", "is_complete")

    def __init__(self) -> None:
        self.is_complete = False
        self.has_surplus = False
        self._pieces: list[bytes] = []
        self._raw = 0
        self._payload = 0
        # A request parser serves responses too: chunks look alike in both directions.
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(_HEAD)

    def on_message_begin(self) -> None:
        """Called by llhttp."""
        self.has_surplus = self.is_complete

    def on_body(self, piece: bytes) -> None:
        """Called by llhttp."""
        if not self.is_complete:
            self._pieces.append(piece)

    def on_message_complete(self) -> None:
        """Called by llhttp."""
        self.is_complete = True

    def feed(self, piece: bytes) -> bytes:
        """What `piece` adds to the body, perhaps nothing.

        Raises:
            BadChunks: not strict chunks, or far more framing than body.
        """
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            self.has_surplus = True
        except httptools.HttpParserError as error:
            if not self.is_complete:
                raise BadChunks(str(error)) from error
            self.has_surplus = True
        payload = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._raw += len(piece)
        self._payload += len(payload)
        if self._raw > _ALLOWANCE + _PER_BYTE * self._payload:
            raise BadChunks("more framing than body")
        return payload
