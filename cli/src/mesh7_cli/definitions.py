"""Tool definitions as people read them before they accept one.

Descriptions are written by servers that nobody vouches for: nothing of them reaches a terminal
that moves a cursor or hides. Pure: no clock, no network, no logging.
"""

import difflib
from collections.abc import Mapping

from mesh7_cli import neutral, reading, spelled

_INDENT = "  "
_SHOWN_NAMES = 3


def full_name(tool: Mapping[str, object]) -> str:
    """`<source>.<tool>`."""
    return f"{reading.text(tool, 'source')}.{reading.text(tool, 'name')}"


def shown(tool: Mapping[str, object]) -> list[str]:
    """A tool of `/control/tools`: its state and its definition, or what changed in it."""
    lines = [f"{neutral.line(full_name(tool))}  {reading.text(tool, 'state')}"]
    expected, digest = reading.text(tool, "expected"), reading.text(tool, "digest")
    if expected and expected != digest:
        lines.append(f"{_INDENT}before  {expected}")
    lines.append(f"{_INDENT}now     {digest}")
    now = _written(reading.one(tool, "definition"))
    before = reading.one(tool, "before")
    if not before:
        return [*lines, *(_INDENT + line for line in now)]
    changes = list(difflib.unified_diff(_written(before), now, "before", "now", lineterm=""))
    return [*lines, *(_INDENT + line for line in changes)]


def _written(definition: Mapping[str, object]) -> list[str]:
    """A definition, text by text and line by line, so that two of them can be compared."""
    lines: list[str] = []
    for key, value in reading.one(definition, "tool").items():
        lines += _field(key, value)
    instructions = reading.text(definition, "instructions")
    return lines + (_field("instructions of its server", instructions) if instructions else [])


def _field(name: str, value: object) -> list[str]:
    text = neutral.lines(value) if isinstance(value, str) else spelled.pretty(value)
    first, *more = text.split("\n")
    return [f"{neutral.line(name)}: {first}", *(_INDENT + line for line in more)]


def unsettled(source: Mapping[str, object]) -> str:
    """What of a source's pinning a person should look at; empty when there is nothing.

    Args:
        source: one of `/control/status`.
    """
    pinning = reading.one(source, "pinning")
    mode = reading.text(pinning, "mode")
    found = [
        (reading.texts(pinning, "changed"), "changed"),
        (reading.texts(pinning, "new") if mode == "Enforce" else [], "not accepted"),
        (reading.texts(pinning, "unlisted"), "accepted but not listed"),
    ]
    told = [f"{len(names)} {what} ({_some(names)})" for names, what in found if names]
    if not told:
        return ""
    name = reading.text(source, "name")
    return f"tools of `{name}` under `pinning: {mode}`: {', '.join(told)} – see `mesh7 tools`"


def _some(names: list[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:_SHOWN_NAMES])
    return f"{shown}, …" if len(names) > _SHOWN_NAMES else shown
