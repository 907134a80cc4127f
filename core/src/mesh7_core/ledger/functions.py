"""Our function library in a Redis: its name, its text, and how it gets there.

The library and its functions carry the hash of the text, so gateways of two releases use the same
server side by side, and nobody's calls change under him. Nothing is ever replaced. Whoever loads
it keeps the release before it too and takes older ones away; `REVISION` says which is older.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from typing import Final

import hiredis

from mesh7_core.ledger import redis_troubles, resp, resp_client
from mesh7_core.ledger.protocol import LOST

REVISION: Final = 2
"""Grows with each release that changes `functions.lua` (`tests/core/ledger/test_redis_library`)."""
_PLACE: Final = "@LIBRARY@"


@dataclass(frozen=True, slots=True)
class Library:
    """A function library, ready to be loaded.

    Attributes:
        name: `m7_<revision>_<12 digits of the hash>`; its functions are `<name>_<function>`.
        text: Lua.
    """

    name: str
    text: str


def written() -> str:
    """`functions.lua` as it stands in this distribution."""
    return resources.files("mesh7_core.ledger").joinpath("functions.lua").read_text("utf-8")


def library_of(text: str, revision: int = REVISION) -> Library:
    """Give a text its name."""
    name = f"m7_{revision}_{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    return Library(name, text.replace(_PLACE, name))


async def load(pipeline: resp.Pipeline, library: Library) -> str:
    """Load the library if it is missing, and take away what is older than the release before it.

    A user without any right to FUNCTION loads nothing: whether somebody else has, calls will tell.

    Returns:
        Why it could not be loaded, for people; empty when it is there.
    """
    listed = await resp_client.ask(pipeline, "FUNCTION", "LIST", "LIBRARYNAME", "m7_*")
    if listed is LOST:
        return "it does not answer within a second"
    if isinstance(listed, hiredis.ReplyError):
        return "" if redis_troubles.is_forbidden(listed) else redis_troubles.of_error(listed)
    present = codes(listed)
    if library.name not in present:
        loaded = await resp_client.ask(pipeline, "FUNCTION", "LOAD", library.text)
        # Another gateway may have been faster.
        if isinstance(loaded, hiredis.ReplyError) and "already exists" not in str(loaded):
            return redis_troubles.of_loading(loaded)
    for name in outdated(present, library.name):
        await resp_client.ask(pipeline, "FUNCTION", "DELETE", name)
    return ""


def outdated(present: Iterable[str], ours: str) -> list[str]:
    """The libraries older than the one before ours; newer ones are somebody else's business."""
    revision = _revision(ours)
    before = [name for name in present if 0 < _revision(name) < revision]
    kept = max((_revision(name) for name in before), default=0)
    return sorted(name for name in before if _revision(name) < kept)


def _revision(name: str) -> int:
    """0 = not a name of ours."""
    parts = name.split("_")
    is_ours = len(parts) == 3 and parts[0] == "m7" and parts[1].isdigit()  # noqa: PLR2004
    return int(parts[1]) if is_ours else 0


def codes(listed: object) -> dict[str, str]:
    """Name and text in the answer of FUNCTION LIST: maps, or lists of keys and values in turn.

    The text is empty unless it was asked for (WITHCODE).
    """
    found: dict[str, str] = {}
    for entry in listed if isinstance(listed, list) else ():
        pairs = (
            entry if isinstance(entry, dict) else dict(zip(entry[::2], entry[1::2], strict=False))
        )
        name, code = pairs.get(b"library_name"), pairs.get(b"library_code", b"")
        if isinstance(name, bytes) and isinstance(code, bytes):
            found[name.decode("ascii", "replace")] = code.decode("utf-8", "replace")
    return found
