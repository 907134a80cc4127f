"""All that is kept, held against what was signed: whatever was done to a stream is found."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_core.ledger.audit_entries import Entry
from mesh7_operator.anchoring import trimming
from mesh7_operator.anchoring.anchor import Trouble
from mesh7_operator.anchoring.verifying import MOST_SHOWN, Verified, Verifying, verify
from tests.operator.anchoring.streams import AT_MS, ONE, OTHER, OTHER_KEY, Writer, entries, followed


def _stream() -> list[Entry]:
    """Two chains, one of which has ended."""
    one, other = Writer(), Writer(OTHER_KEY, "web-2")
    return entries(
        one.blocks(2, 3), other.blocks(1), one.blocks(4), other.blocks(2), other.end(),
        one.blocks(1), one.blocks(1, 1),
    )  # fmt: skip


@pytest.mark.promise("T5")
def test_what_is_as_it_was_anchored_is_whole() -> None:
    stream = _stream()
    found = verify(stream, followed(stream).anchor)
    assert found == Verified(
        entries=7,
        records=15,
        chains=2,
        newer=0,
        findings=(),
        found=0,
        broken=0,
        signed_ms=AT_MS + 6,
    )
    assert found.is_whole


def test_pages_of_any_size_come_to_the_same() -> None:
    stream = _stream()
    anchor = followed(stream[:5]).anchor
    walk = Verifying(anchor)
    for entry in stream:
        walk.take([entry])
    assert walk.end() == verify(stream, anchor)


def test_what_came_after_the_anchor_is_walked_and_said_to_be_newer() -> None:
    stream = _stream()
    found = verify(stream, followed(stream[:5]).anchor)
    assert (found.newer, found.findings, found.signed_ms) == (2, (), AT_MS + 4)


@pytest.mark.promise("T5")
@given(st.data())
def test_any_entry_that_is_removed_edited_or_moved_is_found(data: st.DataObject) -> None:
    """Issue 8: edit, cut tail, reorder, gap. Whoever does it has all rights to Redis."""
    stream = _stream()
    anchor = followed(stream).anchor
    place = data.draw(st.integers(0, len(stream) - 1), label="entry")
    done = data.draw(st.sampled_from(["remove", "edit", "move", "cut"]), label="attack")
    if done == "remove":
        # That a chain ended is no record: without its end nothing is missing.
        place = place if place != 4 else 0
        stream.pop(place)
    elif done == "cut":
        stream = stream[: min(place, 5)]
    elif done == "edit":
        place = place if place != 4 else 0
        stream[place] = _edited(stream[place], data)
    else:
        stream = _moved(stream, data)
    found = verify(stream, anchor)
    assert not found.is_whole


def _edited(entry: Entry, data: st.DataObject) -> Entry:
    assert entry.segment is not None
    body = bytearray(entry.segment.body)
    at = data.draw(st.integers(0, len(body) - 1), label="byte")
    body[at] ^= data.draw(st.integers(1, 255), label="bits")
    return replace(entry, segment=replace(entry.segment, body=bytes(body)))


def _moved(stream: list[Entry], data: st.DataObject) -> list[Entry]:
    """Two entries of one chain change their segments; ids stay in order, as they must."""
    chain = [0, 2, 5, 6]
    one, other = data.draw(st.permutations(chain), label="places")[:2]
    found = list(stream)
    found[one] = replace(stream[one], segment=stream[other].segment)
    found[other] = replace(stream[other], segment=stream[one].segment)
    return found


@pytest.mark.promise("T5")
def test_a_tail_that_was_cut_is_found_by_the_anchor_alone() -> None:
    """Hashes cannot show it: what is left is a sound chain."""
    stream = _stream()
    found = verify(stream[:-1], followed(stream).anchor)
    assert [(one.trouble, one.chain, one.said) for one in found.findings] == [
        (Trouble.CUT, ONE, "blocks 5 to 6 were anchored and are gone")
    ]


@pytest.mark.promise("T5")
def test_a_chain_that_was_written_anew_is_found_by_the_anchor_alone() -> None:
    """Whoever may write the stream can make a sound chain of other records."""
    real, other = Writer(), Writer()
    anchor = followed(entries(real.blocks(2), real.blocks(2))).anchor
    found = verify(entries(other.blocks(3), other.blocks(1)), anchor)
    assert [(one.trouble, one.said) for one in found.findings] == [
        (Trouble.EDITED, "block 2 is not the one that was anchored")
    ]


def test_an_emptied_stream_is_found() -> None:
    found = verify([], followed(_stream()).anchor)
    assert {one.chain for one in found.findings} == {ONE, OTHER}


@pytest.mark.promise("T5")
@pytest.mark.parametrize("left", [0, 3])
def test_what_was_cut_stays_unsound_after_it_was_noticed(left: int) -> None:
    """Found by review: the controller went on from what was left, and all of that was sound."""
    stream = _stream()
    noticed = trimming.lost(followed(stream).anchor, left, AT_MS + 50)
    found = verify(stream[len(stream) - left :], noticed)
    assert not found.is_whole
    assert Trouble.CUT in {one.trouble for one in found.findings}


def test_what_the_anchor_tells_of_and_the_walk_finds_again_is_told_once() -> None:
    stream = [*_stream(), *entries(None, start=20)]
    found = verify(stream, followed(stream).anchor)
    assert (found.found, found.broken) == (1, 1)


def test_many_words_of_writers_do_not_hide_what_is_broken() -> None:
    """Only what is shown was looked at, and a pod can withhold as often as it likes."""
    writer = Writer()
    many = [writer.withheld(1) for _ in range(MOST_SHOWN + 50)]
    stream = entries(*many, None)
    found = verify(stream, followed(stream).anchor)
    assert not found.is_whole
    assert Trouble.FORGED in {one.trouble for one in found.findings}
