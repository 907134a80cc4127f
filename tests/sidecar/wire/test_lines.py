"""Lines out of chunks, bounded."""

from hypothesis import given
from hypothesis import strategies as st

from mesh7_sidecar.wire.lines import Lines, Overlong

PIECES = st.lists(st.binary(max_size=12), max_size=12)


@given(PIECES)
def test_chunk_borders_do_not_matter(pieces: list[bytes]) -> None:
    """Promised by X26: one JSON a line, however it comes."""
    whole = b"".join(pieces)
    lines = Lines(10_000)
    found = [line for piece in pieces for line in lines.feed(piece)]
    *ended, rest = whole.split(b"\n")
    assert found == [line.strip() for line in ended if line.strip()]
    assert lines.rest() == rest.strip()


def test_an_overlong_line_keeps_only_its_ends_and_the_next_is_whole() -> None:
    """Promised by X26: an overlong line is bounded."""
    lines = Lines(1000)
    assert lines.feed(b"a" * 600) == []
    assert lines.feed(b"b" * 600) == []
    assert lines.feed(b"c" * 10_000) == []
    overlong, after = lines.feed(b"d\nnext\n")
    assert isinstance(overlong, Overlong)
    assert (overlong.head, overlong.tail) == (b"a" * 256, b"c" * 255 + b"d")
    assert after == b"next"
