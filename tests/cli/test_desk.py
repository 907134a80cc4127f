"""What a key means at each moment of `mesh7 watch`."""

import pytest

from mesh7_cli.desk import Desk, Wish
from tests.cli.people_gateway import ID, OTHER, held


def desk_with(*identifiers: str, is_whole: bool = True) -> Desk:
    """A desk with these waiting and the first on top since second 10."""
    desk = Desk()
    desk.listed([held(one) for one in identifiers])
    if identifiers:
        desk.show(desk.next(), 10.0, is_whole=is_whole)
    return desk


@pytest.mark.promise("A11")
@pytest.mark.parametrize(
    ("key", "wish"),
    [("a", Wish.APPROVE), ("d", Wish.DENY), ("s", Wish.NEXT), ("?", Wish.HELP), ("q", Wish.QUIT)],
)
def test_each_key_has_its_meaning_once_the_card_was_there_for_a_moment(
    key: str, wish: Wish
) -> None:
    """docs/reference/commands.md, watch."""
    assert desk_with(ID).press(key, 10.5) is wish


@pytest.mark.promise("A11")
@pytest.mark.parametrize("key", ["a", "d", "s", "f"])
def test_a_key_that_was_typed_ahead_of_its_card_means_nothing(key: str) -> None:
    """Issue 4: half a second, so that typing ahead approves nothing."""
    assert desk_with(ID).press(key, 10.49) is Wish.NOTHING


@pytest.mark.promise("A11")
@pytest.mark.parametrize("key", ["aa", "\x1b[A", "A", "", "\n", "y", "ä", "\x1ba"])
def test_only_the_single_letters_decide(key: str) -> None:
    """A paste, an arrow key or another letter decides nothing."""
    assert desk_with(ID).press(key, 99.0) is Wish.NOTHING


@pytest.mark.promise("A11")
def test_a_yes_needs_arguments_that_were_shown_in_full() -> None:
    """Issue 4: the approver sees the exact arguments."""
    desk = desk_with(ID, is_whole=False)
    assert desk.press("a", 99.0) is Wish.UNSEEN
    assert desk.press("d", 99.0) is Wish.DENY
    desk.show(ID, 99.0, is_whole=True)
    assert desk.press("a", 100.0) is Wish.APPROVE


@pytest.mark.promise("A5")
def test_without_a_card_no_key_decides() -> None:
    """A key is for the card on top and for no other."""
    desk = desk_with()
    assert [desk.press(key, 99.0) for key in "ads"] == [Wish.NOTHING] * 3


@pytest.mark.promise("A11")
def test_a_card_that_was_decided_elsewhere_takes_no_key_any_more() -> None:
    """The next card is not decided by the key that was meant for the last one."""
    desk = desk_with(ID, OTHER)
    assert desk.changed(held(ID, state="denied")) is True
    assert desk.press("a", 99.0) is Wish.NOTHING
    assert desk.next() == OTHER


@pytest.mark.promise("A11")
def test_a_skipped_card_waits_on_and_comes_again_when_asked_for() -> None:
    """docs/reference/commands.md, watch: `s` goes on to the next."""
    desk = desk_with(ID, OTHER)
    desk.put_by()
    assert desk.next() == OTHER
    desk.show(OTHER, 20.0, is_whole=True)
    desk.put_by()
    assert (desk.next(), desk.waiting) == ("", 2)
    assert desk.press("s", 21.0) is Wish.AGAIN
    desk.again()
    assert desk.next() == ID


@pytest.mark.promise("A11")
def test_a_new_list_after_a_restart_replaces_what_was_known() -> None:
    """What the gateway does not list does not wait, whatever was shown before."""
    desk = desk_with(ID)
    assert desk.listed([held(OTHER), held(ID, state="approved")]) is True
    assert (desk.top, desk.next(), desk.waiting) == ("", OTHER, 1)
