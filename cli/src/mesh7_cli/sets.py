"""Which files make one set, and what the compiler says of it.

A folder is read exactly as the gateway reads it, so what is checked is what would be in force.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mesh7_cli import hosting
from mesh7_core import errors
from mesh7_core.compiling import compiler, diagnostics
from mesh7_sidecar.bundles import folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Set:
    """Manifests that are compiled together.

    Attributes:
        base: what the keys of `files` are relative to, as the user spelled it.
        files: content by path.
    """

    base: str
    files: dict[str, bytes]

    def compile(self, namespace: str | None) -> compiler.Compiled:
        """What the gateway would make of it, `${NAME}` read from our own environment."""
        return compiler.compile_files(
            self.files, namespace=namespace, environment=hosting.environment()
        )

    def located(self, found: Iterable[diagnostics.Diagnostic]) -> list[diagnostics.Diagnostic]:
        """The findings under paths that the user can open from where they are."""
        return [diagnostic.located_in(self.base) for diagnostic in found]


def sets_in(path: Path) -> list[Set]:
    """The sets that `path` stands for.

    A file is a set of its own. A folder with manifests, or with a `baseline` folder, is one set.
    Any other folder stands for the sets in its sub-folders, so `examples/` is checked one by one.

    Raises:
        SettingsError: it cannot be read.
    """
    if path.is_file():
        return [file_set([path])]
    if _is_set(path):
        return [Set(base=str(path), files=folder.read(path))]
    found: list[Set] = []
    for below in _folders(path):
        found.extend(sets_in(below))
    return found


def one_set(path: Path) -> Set:
    """The folder or file as one set, whatever its shape.

    Raises:
        SettingsError: it cannot be read.
    """
    return file_set([path]) if path.is_file() else Set(base=str(path), files=folder.read(path))


def file_set(paths: Iterable[Path]) -> Set:
    """Single files as one set.

    Raises:
        SettingsError: one cannot be read.
    """
    return Set(base="", files={str(path): read_file(path) for path in paths})


def read_file(path: Path) -> bytes:
    """The content of a file that the user named.

    Raises:
        SettingsError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        message = f"{path}: cannot be read: {error.strerror} – give a manifest or a folder of them"
        raise errors.SettingsError(message) from error


def _is_set(path: Path) -> bool:
    with _scan(path) as entries:
        return any(
            entry.name == "baseline" or entry.name.endswith(folder.SUFFIXES)
            for entry in entries
            if not entry.name.startswith(".")
        )


def _folders(path: Path) -> list[Path]:
    with _scan(path) as entries:
        return sorted(
            path / entry.name
            for entry in entries
            if entry.is_dir() and not entry.name.startswith(".")
        )


def _scan(path: Path) -> "os._ScandirIterator[str]":
    try:
        return os.scandir(path)
    except OSError as error:
        message = f"{path}: cannot be read: {error.strerror} – give a manifest or a folder of them"
        raise errors.SettingsError(message) from error
