"""A span as a value: what every program of ours makes and `mesh7_core.otlp` sends.

Names and attributes stand in `conventions`. Pure: no clock, no network, no logging.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from mesh7_core.telemetry.context import Context

Value = str | int | float | bool | Sequence[str]


class Kind(IntEnum):
    """As OTLP numbers them."""

    INTERNAL = 1
    SERVER = 2
    CLIENT = 3
    PRODUCER = 4
    CONSUMER = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened within a span, at a Unix time in nanoseconds."""

    name: str
    at_ns: int
    attributes: Mapping[str, Value] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Span:
    """One finished span; nobody changes it. Not frozen: that costs three times as much (design 13).

    Attributes:
        name: low in number (`tools/call refund`).
        parent_id: of the span that it is part of, 16 hex digits; empty for a root.
        began_ns, ended_ns: Unix time in nanoseconds.
        error: the description of what went wrong; None = nothing did. `error.type` is among the
            attributes then.
        links: other traces that belong to it.
    """

    name: str
    kind: Kind
    context: Context
    parent_id: str
    began_ns: int
    ended_ns: int
    attributes: Mapping[str, Value]
    error: str | None = None
    events: tuple[Event, ...] = ()
    links: tuple[Context, ...] = ()
