"""Server-sent events: bytes in, events out, each with the bytes it came as.

An event that nothing has to change is relayed as `raw`, so ids, comments and line ends survive
(promise M4). Comments alone form an event without data, for they keep connections alive.
Source: WHATWG HTML, section "Server-sent events". Pure: no clock, no network, no logging.
"""

import re
from typing import Final

MAXIMUM_EVENT_BYTES: Final = 10 * 1024 * 1024
"""The default bound; a source's `maxResponseSize` replaces it."""

_LINE_END = re.compile(rb"\r\n|\n|\r")
# Atomic: one `\r\n` must never count as two line ends.
_BLANK_LINE = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_BOM = b"\xef\xbb\xbf"


class Event:
    """One block of an event stream.

    Attributes:
        event: its type; empty means `message`.
        id: None when the block has none.
        retry: reconnection time in ms, None when the block has none.
        data: lines joined by LF; empty for a block of comments.
        raw: the block as it came, its blank line included.
    """

    __slots__ = ("data", "event", "id", "raw", "retry")

    def __init__(
        self,
        raw: bytes,
        data: bytes,
        event: str = "",
        id: bytes | None = None,  # noqa: A002 - the protocol's own word
        retry: int | None = None,
    ) -> None:
        self.raw = raw
        self.data = data
        self.event = event
        self.id = id
        self.retry = retry

    def with_data(self, data: bytes) -> bytes:
        """The bytes of this event with other data; type, id and retry stay."""
        return encode(data, self.event, self.id, self.retry)


class Decoder:
    """Cuts a stream into events, whatever the chunks.

    Args:
        maximum_bytes: of one event; a longer one ends the decoding.

    Attributes:
        is_overflowed: an event was too long; nothing more will come out, give the stream up.
    """

    def __init__(self, maximum_bytes: int = MAXIMUM_EVENT_BYTES) -> None:
        self.is_overflowed = False
        self._maximum_bytes = maximum_bytes
        self._buffer = bytearray()
        self._searched = 0
        self._leading = 0
        self._is_first = True

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that `chunk` completes, in order."""
        if self.is_overflowed:
            return []
        self._buffer += chunk
        events = []
        start = 0
        while (end := self._end_of_block(start)) is not None:
            events.append(self._event(bytes(self._buffer[start:end])))
            start = end
            self._searched = self._leading = 0
        del self._buffer[:start]
        if len(self._buffer) > self._maximum_bytes or any(
            len(event.raw) > self._maximum_bytes for event in events
        ):
            self.is_overflowed = True
            self._buffer.clear()
            return [event for event in events if len(event.raw) <= self._maximum_bytes]
        return events

    def _end_of_block(self, start: int) -> int | None:
        """Where the block that begins at `start` ends; line ends before it belong to it.

        `_leading` and `_searched` remember how far earlier chunks were looked through, or a long
        event in small chunks would cost its length squared.
        """
        buffer = self._buffer
        content = start + self._leading
        while content < len(buffer) and buffer[content] in b"\r\n":
            content += 1
        self._leading = content - start
        match = _BLANK_LINE.search(buffer, max(content, start + self._searched))
        if match is not None:
            return match.end()
        self._searched = max(0, len(buffer) - start - 3)
        return None

    def _event(self, raw: bytes) -> Event:
        text = raw
        if self._is_first:
            self._is_first = False
            text = raw.removeprefix(_BOM)
        event, identifier, retry = "", None, None
        lines: list[bytes] = []
        for line in _LINE_END.split(text) if b"\r" in text else text.split(b"\n"):
            name, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if name == b"data":
                lines.append(value)
            elif name == b"event":
                event = value.decode("utf-8", "replace")
            elif name == b"id" and b"\0" not in value:
                identifier = value
            elif name == b"retry" and value.isdigit():
                retry = int(value[:18])
        return Event(raw, b"\n".join(lines), event, identifier, retry)


def encode(
    data: bytes, event: str = "", identifier: bytes | None = None, retry: int | None = None
) -> bytes:
    """One event as bytes; line ends inside `data` become lines of it."""
    head = b"event: %b\n" % event.encode() if event else b""
    if identifier is not None:
        head += b"id: %b\n" % identifier
    if retry is not None:
        head += b"retry: %d\n" % retry
    lines = _LINE_END.split(data) if b"\n" in data or b"\r" in data else [data]
    return head + b"".join(b"data: %b\n" % line for line in lines) + b"\n"


def comment(text: bytes = b"") -> bytes:
    """A comment: keeps a connection alive and reaches no application."""
    return b": %b\n\n" % text
