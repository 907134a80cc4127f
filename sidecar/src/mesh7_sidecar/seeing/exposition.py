"""Readings as Prometheus reads them: the text format, or OpenMetrics for whoever asks for it.

Written by hand, because the library's writer makes an object of each line and takes ten times as
long, on the loop that calls go by. Pure: no clock, no network, no logging.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/ and OpenMetrics 1.0.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from mesh7_core.telemetry.instruments import Distribution, Instrument, Kind, Number, Reading

LINES_AT_ONCE: Final = 200
"""As many take less than a millisecond; then calls have their turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """How readings are spelled.

    Attributes:
        is_open_metrics: OpenMetrics: a counter's family has no `_total`.
    """

    content_type: str
    is_open_metrics: bool


TEXT: Final = Format(content_type="text/plain; version=0.0.4; charset=utf-8", is_open_metrics=False)
OPEN_METRICS: Final = Format(
    content_type="application/openmetrics-text; version=1.0.0; charset=utf-8", is_open_metrics=True
)


def wanted(accept: str) -> Format:
    """What the `accept` header asks for; text when it does not say."""
    for offered in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in offered.split(";"))
        if kind != "application/openmetrics-text" or "q=0" in parameters:
            continue
        versions = [each for each in parameters if each.startswith("version=")]
        if not versions or "version=1.0.0" in versions:
            return OPEN_METRICS
    return TEXT


def pieces(readings: Sequence[Reading], spelled: Format) -> Iterator[bytes]:
    """All of it in pieces of about `LINES_AT_ONCE` lines, without what ends OpenMetrics."""
    lines: list[str] = []
    for reading in readings:
        if not reading.points:
            continue
        lines += _about(reading.instrument, spelled)
        for point in reading.points:
            lines += _samples(reading.instrument, point)
            if len(lines) >= LINES_AT_ONCE:
                yield _encoded(lines)
                lines.clear()
    yield _encoded(lines)


def _about(instrument: Instrument, spelled: Format) -> Iterator[str]:
    family = instrument.family
    if instrument.kind is Kind.COUNTER and not spelled.is_open_metrics:
        family = instrument.samples[0]
    yield f"# HELP {family} {_escaped_help(instrument.help)}\n"
    yield f"# TYPE {family} {instrument.kind}\n"


def _samples(instrument: Instrument, point: Number | Distribution) -> Iterator[str]:
    pairs = _pairs(instrument, point.values)
    if isinstance(point, Number):
        yield f"{instrument.samples[0]}{_braced(pairs)} {_number(point.value)}\n"
        return
    bucket, total, count = instrument.samples
    before = f'{bucket}{{{pairs}{"," if pairs else ""}le="'
    below = tuple(accumulate(point.counts))
    for bound, number in zip(instrument.buckets, below, strict=False):
        yield f'{before}{float(bound)}"}} {number}\n'
    yield f'{before}+Inf"}} {below[-1]}\n'
    yield f"{total}{_braced(pairs)} {point.total!r}\n"
    yield f"{count}{_braced(pairs)} {below[-1]}\n"


def _braced(pairs: str) -> str:
    return f"{{{pairs}}}" if pairs else ""


def _pairs(instrument: Instrument, values: tuple[str, ...]) -> str:
    """`name="value",…`; a label that does not apply is left out, which Prometheus takes alike."""
    return ",".join(
        f'{name}="{_escaped(value)}"'
        for name, value in zip(instrument.label_names, values, strict=True)
        if value
    )


def _escaped(value: str) -> str:
    if value.isalnum():
        return value
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _escaped_help(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else repr(value)


def _encoded(lines: list[str]) -> bytes:
    # A lone surrogate has no UTF-8: one bad name must not hide all the rest.
    return "".join(lines).encode("utf-8", "replace")
