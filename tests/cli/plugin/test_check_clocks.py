"""`kubectl mesh7 check`: clocks that differ, by the API server's own."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from mesh7_cli.checks import catalogue, findings, gathering
from mesh7_cli.checks.findings import Finding, Grade
from tests.cli.plugin import worlds
from tests.cli.plugin.worlds import Near, Object


def _clock(*seconds: float) -> Callable[[], datetime]:
    """Tells these seconds after the world's time, one after the other, the last for ever."""
    left = list(seconds)
    return lambda: worlds.NOW + timedelta(seconds=left.pop(0) if len(left) > 1 else left[0])


def _found(clock: Callable[[], datetime], *further: Object, told: str = "") -> Finding:
    given = {"clock": told} if told else {}
    near = Near([*worlds.installed(), *further], **given)
    facts = gathering.after(near, worlds.RELEASE, clock)
    (answer,) = [
        one for one in findings.answers(catalogue.AFTER, facts) if one.check.name == "clocks"
    ]
    return answer.finding


def _node(renewed: str) -> Object:
    return worlds.named("Lease", "node1", "kube-node-lease", spec={"renewTime": renewed})


@pytest.mark.parametrize(
    ("clock", "told"),
    [
        (_clock(60), "yours: 59 s ahead of the API server"),
        (_clock(-60), "yours: 60 s behind the API server"),
    ],
    ids=["ahead", "behind"],
)
def test_a_persons_clock_that_differs_is_told(clock: Callable[[], datetime], told: str) -> None:
    """Issue 7: clock skew."""
    found = _found(clock)
    assert (found.grade, found.details[0]) == (Grade.WARN, told)


def test_a_slow_answer_is_no_difference() -> None:
    """A login in a browser takes a minute, and both clocks are right."""
    assert _found(_clock(-70, -65, 2)).grade is Grade.OK


@pytest.mark.parametrize(
    ("renewed", "details"),
    [
        ("2026-11-21T12:01:00Z", ("node node1: 59 s ahead of the API server",)),
        # Behind, or dead: that is another question.
        ("2026-11-21T11:00:00Z", ()),
    ],
)
def test_a_node_that_renews_in_the_future_is_told(renewed: str, details: tuple[str, ...]) -> None:
    """Sidecars on it let grants lapse too soon."""
    assert _found(_clock(0), _node(renewed)).details == details


def test_a_lease_renewed_while_we_asked_is_none_in_the_future() -> None:
    """What is read a minute after the API server told its time may be a minute younger."""
    assert _found(_clock(0, 0, 0, 60), _node("2026-11-21T12:01:00Z")).details == ()


def test_an_api_server_that_tells_no_time_is_not_doubted() -> None:
    """A review without its time; the next release may leave it away."""
    assert _found(_clock(99), told="soon").grade is Grade.OK


def test_the_clock_of_tests_is_aware() -> None:
    """Everything above compares with it."""
    assert worlds.now().tzinfo is UTC
