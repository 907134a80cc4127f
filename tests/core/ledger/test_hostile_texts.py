"""Texts of requests that are made to be slow to read: they cost what they are long, or are none."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_core.ledger import approvals, asked, redis_layout
from mesh7_core.ledger.asked import Asking, Request, State, Verdict, Vote
from tests.core.ledger import contract

_RULES = [f"shop/{policy}/{rule}" for policy in "pq" for rule in "ab"]
_GROUPS = st.lists(st.sampled_from("xyz"), max_size=3).map(tuple)
_ASKING = st.builds(
    Asking,
    rule=st.sampled_from(_RULES),
    groups=_GROUPS,
    count=st.integers(0, 3),
    text=st.just(""),
)
_VOTES = st.builds(
    Vote,
    person=st.sampled_from("jkl"),
    name=st.just(""),
    groups=_GROUPS,
    verdict=st.sampled_from(Verdict),
    policies=st.lists(st.sampled_from(["shop/p", "shop/q"]), max_size=2).map(tuple),
)


class _Counted(tuple[str, ...]):
    """Texts that count how often somebody goes through them."""

    __slots__ = ()
    gone_through = 0

    def __iter__(self) -> Iterator[str]:
        _Counted.gone_through += 1
        return super().__iter__()


def _text(*, rules: int = 1, groups: int = 1, count: int = 1, votes: int = 1) -> bytes:
    """An approved request with so many of each, the last group saying yes."""
    named = tuple(f"g{number}" for number in range(groups))
    request = replace(
        approvals.opened(contract.request(), 1),
        asking=tuple(
            Asking(rule=f"a/b/{number}", groups=named, count=count, text="")
            for number in range(rules)
        ),
        votes=tuple(
            Vote(person=f"p{number}", name="", groups=named[-1:], verdict=Verdict.APPROVE)
            for number in range(votes)
        ),
        state=State.APPROVED,
        decided_at_ms=2,
    )
    return approvals.encode(request)


@pytest.mark.promise("K9")
@given(st.lists(_ASKING, max_size=4).map(tuple), st.lists(_VOTES, max_size=6).map(tuple))
def test_all_rules_are_supported_when_each_has_as_many_people_as_it_asks_for(
    asking: tuple[Asking, ...], votes: tuple[Vote, ...]
) -> None:
    each = [len(asked.supporters(one, votes)) >= max(one.count, 1) for one in asking]
    assert asked.is_supported(asking, votes) == (bool(asking) and all(each))


@pytest.mark.promise("K9")
def test_rules_times_votes_is_not_what_a_forged_approval_costs() -> None:
    """Security review of issue 7, F1: half a megabyte that took each reader two seconds."""
    groups = _Counted(f"g{number}" for number in range(32))
    asking = tuple(Asking(rule=f"a/b/{one}", groups=groups, count=1, text="") for one in range(64))
    votes = tuple(
        Vote(person=f"p{one}", name="", groups=("g31",), verdict=Verdict.APPROVE)
        for one in range(1_000)
    )
    _Counted.gone_through = 0
    assert asked.is_supported(asking, votes)
    assert _Counted.gone_through <= len(asking)


@pytest.mark.promise("K9")
@pytest.mark.parametrize(
    ("most", "beyond"),
    [
        (_text(rules=64), _text(rules=65)),
        (_text(groups=32), _text(groups=33)),
        (_text(count=16, votes=16), _text(count=17, votes=17)),
        (_text(votes=1024), _text(votes=1025)),
    ],
    ids=["rules", "groups", "people", "votes"],
)
def test_more_than_there_can_be_is_no_request(most: bytes, beyond: bytes) -> None:
    """The same: a store that others write to holds thousands of them."""
    assert isinstance(approvals.decode(most), Request)
    assert approvals.decode(beyond) is None


@pytest.mark.promise("K9")
def test_a_text_in_redis_that_is_longer_than_any_of_ours_is_not_looked_at() -> None:
    """The same: sidecars read these texts on their event loop."""
    plain = replace(approvals.opened(contract.request(), 1), arguments="", trace_id="")
    short = redis_layout.LONGEST_TEXT - len(redis_layout.write_request(plain))
    fits = replace(plain, trace_id="x" * short)
    long = replace(plain, trace_id="x" * (short + 1))
    found = [
        redis_layout.read_request(redis_layout.write_request(one), b"", plain.id)
        for one in (fits, long)
    ]
    assert found == [fits, None]
