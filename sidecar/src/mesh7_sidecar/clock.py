"""The clocks that a gateway is handed; only `main` makes the real ones."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """What may be asked for the time.

    Attributes:
        wall_ns: Unix time in nanoseconds.
        monotonic_ns: never goes back; for durations.
        monotonic_s: the same in seconds; for deadlines.
    """

    wall_ns: Callable[[], int]
    monotonic_ns: Callable[[], int]
    monotonic_s: Callable[[], float]

    def now(self) -> datetime:
        """The wall time, aware, in UTC."""
        return datetime.fromtimestamp(self.wall_ns() / 1e9, UTC)
