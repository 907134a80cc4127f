"""What an instrument is, and what one reads: the terms that the table of all of them is written in.

The table is `sidecar_instruments` and `operator_instruments`; the programs make their metrics from
it, and docs/reference/telemetry.md is generated from it. Names are OpenTelemetry's; how Prometheus
spells them follows from name, kind and unit.
Pure: no clock, no network, no logging.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

OTHER: Final = "other"
"""The value of a label that stands for all that are too many, or that nobody but a caller named."""

_SUFFIXES: Final = {"s": "_seconds", "By": "_bytes", "d": "_days"}


class Kind(StrEnum):
    """What a number does."""

    COUNTER = "counter"
    """It only grows, and begins at 0 with the process."""
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Program(StrEnum):
    """Who makes it."""

    SIDECAR = "sidecar"
    CONTROLLER = "controller"
    INJECTOR = "injector"
    EXCHANGE = "exchange"


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One label: a bounded set of values.

    Attributes:
        attribute: as OTLP names it; Prometheus has underscores for dots.
        values: all that there are, when they are few and fixed; empty = what `bound` says.
        bound: in words, why there are never many.
    """

    attribute: str
    values: tuple[str, ...] = ()
    bound: str = ""

    @property
    def name(self) -> str:
        """As Prometheus spells it."""
        return self.attribute.replace(".", "_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """One metric.

    Attributes:
        name: as OTLP names it.
        unit: UCUM: `s`, `By`, `d`, or `{call}` for what is counted; empty = a number without one.
        labels: in the order of the values of a reading.
        help: one short sentence, for a scrape.
        meaning: for the documentation, where there is more to say; Markdown.
        buckets: upper bounds of a histogram, ascending, without the last, infinite one.
    """

    name: str
    programs: tuple[Program, ...]
    kind: Kind
    unit: str = ""
    labels: tuple[Label, ...] = ()
    help: str
    meaning: str = ""
    buckets: tuple[float, ...] = ()

    @property
    def family(self) -> str:
        """As Prometheus names it in `# TYPE`, without `_total`, `_bucket`, `_sum` or `_count`."""
        stem = self.name.replace(".", "_")
        suffix = _SUFFIXES.get(self.unit, "")
        return stem if stem.endswith(suffix) else stem + suffix

    @property
    def samples(self) -> tuple[str, ...]:
        """The names that its samples have in Prometheus."""
        match self.kind:
            case Kind.COUNTER:
                return (f"{self.family}_total",)
            case Kind.GAUGE:
                return (self.family,)
            case Kind.HISTOGRAM:
                return tuple(f"{self.family}_{part}" for part in ("bucket", "sum", "count"))

    @property
    def label_names(self) -> tuple[str, ...]:
        """As Prometheus spells them."""
        return tuple(label.name for label in self.labels)


# Not frozen, as freezing takes three times as long: one scrape makes ten thousand.
@dataclass(slots=True)
class Number:
    """What a counter or gauge reads; nobody changes it.

    Attributes:
        values: of its labels, in their order; an empty one says that the label does not apply.
    """

    values: tuple[str, ...]
    value: float


@dataclass(slots=True)
class Distribution:
    """What a histogram reads; nobody changes it.

    Attributes:
        values: of its labels, in their order.
        counts: how many fell into each bucket and not into the one before; one more than the
            instrument has bounds.
        total: the sum of what was measured, in the instrument's unit.
    """

    values: tuple[str, ...]
    counts: tuple[int, ...]
    total: float


@dataclass(frozen=True, slots=True)
class Reading:
    """All series of one instrument at one moment."""

    instrument: Instrument
    points: Sequence[Number | Distribution]
