"""What a tool's definition is, as one text and its digest, and what pinning makes of it.

Taken in is whatever a model reads or a client acts by: every field of the listed tool but `icons`,
and the instructions of its server. So name, title, description, both schemas and annotations
count; `execution` and `_meta` too, because clients choose by them how a call is made and shown,
and so does a field that no revision of MCP knows yet. `icons` are looked at by people alone, and
their addresses are often signed anew each time. Pure: no clock, no network, no logging.
"""

import hashlib
from enum import StrEnum
from typing import Final

from mesh7_core.policy import bundle, canonical

OUTSIDE: Final = frozenset({"icons"})
"""Fields of a listed tool that the digest leaves out."""


class State(StrEnum):
    """How a tool's definition stands to what people accepted."""

    ACCEPTED = "accepted"
    CHANGED = "changed"
    NEW = "new"
    UNPINNED = "-"


def text(raw: bytes, instructions: str) -> str:
    """The definition in canonical spelling, `{"instructions": …, "tool": {…}}`.

    Blanks, order of members and escapes of `raw` do not matter; anything else does.

    Args:
        raw: the tool as listed, strict JSON.
        instructions: of its server; empty when it gives none.
    """
    listed = canonical.read(raw)
    if not isinstance(listed, dict):
        raise ValueError("a definition is an object")  # noqa: TRY004
    tool = {key: value for key, value in listed.items() if key not in OUTSIDE}
    return canonical.written({"instructions": instructions, "tool": tool})


def digest(definition: str) -> str:
    """`sha256:` and 64 hex digits of a definition as `text` spells it."""
    return f"sha256:{hashlib.sha256(definition.encode()).hexdigest()}"


def state(pinning: bundle.Pinning, accepted: str, baseline: str, found: str) -> State:
    """How the digest `found` stands under a source's pinning.

    Args:
        pinning: the source's mode.
        accepted: the digest that a person accepted; empty when there is none.
        baseline: the digest that was seen first; empty when none was. Under `Enforce` it means
            nothing: there is no trust on first use.
        found: the digest of the definition as it is listed now.
    """
    if pinning is bundle.Pinning.IGNORE:
        return State.UNPINNED
    if accepted:
        return State.ACCEPTED if accepted == found else State.CHANGED
    if pinning is bundle.Pinning.WARN and baseline and baseline != found:
        return State.CHANGED
    return State.NEW


def is_served(pinning: bundle.Pinning, found: State) -> bool:
    """Whether a tool in this state may be listed and called."""
    return pinning is not bundle.Pinning.ENFORCE or found is State.ACCEPTED
