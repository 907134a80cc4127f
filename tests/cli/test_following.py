"""Changes read by a thread: through losses, without end of memory, and ended when nobody reads."""

import select
import threading
from collections.abc import Callable, Iterator

import pytest

from mesh7_cli import changes, following
from mesh7_core import errors

_PATIENCE_S = 30.0
_LISTED = changes.Listed(())


class Scripted:
    """Tells what each connection is to tell; the last one again and again until it is hung up."""

    def __init__(self, *connections: Callable[[], Iterator[changes.Event]]) -> None:
        self._left = list(connections)
        self.is_hung_up = threading.Event()

    def told(self) -> Iterator[changes.Event]:
        if self._left:
            yield from self._left.pop(0)()
        else:
            self.is_hung_up.wait(_PATIENCE_S)

    def hang_up(self) -> None:
        self.is_hung_up.set()


def _telling(*events: changes.Event) -> Callable[[], Iterator[changes.Event]]:
    return lambda: iter(events)


def _lost(*events: changes.Event, why: str = "it is lost") -> Callable[[], Iterator[changes.Event]]:
    def told() -> Iterator[changes.Event]:
        yield from events
        raise errors.ClusterError(why)

    return told


def _taken(follower: following.Follower, count: int) -> list[changes.Event]:
    found: list[changes.Event] = []
    while len(found) < count:
        ready, _, _ = select.select([follower.fileno()], [], [], _PATIENCE_S)
        assert ready
        found.extend(follower.take())
    return found


def test_a_lost_connection_is_told_and_another_one_made() -> None:
    """Issue 4: `watch` reconnects."""
    with following.Follower(Scripted(_lost(_LISTED), _telling(_LISTED))) as follower:
        assert _taken(follower, 3) == [_LISTED, changes.Away("it is lost"), _LISTED]


def test_a_connection_that_lived_its_time_is_followed_by_another_without_a_word() -> None:
    """An API server ends each watch some time."""
    with following.Follower(Scripted(_telling(_LISTED), _telling(_LISTED))) as follower:
        assert _taken(follower, 2) == [_LISTED, _LISTED]


def test_what_was_never_there_is_the_end() -> None:
    """Who may not look is told so, and not for ever."""
    with following.Follower(Scripted(_lost(why="you may not"))) as follower:
        (ended,) = _taken(follower, 1)
    assert isinstance(ended, changes.Ended)
    assert str(ended.error) == "you may not"


def test_whoever_tells_more_than_is_taken_waits() -> None:
    """Bounded memory: a person reads one card while thousands of calls are held."""
    told = 0

    def flood() -> Iterator[changes.Event]:
        nonlocal told
        while True:
            told += 1
            yield changes.Changed({"id": str(told)})

    source = Scripted(flood)
    with following.Follower(source) as follower:
        # Never more than have room, and one in hand.
        assert len(_taken(follower, 10 * following.MOST)) >= 10 * following.MOST
        assert told <= 12 * following.MOST
    assert source.is_hung_up.is_set()


@pytest.mark.parametrize("connections", [(), (_telling(_LISTED),)], ids=["silent", "between two"])
def test_whoever_stops_following_ends_the_thread(
    connections: tuple[Callable[[], Iterator[changes.Event]], ...],
) -> None:
    """No thread and no descriptor is left behind."""
    before = threading.active_count()
    follower = following.Follower(Scripted(*connections))
    with follower:
        _taken(follower, len(connections))
    assert threading.active_count() == before
