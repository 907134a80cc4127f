"""Who loses what when there is too much: whoever wrote too much, and nobody else."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_core.ledger.audit_entries import Entry
from mesh7_operator.anchoring import evicting, folding, trimming, writing
from mesh7_operator.anchoring.anchor import MOST_CHAIN_BYTES, Anchor, Trouble
from mesh7_operator.anchoring.trimming import Terms
from mesh7_operator.anchoring.verifying import Verified, verify
from tests.operator.anchoring.streams import (
    AT_MS,
    ONE,
    OPERATORS,
    OTHER,
    OTHER_KEY,
    Writer,
    entries,
    followed,
    key_of,
)

TERMS = Terms(retention=timedelta(days=7), most_bytes=40_000)
MANY = 1700
"""Chains: more than an anchor can hold."""


def _evicted(stream: list[Entry], terms: Terms = TERMS) -> tuple[Anchor, list[Entry]]:
    """The anchor, and what is left."""
    anchor = followed(stream).anchor
    return _let_go(anchor, stream, terms)


def _let_go(anchor: Anchor, stream: list[Entry], terms: Terms) -> tuple[Anchor, list[Entry]]:
    census = evicting.Census(anchor)
    census.take(stream)
    found = evicting.excess(anchor, census.held, terms)
    gone = {one.id for one in found.gone}
    return evicting.evicted(anchor, found), [one for one in stream if one.id not in gone]


def _told(found: Verified) -> list[tuple[Trouble, str]]:
    return [(one.trouble, one.pod) for one in found.findings]


@pytest.mark.promise("T5")
def test_one_pods_flood_evicts_neither_neighbours_nor_peoples_decisions() -> None:
    """A hostile agent washed the audit away with denied calls, its neighbours' records first."""
    neighbour, person, flood = Writer(), Writer(None, "-", "-"), Writer(OTHER_KEY, "web-2")
    older = entries(neighbour.blocks(3)) + entries(person.blocks(1), start=1, is_operators=True)
    stream = older + entries(*(flood.blocks(20) for _ in range(60)), start=10)
    anchor, left = _evicted(stream)
    assert left[:2] == older
    assert sum(one.size_bytes for one in left[2:]) + older[0].size_bytes <= TERMS.most_bytes
    (gone,) = anchor.evicted
    assert (gone.pod, gone.since, gone.entries) == ("web-2", stream[2].id, len(stream) - len(left))
    found = verify(left, anchor)
    assert (found.is_whole, _told(found)) == (True, [(Trouble.EVICTED, "web-2")])
    assert (anchor.entries, anchor.size_bytes) == (len(left), sum(one.size_bytes for one in left))


@pytest.mark.promise("T5")
@given(st.data())
def test_whatever_is_removed_besides_what_was_evicted_is_found(data: st.DataObject) -> None:
    """That some went is no cover for others."""
    neighbour, flood = Writer(), Writer(OTHER_KEY, "web-2")
    stream = entries(neighbour.blocks(3), *(flood.blocks(20) for _ in range(40)), neighbour.end())
    anchor, left = _evicted(stream)
    left.pop(data.draw(st.integers(0, len(left) - 2)))
    assert not verify(left, anchor).is_whole


def test_entries_that_nobody_believes_are_nobodys() -> None:
    """Forged entries that bear a victim's name take nothing of the victim's away."""
    victim, forger = Writer(), Writer()
    stream = entries(victim.blocks(5), victim.blocks(5))
    forged = [replace(one, uid=victim.blocks(1).uid) for one in (forger.blocks(40),) * 30]
    stream += entries(*forged, start=10)
    anchor, left = _evicted(stream)
    assert left[:2] == stream[:2]
    assert {one.uid for one in anchor.evicted} == {""}


def test_what_tenants_make_the_operator_write_is_bounded_too() -> None:
    own = Writer(None, "-", "-")
    stream = entries(*(own.blocks(40) for _ in range(30)), is_operators=True)
    anchor, left = _evicted(stream)
    assert sum(one.size_bytes for one in left) <= TERMS.most_bytes // 2
    assert verify(left, anchor).is_whole
    assert [one.uid for one in anchor.evicted] == ["operator"]


def test_words_of_what_went_go_when_that_would_be_too_old() -> None:
    flood = Writer()
    anchor, _ = _evicted(entries(*(flood.blocks(20) for _ in range(60))))
    week_ms = 7 * 86_400_000
    assert trimming.outlived(anchor, TERMS, AT_MS + week_ms) == anchor
    assert trimming.outlived(anchor, TERMS, AT_MS + 100 + week_ms).evicted == ()


