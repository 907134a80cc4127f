"""What the audit's verbs need of whoever has the records: the files of a laptop, or a cluster."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from mesh7_cli.backend import Voice
from mesh7_core.audit.wanted import Wanted

MOST: Final = 500
"""Records of one page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Which records somebody wants to see.

    Attributes:
        limit: 1 to `MOST`.
        cursor: of the page before; empty = from the newest on.
    """

    wanted: Wanted
    limit: int = MOST
    cursor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Records, newest first.

    Attributes:
        lines: as they are stored, each one JSON object.
        cursor: what the next older page is asked by; empty = there is none.
        notes: what whoever reads should know about what was found, and what was not.
    """

    lines: tuple[str, ...]
    cursor: str = ""
    notes: tuple[str, ...] = ()


class Seal(StrEnum):
    """What the block that a record lies in says of itself; the other blocks are not looked at."""

    AGREES = "agrees"
    DIFFERS = "differs"
    """Something in the block was changed since it was sealed."""
    NONE = "none"
    """It is just being written, a crash left it, or it is of before records were sealed."""
    NOT_CHECKED = "not-checked"


class Records(Protocol):
    """Whoever has them; it raises a Mesh7Error when it cannot say."""

    @property
    def voice(self) -> Voice:
        """How the program speaks that people started."""

    def query(self, wish: Wish) -> Page:
        """The newest records that are wanted.

        A cursor stays good while records come and files or streams grow old: what follows it is
        what is older, no record twice and none left out but those that are no longer kept.
        """

    def seal(self, identifier: str) -> Seal:
        """Of the record with this id, the newest of them."""
