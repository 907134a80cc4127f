"""What is told while held calls are watched, whoever tells it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import click

from mesh7_core import errors


@dataclass(frozen=True, slots=True)
class Listed:
    """All requests that are open now; what is not among them is not open."""

    requests: tuple[dict[str, object], ...]


@dataclass(frozen=True, slots=True)
class Changed:
    """One request as it is now."""

    request: dict[str, object]


@dataclass(frozen=True, slots=True)
class Away:
    """Whoever tells is gone, or has lost what it tells of, and is being looked for."""

    why: str


@dataclass(frozen=True, slots=True)
class Ended:
    """There will be nothing more: nobody may be told, or nobody was ever there."""

    error: errors.Mesh7Error | click.ClickException


Event = Listed | Changed | Away | Ended


class Follower(Protocol):
    """Follows the held calls; whoever waits for a key waits for changes with the same `select`."""

    def fileno(self) -> int:
        """Readable when there are events to take."""

    def take(self) -> Iterator[Event]:
        """The events there are; waits for the first."""
