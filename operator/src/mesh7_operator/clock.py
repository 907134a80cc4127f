"""The clocks that the operator's programs are handed; only `main` makes the real ones."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """What may be asked for the time.

    Attributes:
        wall_ns: Unix time in nanoseconds.
        monotonic_s: never goes back; for spans and deadlines.
    """

    wall_ns: Callable[[], int]
    monotonic_s: Callable[[], float]

    def wall_ms(self) -> int:
        """Unix time in milliseconds."""
        return self.wall_ns() // 1_000_000

    def now(self) -> datetime:
        """The wall time, aware, in UTC."""
        return datetime.fromtimestamp(self.wall_ns() / 1e9, UTC)
