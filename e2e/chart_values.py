"""The page of a chart's values, from the comments in its values.yaml.

Pure: no clock, no network, no logging.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import yaml

_HEAD = """\
# Helm values

This page is for whoever installs mesh7 with Helm. It is written from `charts/mesh7/values.yaml` by
`make charts`; a key that is not here is refused.

| key | means | default |
|---|---|---|
"""
_MARK = "# -- "


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One key: its path, what its comment says, and its default as YAML."""

    path: str
    meaning: str
    default: str


def page(text: str) -> str:
    """The whole page."""
    return _HEAD + "".join(
        f"| `{one.path}` | {one.meaning} | {_code(one.default)} |\n" for one in values(text)
    )


def values(text: str) -> Iterator[Value]:
    """Every leaf in its order; one that holds maps itself is a leaf when it has a comment."""
    said = _comments(text.splitlines())
    return _leaves(yaml.safe_load(text), "", said)


def _leaves(found: dict[str, object], prefix: str, said: dict[str, str]) -> Iterator[Value]:
    for key, value in found.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict) and value and path not in said:
            yield from _leaves(value, f"{path}.", said)
        else:
            default = yaml.safe_dump(value, default_flow_style=True, width=1000).strip()
            yield Value(
                path=path,
                meaning=said.get(path, "").replace("|", "\\|"),
                default=default.removesuffix("\n...").removesuffix("..."),
            )


def _comments(lines: Sequence[str]) -> dict[str, str]:
    """What is said of each key, by its path."""
    said: dict[str, str] = {}
    above: list[str] = []
    path: list[tuple[int, str]] = []
    for line in lines:
        words = line.strip()
        if words.startswith("#"):
            if words.startswith(_MARK):
                above = [words.removeprefix(_MARK)]
            elif above:
                above.append(words.removeprefix("# "))
            continue
        if words and not words.startswith("-"):
            indent = len(line) - len(line.lstrip())
            path = [*(one for one in path if one[0] < indent), (indent, words.partition(":")[0])]
            if above:
                said[".".join(name for _, name in path)] = " ".join(above)
        above = []
    return said


def _code(default: str) -> str:
    return "" if default in {"''", "{}", "[]"} else f"`{default}`"
