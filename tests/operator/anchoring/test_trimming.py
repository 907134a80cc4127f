"""What goes because it is old or too much, and what is still found afterwards."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from mesh7_core.ledger.audit_entries import Entry
from mesh7_operator.anchoring import trimming
from mesh7_operator.anchoring.anchor import Anchor, Trimmed, Trouble
from mesh7_operator.anchoring.trimming import Terms
from mesh7_operator.anchoring.verifying import verify
from tests.operator.anchoring.streams import AT_MS, ONE, OTHER_KEY, Writer, entries, followed

LONG = Terms(retention=timedelta(days=7), most_bytes=10**9)
DAYS_MS = 7 * 86_400_000


def _stream() -> list[Entry]:
    one, other = Writer(), Writer(OTHER_KEY, "web-2")
    return entries(
        one.blocks(1, 1), other.blocks(1), other.end(), one.blocks(3), one.blocks(1),
    )  # fmt: skip


def test_what_is_older_than_the_retention_goes() -> None:
    """docs/administrator/audit.md: `audit.retention`."""
    stream = _stream()
    anchor = followed(stream).anchor
    now_ms = AT_MS + 2 + DAYS_MS
    assert not trimming.is_due(anchor, stream[0].id, LONG, AT_MS + DAYS_MS)
    assert trimming.is_due(anchor, stream[0].id, LONG, now_ms)
    assert trimming.chosen(anchor, stream, LONG, now_ms) == tuple(stream[:2])


def test_what_was_not_followed_yet_stays() -> None:
    stream = _stream()
    anchor = followed(stream[:1]).anchor
    assert trimming.chosen(anchor, stream, LONG, AT_MS + 10 * DAYS_MS) == (stream[0],)


def test_an_empty_stream_has_nothing_to_trim() -> None:
    assert not trimming.is_due(Anchor(namespace="shop"), "", LONG, AT_MS)


@given(st.integers(0, 5))
def test_what_is_left_after_a_trim_verifies(many: int) -> None:
    """Whatever we take away ourselves is no finding; a chain goes on from where it was cut."""
    stream = _stream()
    anchor = trimming.trimmed(followed(stream).anchor, stream[:many])
    found = verify(stream[many:], anchor)
    assert found.findings == ()
    assert (anchor.entries, found.entries) == (5 - many, 5 - many)
    assert anchor.size_bytes == sum(one.size_bytes for one in stream[many:])


def test_it_is_said_what_went_and_what_ended_is_folded() -> None:
    stream = _stream()
    anchor = trimming.trimmed(followed(stream).anchor, stream[:3])
    assert anchor.trimmed == Trimmed(up_to=stream[2].id, entries=3)
    assert set(anchor.chains) == {ONE}
    assert (anchor.folded.chains, anchor.folded.records) == (1, 1)
    kept = anchor.chains[ONE]
    assert (kept.base.block, kept.head.first, kept.head.block) == (2, 3, 4)


def test_more_than_we_took_away_is_found() -> None:
    """Somebody trims further than the anchor says."""
    stream = _stream()
    anchor = trimming.trimmed(followed(stream).anchor, stream[:1])
    found = verify(stream[4:], anchor)
    assert Trouble.GAP in {one.trouble for one in found.findings}


def test_a_stream_that_redis_lost_is_found_once_and_chains_go_on() -> None:
    writer = Writer()
    first = entries(writer.blocks(1), writer.blocks(1))
    anchor = trimming.lost(followed(first).anchor, 0, AT_MS)
    (one,) = anchor.findings
    assert one.trouble is Trouble.CUT
    assert one.said.startswith("2 of 2 entries are gone from Redis, and mesh7 did not trim them")
    later = entries(writer.blocks(2), start=10)
    after = followed(later, anchor)
    assert after.findings == ()
    assert [one.trouble for one in verify(later, after.anchor).findings] == [Trouble.CUT]
