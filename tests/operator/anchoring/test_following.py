"""Entries of an audit stream: what continues its chain, and what is found of what does not."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from mesh7_core.audit import heads
from mesh7_core.ledger.audit_entries import Kind, Segment
from mesh7_operator.anchoring import trimming
from mesh7_operator.anchoring.anchor import MOST_FINDINGS, MOST_OF_EACH, Trouble
from mesh7_operator.anchoring.following import outlived
from tests.operator.anchoring.streams import (
    AT_MS,
    ONE,
    OPERATORS,
    OTHER,
    OTHER_KEY,
    Writer,
    entries,
    followed,
)


def troubles(*segments: Segment | None) -> list[Trouble]:
    return [one.trouble for one in followed(entries(*segments)).findings]


@pytest.mark.promise("T5")
def test_chains_of_several_pods_are_followed_side_by_side() -> None:
    """Issue 8: heads per chain, total, hash."""
    one, other = Writer(), Writer(OTHER_KEY, "web-2")
    stream = entries(one.blocks(2, 3), other.blocks(1), one.blocks(64), other.end())
    found = followed(stream)
    assert found.findings == ()
    chains = found.anchor.chains
    assert {name: (c.head, c.pod, c.is_ended) for name, c in chains.items()} == {
        ONE: (one.head, "web-1", False),
        OTHER: (other.head, "web-2", True),
    }
    assert chains[ONE].head.total == 69
    assert chains[ONE].base == heads.begun(ONE)
    assert (found.anchor.last, found.anchor.entries) == (f"{AT_MS + 3}-0", 4)
    assert found.anchor.size_bytes == sum(entry.size_bytes for entry in stream)


def test_pages_come_to_the_same_as_the_whole() -> None:
    writer = Writer()
    stream = entries(*(writer.blocks(n) for n in (1, 2, 3, 4)))
    half = followed(stream[:2]).anchor
    assert followed(stream[2:], half).anchor == followed(stream).anchor


def _edited(segment: Segment) -> Segment:
    return replace(segment, body=segment.body.replace(b'"n":1', b'"n":7'))


_ATTACKS: dict[str, tuple[Callable[[list[Segment]], list[Segment | None]], list[str]]]
_ATTACKS = {
    "nothing": (lambda s: [s[0], s[1], s[2]], []),
    "one is removed": (lambda s: [s[0], s[2]], ["gap"]),
    "the first is removed": (lambda s: [s[1], s[2]], ["gap"]),
    "two change places": (lambda s: [s[0], s[2], s[1]], ["gap", "repeated"]),
    "one comes twice": (lambda s: [s[0], s[1], s[0], s[2]], ["repeated"]),
    "one is edited": (lambda s: [s[0], _edited(s[1]), s[2]], ["edited", "gap"]),
    "the end of one is cut": (
        lambda s: [s[0], replace(s[1], body=s[1].body[:-40]), s[2]], ["edited", "gap"],
    ),
    "one lies about its hash": (
        lambda s: [s[0], replace(s[1], hash="0" * 64), s[2]], ["edited", "gap"],
    ),
    "something else is added": (lambda s: [s[0], None, s[1], s[2]], ["forged"]),
    "another pod goes on": (lambda s: [s[0], replace(s[1], uid="other"), s[1], s[2]], ["forged"]),
    "an early end": (
        lambda s: [s[0], s[1], replace(s[0], kind=Kind.END, body=b""), s[2]], ["forged"],
    ),
}  # fmt: skip


@pytest.mark.promise("T5")
@pytest.mark.parametrize("attack", _ATTACKS)
def test_what_was_done_to_a_stream_is_found(attack: str) -> None:
    """Issue 8: edit, cut, reorder, gap, forged entries; the chain stands where it really does."""
    done, said = _ATTACKS[attack]
    writer = Writer()
    segments = [writer.blocks(2, 2) for _ in range(3)]
    stream = entries(*done(segments))
    found = followed(stream)
    assert [one.trouble.value for one in found.findings] == said
    if attack != "two change places":
        assert found.anchor.chains[ONE].head.hash == writer.head.hash
    assert sum(found.anchor.found.values()) == len(said)


def test_a_forged_block_moves_no_other_writers_chain() -> None:
    """It knows the chain's name and number, and not the hash: tenants cannot read the stream."""
    writer, forger = Writer(), Writer()
    first = writer.blocks(1)
    forger.blocks(5)
    found = followed(entries(first, forger.blocks(5), writer.blocks(1)))
    assert [one.trouble for one in found.findings] == [Trouble.EDITED]
    assert found.findings[0].said == "block 2 does not continue the chain"
    assert found.anchor.chains[ONE].head.hash == writer.head.hash


