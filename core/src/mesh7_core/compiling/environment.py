"""`${NAME}` in a ToolSource of a folder: filled in from the gateway's own environment.

`$${` stands for a literal `${`. A name that is not set is a mistake and never an empty text.
Pure: no clock, no network, no logging; the environment is an argument.
"""

import re
from collections.abc import Callable, Mapping

from mesh7_core.api.places import Path, shown

_REFERENCE = re.compile(r"\$\$\{|\$\{(?P<name>[^}]*)(?P<end>\}?)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

Refuse = Callable[[Path, str], None]


def fill(value: object, environment: Mapping[str, str], path: Path, refuse: Refuse) -> object:
    """A copy of `value` with every reference in its texts filled in.

    Args:
        value: plain values; keys stay as they are.
        environment: what names are read from.
        path: where `value` stands.
        refuse: told of each reference that cannot be filled in; never given a value.
    """
    match value:
        case str():
            return _fill_text(value, environment, path, refuse) if "${" in value else value
        case dict():
            return {
                key: fill(inner, environment, (*path, key), refuse) for key, inner in value.items()
            }
        case list():
            return [
                fill(inner, environment, (*path, index), refuse)
                for index, inner in enumerate(value)
            ]
        case _:
            return value


def _fill_text(text: str, environment: Mapping[str, str], path: Path, refuse: Refuse) -> str:
    def replacement(match: re.Match[str]) -> str:
        name = match["name"]
        if name is None:
            return "${"
        if not match["end"] or not _NAME.fullmatch(name):
            refuse(path, f"{shown(match[0])} names no variable, write `${{NAME}}`, or `$${{` for "
                   "a literal `${`")  # fmt: skip
        elif name not in environment:
            refuse(path, f"environment variable `{name}` is not set, set it where mesh7 is started")
        else:
            return environment[name]
        return ""

    return _REFERENCE.sub(replacement, text)
