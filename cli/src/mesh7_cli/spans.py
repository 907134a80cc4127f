"""Spans of time as people read them. Pure: no clock, no network, no logging."""

from datetime import datetime

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def span(seconds: float) -> str:
    """`45s`, `9m 48s`, `2h 5m`, `3d 4h`; less than nothing is nothing."""
    whole = max(0, int(seconds))
    for size, name, part, part_name in (
        (DAY, "d", HOUR, "h"),
        (HOUR, "h", MINUTE, "m"),
        (MINUTE, "m", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size}{name} {rest}{part_name}" if rest else f"{whole // size}{name}"
    return f"{whole}s"


def since(moment: datetime | None, now: datetime) -> str:
    """How long ago `moment` was; empty when it is not known."""
    return span((now - moment).total_seconds()) if moment is not None else ""


def until(moment: datetime | None, now: datetime) -> str:
    """How long it is until `moment`, `over` when it has passed; empty when it is not known."""
    if moment is None:
        return ""
    return span((moment - now).total_seconds()) if moment > now else "over"