def test_a_tenant_that_claims_the_operators_chain_is_found() -> None:
    operator = Writer(None, "-", "-")
    ours = entries(operator.blocks(1), is_operators=True)
    theirs = entries(operator.blocks(1), start=1)
    found = followed([*ours, *theirs])
    assert [one.trouble for one in found.findings] == [Trouble.FORGED]
    assert found.anchor.chains[OPERATORS].head.block == 1


def test_what_was_sent_twice_for_want_of_an_answer_is_no_finding() -> None:
    writer = Writer()
    segment = writer.blocks(2, 2)
    assert troubles(segment, segment, writer.blocks(1)) == []


@pytest.mark.promise("T5")
def test_an_honest_loss_differs_from_a_cut() -> None:
    """The brief of issue 8: the sidecar's own word, and where the records are."""
    writer = Writer()
    found = followed(entries(writer.blocks(1), writer.withheld(2, 3), writer.blocks(1)))
    (one,) = found.findings
    assert one.trouble is Trouble.WITHHELD
    assert one.said == (
        "blocks 2 to 3, 5 records, were not sent, by their writer's word; they are on its stdout"
    )
    assert found.anchor.chains[ONE].head.hash == writer.head.hash


@pytest.mark.parametrize("lost", [(1,), (3, 4)])
def test_a_block_after_a_loss_and_a_word_of_more_is_no_edit(lost: tuple[int, ...]) -> None:
    """Redis failed over while a sidecar's buffer was full: how many were lost is not known."""
    writer = Writer()
    first, _, withheld = writer.blocks(1), writer.blocks(*lost), writer.withheld(2, 3)
    stream = entries(first, withheld, writer.blocks(1), writer.blocks(2))
    found = followed(stream)
    assert [one.trouble for one in found.findings] == [Trouble.GAP, Trouble.WITHHELD]
    assert found.anchor.chains[ONE].head == replace(writer.head, first=1)


def test_more_said_to_be_withheld_than_the_next_seal_counts_is_found() -> None:
    """No records of the chain can be between those that are there."""
    writer = Writer()
    first, kept = writer.blocks(1), writer.withheld(5)
    lie = writer.signed(replace(kept, records=6))
    found = followed(entries(first, lie, writer.blocks(1)))
    assert [one.trouble for one in found.findings] == [Trouble.WITHHELD, Trouble.EDITED]


def test_blocks_after_the_end_of_a_chain_are_not_believed() -> None:
    writer = Writer()
    first, end = writer.blocks(1), writer.end()
    assert troubles(first, end, writer.blocks(1)) == [Trouble.FORGED]


def test_an_end_that_names_later_blocks_says_that_they_are_missing() -> None:
    writer = Writer()
    first = writer.blocks(1)
    writer.blocks(1)
    assert troubles(first, writer.end()) == [Trouble.GAP]


def test_findings_are_bounded_and_all_of_them_counted() -> None:
    many = entries(*[None] * (MOST_FINDINGS + 20))
    anchor = followed(many).anchor
    assert len(anchor.findings) == MOST_OF_EACH
    assert anchor.found == {Trouble.FORGED: MOST_FINDINGS + 20}
    assert anchor.findings[-1].entry == many[-1].id
    assert anchor.findings[0].entry == many[-MOST_OF_EACH].id


def test_a_flood_of_forgeries_does_not_push_a_cut_out_of_the_anchor() -> None:
    """Whoever can append could otherwise have it forgotten that something was removed."""
    writer = Writer()
    cut = trimming.lost(followed(entries(writer.blocks(1))).anchor, 0, AT_MS)
    anchor = followed(entries(*[None] * (MOST_FINDINGS + 20), start=9), cut).anchor
    assert anchor.findings[0].trouble is Trouble.CUT
    assert len(anchor.findings) == MOST_OF_EACH + 1


def test_findings_go_when_what_they_are_about_is_kept_no_longer() -> None:
    stream = entries(None, None)
    anchor = followed(stream).anchor
    assert outlived(anchor, AT_MS) is anchor
    assert [one.entry for one in outlived(anchor, AT_MS + 1).findings] == [stream[1].id]
    assert outlived(anchor, AT_MS + 9).found == {Trouble.FORGED: 2}
