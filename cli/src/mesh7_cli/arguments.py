"""The JSON object of arguments that people give on the command line, by file or on stdin."""

import json
import sys
from pathlib import Path

import click


def read(given: str | None) -> dict[str, object]:
    """The arguments of a call: `{…}`, `@file`, `-` for stdin; None means none.

    Duplicate keys, NaN and anything but an object are refused, as the gateway would refuse them.

    Raises:
        click.UsageError: it cannot be read as arguments; the text itself is never quoted.
    """
    if given is None:
        return {}
    where, text = _source(given)
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        message = f"{where} is not JSON: line {error.lineno}, column {error.colno}: {error.msg}"
        raise click.UsageError(message) from error
    except (ValueError, RecursionError) as error:
        message = f"{where} is not strict JSON: {error}"
        raise click.UsageError(message) from error
    if not isinstance(value, dict):
        message = f'{where} must be a JSON object such as {{"path": "README.md"}}'
        raise click.UsageError(message)
    return value


def _source(given: str) -> tuple[str, str]:
    if given == "-":
        return "the text on stdin", sys.stdin.read()
    if not given.startswith("@"):
        return "the argument JSON", given
    path = Path(given[1:])
    try:
        return f"`{path}`", path.read_text(encoding="utf-8")
    except OSError as error:
        message = f"`{path}` cannot be read: {error.strerror}"
        raise click.UsageError(message) from error
    except UnicodeDecodeError as error:
        message = f"`{path}` is not UTF-8 text"
        raise click.UsageError(message) from error


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            message = f"key `{key}` stands there twice"
            raise ValueError(message)
        found[key] = value
    return found


def _no_constant(name: str) -> object:
    message = f"{name} is no JSON number"
    raise ValueError(message)
