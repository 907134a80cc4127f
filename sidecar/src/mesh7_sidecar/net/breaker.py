"""When a source that is down is left alone, and when one call may look whether it is up again.

Pure: no clock, no network, no logging; the time is an argument.

    state     failures in a row     a call                            its outcome
    working   fewer than 5          goes out                          an answer → 0 in a row
    resting   5 or more             fails at once until `rest_s`      -
                                    after the last failure or probe
    probing   5 or more             one goes out, the others fail     an answer → working
                                    at once for another `rest_s`      a failure → resting

A probe is a permission that runs out, not a call that is remembered: one that its caller gave up,
or that waits long for its answer, makes room for the next after `rest_s`.
"""

from typing import Final

FAILURES: Final = 5
"""This many in a row mean that the source is down."""


class Breaker:
    """One source's.

    Attributes:
        failures: in a row so far; 0 = the last thing heard of the source was an answer.
    """

    __slots__ = ("_rest_s", "_rests_until", "failures")

    def __init__(self, rest_s: float) -> None:
        self.failures = 0
        self._rest_s = rest_s
        self._rests_until = 0.0

    @property
    def is_open(self) -> bool:
        """The source counts as down."""
        return self.failures >= FAILURES

    def admits(self, now: float) -> bool:
        """Whether a call may go out; one that may while the source is down is the probe.

        Args:
            now: seconds of a clock that never goes back; the same one for `failed`.
        """
        if self.failures < FAILURES:
            return True
        if now < self._rests_until:
            return False
        self._rests_until = now + self._rest_s
        return True

    def failed(self, now: float) -> None:
        """A call failed in a way that says: nobody is there."""
        self.failures += 1
        self._rests_until = now + self._rest_s

    def answered(self) -> None:
        """An answer began, whatever its status."""
        self.failures = 0
