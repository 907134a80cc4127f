"""What a tenant may have the controller do for its held calls, however many it makes up."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from mesh7_core.policy.rules import Rule
from mesh7_operator.approving.answering import MOST_ANSWERS, MOST_OF_PERSON
from mesh7_operator.approving.ground import MOST_OPEN_OF_POD
from mesh7_operator.approving.plan import plan
from tests.operator.approving import worlds
from tests.operator.approving.worlds import NOON_MS


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
    asked = (worlds.of_another_pod(number) for number in range(1, 101))
    found = worlds.world(*asked, policies=known, pods=worlds.MANY_PODS)
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


@pytest.mark.promise("A2")
def test_of_one_persons_answers_without_end_a_few_are_looked_at() -> None:
    """Security review of issue 7, F9: each had its stamp verified in each look."""
    found = worlds.mirrored(worlds.request(1))
    flood = [
        worlds.grant(found, f"yes-{number:02d}", by="eve", groups=("interns",))
        for number in range(MOST_OF_PERSON + 2)
    ]
    found = worlds.settled(worlds.granted(found, *flood))
    heard = [worlds.heard(found, one.name) for one in flood]
    assert heard == ["Refused NotInGroups"] * MOST_OF_PERSON + ["Refused AlreadySaid"] * 2
    told = worlds.heard_message(found, flood[-1].name)
    assert told.startswith("`eve` has answered it 8 times, and no more are looked at")
    no = worlds.grant(found, "no", by="eve", effect="Deny", made_s=1)
    assert worlds.state(worlds.settled(worlds.granted(found, no))).startswith("Denied")
    yes = worlds.grant(found, "yes", by="jane", made_s=1)
    assert worlds.state(worlds.settled(worlds.granted(found, yes))).startswith("Approved")


@pytest.mark.promise("A2")
def test_of_many_peoples_answers_without_end_a_bound_is_looked_at_and_a_no_is_heard() -> None:
    """The same, by many accounts."""
    found = worlds.mirrored(worlds.request(1))
    flood = [
        worlds.grant(found, f"yes-{number:03d}", by=f"eve-{number}", groups=("interns",))
        for number in range(MOST_ANSWERS + 1)
    ]
    found = worlds.settled(worlds.granted(found, *flood))
    assert worlds.heard(found, flood[-2].name) == "Refused NotInGroups"
    assert worlds.heard(found, flood[-1].name) == "Refused AlreadySaid"
    no = worlds.grant(found, "no", by="jane", effect="Deny", made_s=1)
    assert worlds.state(worlds.settled(worlds.granted(found, no))).startswith("Denied")


@pytest.mark.promise("K10")
def test_one_pod_that_asks_without_end_hides_no_call_of_another() -> None:
    """Lifecycle review of issue 7: 200 of one pod were shown, and nothing of its neighbour."""
    flood = [worlds.request(number) for number in range(1, 251)]
    other = worlds.of_another_pod(900, opened_at_ms=NOON_MS - 30_000)
    found = worlds.mirrored(*flood, other, pods={worlds.POD: worlds.UID, **worlds.MANY_PODS})
    shown = [one.id for one in (*flood[:MOST_OPEN_OF_POD], other)]
    assert [one.name for one in found.mirrors] == shown
    assert worlds.is_empty(plan(found.ground()))
    found = worlds.settled(worlds.without_request(found, flood[0].id))
    assert worlds.settled(found).mirrors[-1].name == flood[MOST_OPEN_OF_POD].id


@pytest.mark.promise("K10")
def test_calls_that_were_approved_take_no_place_of_those_that_wait() -> None:
    """Review of issue 7: a pod's sidecar lets 20 wait, and the approved ones hid some of them."""
    first = [worlds.request(number) for number in range(1, MOST_OPEN_OF_POD + 1)]
    found = worlds.mirrored(*first)
    yes = (worlds.grant(found, f"yes-{one.id}", to=one.id) for one in first)
    found = worlds.settled(worlds.granted(found, *yes))
    assert all(worlds.state(found, one.id).startswith("Approved") for one in first)
    second = worlds.request(100)
    found = worlds.settled(worlds.with_request(found, second))
    assert worlds.state(found, second.id).startswith("Pending")


@pytest.mark.promise("K8")
def test_a_request_that_is_too_much_to_be_read_now_is_not_forgotten() -> None:
    """Review of issue 7: mirrors beyond two megabytes of texts were closed as withdrawn."""
    one, other = worlds.request(1), worlds.request(2)
    found = worlds.mirrored(one, other)
    found = worlds.granted(found, worlds.grant(found, to=one.id))
    hidden = worlds.settled(replace(found, left_out={one.id}))
    assert worlds.state(hidden, one.id).startswith("Pending")
    assert worlds.heard(hidden).startswith("Pending")
    steps = plan(worlds.later(hidden, days=1).ground())
    assert steps.look_again_at is None or steps.look_again_at > hidden.now
    assert worlds.state(worlds.settled(hidden), one.id).startswith("Pending")
    found = worlds.settled(replace(hidden, left_out=()))
    assert worlds.state(found, one.id).startswith("Approved")
    found = worlds.settled(replace(found, left_out={one.id}))
    assert worlds.state(found, one.id).startswith("Approved")


@pytest.mark.promise("K10")
def test_asking_and_withdrawing_in_a_loop_erases_nothing_of_who_decided() -> None:
    """The same review: the longest closed were deleted, and their Grants with them."""
    asked = [worlds.request(number) for number in range(1, 8)]
    found = worlds.mirrored(*asked)
    size = plan(found.ground()).kept_bytes // len(asked)
    no = worlds.grant(found, "no", to=asked[0].id, effect="Deny")
    found = worlds.settled(worlds.granted(found, no))
    for one in asked[1:]:
        found = worlds.later(worlds.without_request(found, one.id), seconds=1)
        found = worlds.settled(found)
    found = worlds.settled(replace(found, most_bytes=3 * size))
    assert found.mirrors[0].name == asked[0].id
    assert 2 <= len(found.mirrors) <= 3
    assert [one.name for one in found.grants] == ["no"]
    assert worlds.is_empty(plan(found.ground()))
