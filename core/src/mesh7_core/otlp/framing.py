"""The body of an answer, framed as HTTP/1.1 says; a size that is none is refused at once.

`http.client` takes `-1` for one, and reads until the connection ends, which may be never.
"""

import http.client
import io
import re
from typing import Final

_MOST_LINE: Final = 1024
_MOST_TRAILERS: Final = 32
_SIZE_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r\n")
_LINE_END: Final = b"\r\n"


class FramingError(ValueError):
    """It is not framed as HTTP says."""


def read(response: http.client.HTTPResponse, most: int) -> tuple[bytes, bool]:
    """What there is of it, `most` bytes at most, and whether that is all.

    Args:
        response: whose head was read.

    Raises:
        FramingError: a size is none, or what ends a chunk does not.
        OSError, http.client.HTTPException: it did not come.
    """
    if response.length == 0:
        return b"", True
    if response.chunked:
        return _chunks(response.fp, most)
    length = response.headers.get("content-length", "0")
    if not (length.isascii() and length.isdecimal()):
        raise FramingError
    return response.read(most), response.isclosed()


def _chunks(source: io.BufferedReader, most: int) -> tuple[bytes, bool]:
    body = b""
    while True:
        line = _SIZE_LINE.fullmatch(source.readline(_MOST_LINE))
        if line is None:
            raise FramingError
        size = int(line[1], 16)
        if not size:
            break
        if len(body) + size > most:
            return body, False
        piece = source.read(size + len(_LINE_END))
        if piece[size:] != _LINE_END:
            raise FramingError
        body += piece[:size]
    for _ in range(_MOST_TRAILERS):
        line_after = source.readline(_MOST_LINE)
        if line_after == _LINE_END:
            return body, True
        if not line_after.endswith(_LINE_END):
            break
    raise FramingError
