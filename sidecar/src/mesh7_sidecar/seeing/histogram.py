"""One histogram: for each set of labels a list of whole numbers. Pure: no clock, no network."""

from bisect import bisect_left
from typing import Final

from mesh7_core.telemetry.instruments import Distribution, Instrument, Reading

Values = tuple[str, ...]
_NS: Final = 1_000_000_000


class Histogram:
    """One instrument's series; each is its counts by bucket and, last, the sum in nanoseconds."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.bounds = tuple(round(bound * _NS) for bound in instrument.buckets)
        self.series: dict[Values, list[int]] = {}

    def of(self, values: Values) -> list[int]:
        """The series with these labels, made when there is none."""
        found = self.series.get(values)
        if found is None:
            found = self.series[values] = [0] * (len(self.bounds) + 2)
        return found

    def add(self, series: list[int], took_ns: int) -> None:
        """Count one; a clock that goes back takes nothing away."""
        took_ns = max(took_ns, 0)
        series[bisect_left(self.bounds, took_ns)] += 1
        series[-1] += took_ns

    def reading(self) -> Reading:
        """All of it."""
        points = [
            Distribution(values, tuple(series[:-1]), series[-1] / _NS)
            for values, series in self.series.items()
        ]
        return Reading(self.instrument, points)
