"""Event streams, whatever the chunks and line ends."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_sidecar.wire import sse

STREAM = (
    b"\xef\xbb\xbf: hello\n\n"
    b'event: message\r\nid: 7\r\ndata: {"a":1}\r\n\r\n'
    b"retry: 1500\rdata:x\rdata:  y\r\r"
    b"\n\ndata\n\n"
    b"id: a\0b\ndata: z\nunknown: 1\nretry: 1s\n\n"
)  # fmt: skip
EXPECTED = [
    ("", None, None, b""),
    ("message", b"7", None, b'{"a":1}'),
    ("", None, 1500, b"x\n y"),
    ("", None, None, b""),
    ("", None, None, b"z"),
]


def decoded(chunks: list[bytes], maximum: int = 1000) -> list[sse.Event]:
    decoder = sse.Decoder(maximum)
    return [event for chunk in chunks for event in decoder.feed(chunk)]


@given(st.lists(st.integers(0, len(STREAM))))
@pytest.mark.promise("M5")
def test_events_are_the_same_however_the_stream_is_cut(cuts: list[int]) -> None:
    """M5: and relaying the raw events gives back the stream, byte for byte (M4)."""
    marks = sorted({0, len(STREAM), *cuts})
    chunks = [STREAM[start:end] for start, end in itertools.pairwise(marks)]
    events = decoded(chunks)
    assert [(e.event, e.id, e.retry, e.data) for e in events] == EXPECTED
    assert b"".join(event.raw for event in events) == STREAM


@given(st.binary(max_size=100))
@pytest.mark.promise("M5")
def test_decoding_is_total_and_loses_no_byte(stream: bytes) -> None:
    """What was not yet complete stays inside; all else came out."""
    whole = stream + b"\n:\n\n"
    assert b"".join(event.raw for event in decoded([whole])) == whole


@given(
    st.binary(max_size=20).filter(lambda data: b"\r" not in data),
    st.sampled_from(["", "message", "endpoint"]),
)
def test_what_is_encoded_is_decoded(data: bytes, event: str) -> None:
    """The encoder writes what the decoder reads; line feeds inside survive."""
    (found,) = decoded([sse.encode(data, event, b"9", 10)])
    assert (found.data, found.event, found.id, found.retry) == (data, event, b"9", 10)


@pytest.mark.promise("X11")
@pytest.mark.parametrize("size", [1, 7, 5000])
def test_an_event_that_does_not_end_is_given_up(size: int) -> None:
    """X11: memory is bounded; what was complete before it still came out."""
    decoder = sse.Decoder(100)
    stream = b"data: a\n\ndata: " + b"x" * 5000
    events = [
        event
        for at in range(0, len(stream), size)
        for event in decoder.feed(stream[at : at + size])
    ]
    assert [event.data for event in events] == [b"a"]
    assert decoder.is_overflowed
    assert decoder.feed(b"\n\ndata: b\n\n") == []


def test_an_event_with_other_data_keeps_its_id_and_type() -> None:
    """Resumption hangs on the id."""
    (event,) = decoded([b"event: message\nid: 7\ndata: a\n\n"])
    assert event.with_data(b"b") == b"event: message\nid: 7\ndata: b\n\n"
