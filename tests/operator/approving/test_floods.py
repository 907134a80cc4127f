"""What a tenant may have the controller do for its held calls, however many it makes up."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from mesh7_core.policy.rules import Rule
from mesh7_operator.approving.plan import plan
from tests.operator.approving import worlds


class _Counted(tuple[Rule, ...]):
    """Rules that count how often somebody goes through them."""

    __slots__ = ()
    gone_through = 0

    def __iter__(self) -> Iterator[Rule]:
        _Counted.gone_through += 1
        return super().__iter__()


@pytest.mark.promise("K9")
def test_a_rule_is_looked_for_once_however_many_requests_name_it() -> None:
    """Security review of issue 7, F1: requests times rules times rules is what a look had cost."""
    policy = worlds.COMPILED["shop/refunds"]
    known = {**worlds.COMPILED, policy.id: replace(policy, rules=_Counted(policy.rules))}
    found = worlds.world(*(worlds.request(number) for number in range(1, 101)), policies=known)
    _Counted.gone_through = 0
    assert len(plan(found.ground()).mirror) == 100
    assert _Counted.gone_through <= 10


@pytest.mark.promise("K10")
def test_of_mirrors_that_are_too_much_together_the_longest_closed_are_deleted() -> None:
    """Security review of issue 7, F5: closed ones were kept by number alone."""
    long = "x" * 15_000
    asked = [
        worlds.request(number, arguments={"note": long, "n": number}) for number in range(1, 11)
    ]
    found = worlds.mirrored(*asked)
    size = plan(found.ground()).kept_bytes // 10
    assert 19_000 < size < 25_000
    for one in asked[:8]:
        found = worlds.later(worlds.without_request(found, one.id), seconds=1)
        found = worlds.settled(found)
    found = worlds.settled(replace(found, most_bytes=size * 5))
    assert len(found.mirrors) in {4, 5}
    assert {one.id for one in asked[8:]} < {one.name for one in found.mirrors}
    assert asked[7].id in {one.name for one in found.mirrors}
    assert worlds.is_empty(plan(found.ground()))


@pytest.mark.promise("K10")
def test_what_is_open_gives_no_way_and_takes_no_more_than_there_is() -> None:
    """The same: open ones stay, and new ones wait until some close."""
    long = "x" * 15_000
    asked = [
        worlds.request(number, arguments={"note": long, "n": number}) for number in range(1, 7)
    ]
    found = worlds.mirrored(*asked, most_bytes=70_000)
    assert [one.name for one in found.mirrors] == [one.id for one in asked[:3]]
    assert worlds.is_empty(plan(found.ground()))
    found = worlds.settled(worlds.without_request(found, asked[0].id))
    assert [one.name for one in worlds.settled(found).mirrors] == [one.id for one in asked[1:4]]
