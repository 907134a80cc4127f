"""What became of telemetry: how much was taken, how much was dropped and why.

Numbers of one signal; `Sender` counts, metrics read.
"""

from enum import StrEnum


class Lost(StrEnum):
    """Why something was dropped."""

    QUEUE_FULL = "queue-full"
    """More was made than is sent."""
    UNREACHABLE = "unreachable"
    """No connection, or it broke; TLS that fails counts as this."""
    TIMED_OUT = "timed-out"
    """The collector took it and did not answer."""
    REFUSED = "refused"
    """The collector answered that it does not take it, or took only a part; or it could not be
    written as OTLP in the first place."""
    CLOSED = "closed"
    """The program ended first."""


class Counts:
    """Of one signal. Plain numbers: whoever reads them may be one addition behind.

    Attributes:
        sent: items that the collector took.
        lost: items that were dropped, by reason; all reasons are there from the start.
    """

    __slots__ = ("lost", "sent")

    def __init__(self) -> None:
        self.sent = 0
        self.lost: dict[Lost, int] = dict.fromkeys(Lost, 0)
