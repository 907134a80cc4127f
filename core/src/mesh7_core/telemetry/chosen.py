"""Names and other short texts that callers chose, as records and spans show them.

Bounded, and without what may be secret in them: secrets by shape, and of a URI who is logged in,
the query and the fragment. Pure: no clock, no network, no logging.
"""

import re
from typing import Final

from mesh7_core.telemetry import secrets

MASK: Final = "***"
"""Stands where something was."""
MOST: Final = 300
"""Characters; what is longer could fill a disk (X11)."""
MOST_REMEMBERED: Final = 1024

_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_URLS: Final = re.compile(r"://([^\s/?#]*@)?([^\s?#]*+)(?:([?#])\S+)?")
_ASKED: Final = re.compile(r"([?#]).+", re.DOTALL)


def text(given: str, *, is_uri: bool = False, most: int = MOST) -> str:
    """What may be shown of it. Args: is_uri: it is one, else there may be some in it."""
    kept = given[: most + secrets.LONGEST]
    if "://" in kept:
        kept = _URLS.sub(_bare, kept)
    if is_uri:
        kept = _ASKED.sub(rf"\g<1>{MASK}", kept)
    kept = secrets.masked(kept, MASK)
    return kept if len(kept) <= most else kept[:most] + "…"


def is_uri(name: str) -> bool:
    """Whether a name, with or without its source before it, looks like a URI."""
    return _URI.match(name) is not None


def _bare(url: re.Match[str]) -> str:
    user = f"{MASK}@" if url[1] else ""
    asked = f"{url[3]}{MASK}" if url[3] else ""
    return f"://{user}{url[2]}{asked}"


class Texts:
    """The same of names, paths and ids, and remembers it: most calls name what others named."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def text(self, given: str) -> str:
        """What may be shown of it."""
        found = self._known.get(given)
        return self._fresh(given) if found is None else found

    def _fresh(self, given: str) -> str:
        made = text(given)
        if len(given) <= MOST:
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            self._known[given] = made
        return made
