"""Manifests in files as their writers spelled them: what nobody changes is given back verbatim."""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import click
import yaml

from mesh7_core import errors

STDIN: Final = "-"
_SUFFIXES: Final = {".yaml", ".yml", ".json"}
# kubectl reads times as texts, too.
_TIME: Final = "tag:yaml.org,2002:timestamp"


class _Loader(yaml.CSafeLoader):
    """YAML as kubectl reads it."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as PyYAML declares it
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIME]
        for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One document of a file.

    Attributes:
        file: as the person named it; `stdin` for `-`.
        line: where it begins, after its mark.
        text: as it was written, without the mark before it.
        value: what it means; never None.
    """

    file: str
    line: int
    text: str
    value: object


def read_all(paths: Sequence[str], *, is_deep: bool) -> list[Document]:
    """Every document of files and folders in order; empty ones are left out.

    Args:
        paths: files, folders, or `-` for stdin.
        is_deep: folders in folders, too.

    Raises:
        ManifestError: one cannot be read or is not YAML; the message names file and line.
        SettingsError: there is no such file.
    """
    found: list[Document] = []
    for path in paths:
        if path == STDIN:
            found.extend(read(_decoded(_stdin().read(), "stdin"), "stdin"))
            continue
        for file in _files(Path(path), is_deep=is_deep):
            found.extend(read(_text(file), str(file)))
    return found


def read(text: str, file: str) -> list[Document]:
    """The documents of one text.

    Raises:
        ManifestError: it is not YAML.
    """
    if text.lstrip().startswith("{"):
        # YAML knows no tabs between JSON's signs.
        try:
            return [Document(file=file, line=1, text=text, value=json.loads(text))]
        except ValueError:
            pass
    try:
        return list(_documents(text, file))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 1
        raise errors.ManifestError(f"{file}:{line}: this is not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise errors.ManifestError(f"{file}:1: this is not YAML") from error


def written(value: object) -> str:
    """A changed document."""
    text: str = yaml.dump(
        value, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True, width=4096
    )
    return text


def joined(texts: Sequence[str]) -> str:
    """Documents as one text of YAML."""
    return "---\n".join(text if text.endswith("\n") else f"{text}\n" for text in texts)


def _documents(text: str, file: str) -> Iterator[Document]:
    marks = [
        event.start_mark
        for event in yaml.parse(text, _Loader)
        if isinstance(event, yaml.DocumentStartEvent)
    ]
    starts = [(mark.index, mark.line + 1) for mark in marks if mark is not None]
    values = yaml.load_all(text, _Loader)
    for position, ((start, line), value) in enumerate(zip(starts, values, strict=True)):
        end = starts[position + 1][0] if position + 1 < len(starts) else len(text)
        # Comments before the first document are its own.
        own = text[start if position else 0 : end]
        if value is not None:
            kept = _unmarked(own)
            first = (line if position else 1) + (kept != own)
            yield Document(file=file, line=first, text=kept, value=value)


def _unmarked(text: str) -> str:
    first, _, rest = text.partition("\n")
    return rest if first.rstrip() == "---" else text


def _files(path: Path, *, is_deep: bool) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(path.rglob("*") if is_deep else path.iterdir())
    return [one for one in found if one.suffix in _SUFFIXES and one.is_file()]


def _text(path: Path) -> str:
    try:
        return _decoded(path.read_bytes(), str(path))
    except OSError as error:
        reason = (error.strerror or "it cannot be read").lower()
        message = f"--filename `{path}`: {reason} – name a file that is there"
        raise errors.SettingsError(message) from error


def _decoded(content: bytes, file: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise errors.ManifestError(f"{file}:1: this is not UTF-8") from error


def _stdin() -> IO[bytes]:
    if sys.stdin.isatty():
        click.echo("reading manifests from the terminal, end with Ctrl-D", err=True)
    return sys.stdin.buffer
