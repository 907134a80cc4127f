"""Status lines, made once. Pure: no clock, no network, no logging."""

from http import HTTPStatus
from typing import Final

_LINES: Final = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode())
    for status in HTTPStatus
}


def status_line(status: int) -> bytes:
    """The status line with its CRLF; a status nobody named gets an empty reason phrase."""
    return _LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
