"""Bounded waits: a claim about the outside world comes true in time, or an error names it."""

import time
from collections.abc import Callable

_STEP_S = 0.03


class ClusterError(Exception):
    """The test cluster is not as it should be; the message says what, where and what to do."""


class NotInTimeError(ClusterError):
    """What was waited for did not come true."""


def until(claim: Callable[[], bool], what: str, *, timeout_s: float) -> None:
    """Ask until the claim holds; for what gives no event to wait on.

    Args:
        claim: asked every 30 ms; what it raises ends the wait (a component that died, for one).
        what: the claim in words, for the error.
        timeout_s: how long to ask.

    Raises:
        NotInTimeError: it did not come true in time.
    """
    deadline = time.monotonic() + timeout_s
    while not claim():
        if time.monotonic() > deadline:
            raise NotInTimeError(f"{what} – did not come true within {timeout_s:.0f} s")
        time.sleep(_STEP_S)
