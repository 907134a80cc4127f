"""Header lines that end at this hop."""

import pytest

from mesh7_sidecar.net.headers import end_to_end, render


@pytest.mark.promise("X9")
def test_hop_by_hop_headers_and_those_that_connection_lists_are_dropped() -> None:
    """RFC 9110 7.6.1."""
    headers = [
        (b"a", b"1"), (b"connection", b"close, X-Secret"), (b"x-secret", b"2"), (b"te", b"x"),
        (b"keep-alive", b"3"), (b"transfer-encoding", b"chunked"), (b"upgrade", b"h2c"),
        (b"connection", b"b"), (b"b", b"4"), (b"c", b"5"), (b"proxy-authorization", b"6"),
    ]  # fmt: skip

    assert end_to_end(headers) == [(b"a", b"1"), (b"c", b"5")]
    assert end_to_end([(b"a", b"1"), (b"a", b"2")]) == [(b"a", b"1"), (b"a", b"2")]


@pytest.mark.promise("X9")
def test_headers_are_written_one_a_line() -> None:
    assert render([(b"a", b"1"), (b"b", b"")]) == b"a: 1\r\nb: \r\n"
    with pytest.raises(ValueError, match=r"header `b\\r\\nc` holds a line break"):
        render([(b"a", b"1"), (b"b\r\nc", b"")])
