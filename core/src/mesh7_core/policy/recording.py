"""What the policies that select an agent let records show of its arguments.

Pure: no clock, no network, no logging.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mesh7_core.policy.rules import ArgumentRecord, Policy

_BY_REVEALING: Final = (ArgumentRecord.DIGEST, ArgumentRecord.REDACTED, ArgumentRecord.FULL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """More than their digest.

    Attributes:
        is_full: values beside names such as `password` are shown, too, unless they look secret.
        redact: JSONPaths of what is never shown.
    """

    is_full: bool
    redact: tuple[str, ...]


def recording_of(policies: Iterable[Policy]) -> Recording | None:
    """The least that any policy says; None = digests alone, as when none says anything.

    Args:
        policies: all that select the agent, in whatever mode.
    """
    selected = tuple(policies)
    said = {one.arguments for one in selected if one.arguments is not None}
    least = next((word for word in _BY_REVEALING if word in said), ArgumentRecord.DIGEST)
    if least is ArgumentRecord.DIGEST:
        return None
    paths = {path: None for one in selected for path in one.redact}
    return Recording(is_full=least is ArgumentRecord.FULL, redact=tuple(paths))
