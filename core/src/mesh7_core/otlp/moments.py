"""What all instruments read at one moment."""

from collections.abc import Sequence
from dataclasses import dataclass

from mesh7_core.telemetry.instruments import Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All readings of a program.

    Attributes:
        since_ns: Unix time of its start, from which counters count.
        at_ns: Unix time of the readings.
    """

    since_ns: int
    at_ns: int
    readings: Sequence[Reading]