def test_few_words_tell_of_many_writers() -> None:
    """The anchor stays small: those of long ago are told of together."""
    anchor = Anchor(namespace="shop")
    for place in range(3 * evicting.MOST_NOTED):
        writer = Writer(key_of(100 + place), f"web-{place}")
        one = entries(writer.blocks(1), start=place)
        anchor, _ = _let_go(followed(one, anchor).anchor, one, replace(TERMS, most_bytes=1))
    assert len(anchor.evicted) == evicting.MOST_NOTED
    assert sum(one.entries for one in anchor.evicted) == 3 * evicting.MOST_NOTED
    assert anchor.evicted[-1].pod == f"web-{3 * evicting.MOST_NOTED - 1}"


# Chains


def _short(first: int, many: int = MANY, uid: str = "") -> list[Entry]:
    """Chains of one record each."""
    writers = (
        Writer(key_of(1000 + place), f"job-{place}", uid or f"uid-{place}")
        for place in range(first, first + many)
    )
    return entries(*(one.blocks(1) for one in writers), start=1000 + first)


def test_a_folded_chain_that_is_trimmed_is_no_gap() -> None:
    """Many short-lived pods within the retention: an ended chain was folded with entries kept."""
    one = Writer()
    ended = entries(one.blocks(1), one.blocks(1), one.blocks(1), one.end())
    anchor, left = _evicted(ended + _short(0), replace(TERMS, most_bytes=10**9))
    assert folding.size(anchor) <= MOST_CHAIN_BYTES
    assert len(writing.encoded(anchor)) <= writing.LONGEST
    assert verify(left, anchor).is_whole
    gone = left[:1]
    assert verify(left[1:], trimming.trimmed(anchor, gone)).is_whole


def test_a_chain_that_went_on_after_it_was_folded_is_no_gap() -> None:
    """A quiet living pod among very many that were killed."""
    quiet = Writer()
    first = entries(quiet.blocks(1))
    anchor, left = _evicted(first + _short(0), replace(TERMS, most_bytes=10**9))
    assert ONE not in anchor.chains
    assert first[0] not in left, "nothing is folded of which something is kept"
    later = entries(quiet.blocks(2), quiet.blocks(3), start=10_000)
    after = followed(later, anchor)
    assert after.findings == ()
    assert verify(left + later, after.anchor).is_whole
    assert not verify(left + later[:1], after.anchor).is_whole
    quiet.blocks(1)
    skipped = followed(entries(quiet.blocks(1), start=20_000), anchor)
    assert [one.trouble for one in skipped.findings] == [Trouble.GAP]


@pytest.mark.promise("T5")
@pytest.mark.parametrize("uid", ["uid-of-one", ""])
def test_a_flood_of_chains_folds_nobody_else(uid: str) -> None:
    """1,500 pushes folded a victim's chain and the controller's: their deletion was sound then."""
    victim, person = Writer(OTHER_KEY, "web-2"), Writer(None, "-", "-")
    stream = entries(victim.blocks(2), victim.end())
    stream += entries(person.blocks(1), start=10, is_operators=True)
    anchor, left = _evicted(stream + _short(0, uid=uid), replace(TERMS, most_bytes=10**9))
    assert {OTHER, OPERATORS} <= anchor.chains.keys()
    assert verify(left, anchor).is_whole
    assert not verify(left[1:], anchor).is_whole
    assert not verify([*left[:2], *left[3:]], anchor).is_whole


@pytest.mark.parametrize("step", [100, 1000])
def test_an_anchor_can_be_written_at_each_step_that_makes_it_smaller(step: int) -> None:
    """Chains were listed until the last step, beside the names of all that went with them."""
    flood = Writer()
    stream = [*entries(*(flood.blocks(20) for _ in range(60))), *_short(0)]
    anchor, left = followed(stream).anchor, stream
    census = evicting.Census(anchor)
    census.take(stream)
    terms = replace(TERMS, most_bytes=anchor.size_bytes - 1)
    found = evicting.excess(anchor, census.held, terms)
    assert {one.chain for one in found.gone} - set(found.chains), "some go for their bytes"
    for some in evicting.parts(found, step):
        anchor = evicting.evicted(anchor, some)
        gone = tuple(one.id for one in some.gone)
        assert len(writing.encoded(replace(anchor, going=gone))) <= writing.LONGEST
        left = [one for one in left if one.id not in gone]
        assert verify(left, anchor).is_whole
    assert not folding.is_over(anchor)
    assert len(left) == len(stream) - len(found.gone)


@given(st.integers(1, 400))
def test_evicting_in_steps_comes_to_the_same(step: int) -> None:
    """A thousand entries at a time are named in the anchor before they go."""
    neighbour, flood = Writer(), Writer(OTHER_KEY, "web-2")
    stream = entries(neighbour.blocks(3), *(flood.blocks(20) for _ in range(60)))
    anchor = followed(stream).anchor
    census = evicting.Census(anchor)
    census.take(stream)
    found = evicting.excess(anchor, census.held, TERMS)
    once = evicting.evicted(anchor, found)
    for some in evicting.parts(found, step):
        anchor = evicting.evicted(anchor, some)
    assert anchor == once
