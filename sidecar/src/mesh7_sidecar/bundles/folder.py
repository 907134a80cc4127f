"""A folder of manifests as bytes, and whether it changed since it was last read.

Reading looks at content, never at change events: a rename, an edit in place and a swapped
symlink (a mounted ConfigMap) all count, and none can be missed (D24).
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mesh7_core import errors
from mesh7_core.compiling import folder as manifests

MAXIMUM_FILES = 10_000
MAXIMUM_FILE_BYTES = 16 * 1024 * 1024
MAXIMUM_DEPTH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What tells two states of a folder apart without reading the files."""

    entries: tuple[tuple[str, int, int, int, int], ...]


def signature(directory: Path) -> Signature:
    """Names, sizes, times and inodes of all manifests below `directory`, following symlinks.

    Raises:
        SettingsError: the folder cannot be read.
    """
    return Signature(
        entries=tuple(
            # The change time too: a copy may carry the modification time of what it replaces.
            (str(path), found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)
            for path, found in _manifests(directory)
        )
    )


def read(directory: Path) -> dict[str, bytes]:
    """All manifests below `directory` by their path relative to it, in sorted order.

    Dotfiles and dot-folders are ignored, so an editor's swap file is no policy.

    Raises:
        SettingsError: the folder or a file cannot be read, or a file is too large.
    """
    files: dict[str, bytes] = {}
    for path, found in _manifests(directory):
        if not stat.S_ISREG(found.st_mode):
            # Reading a named pipe would wait for a writer that may never come.
            message = f"{path}: is no file – give a manifest, or another name"
            raise errors.SettingsError(message)
        if found.st_size > MAXIMUM_FILE_BYTES:
            message = f"{path}: larger than {MAXIMUM_FILE_BYTES} bytes – split it"
            raise errors.SettingsError(message)
        try:
            files[path.relative_to(directory).as_posix()] = path.read_bytes()
        except OSError as error:
            message = f"{path}: cannot be read: {error.strerror} – make it readable or remove it"
            raise errors.SettingsError(message) from error
    return files


def _manifests(directory: Path) -> list[tuple[Path, os.stat_result]]:
    try:
        found = sorted(_walk(directory, 0))
    except OSError as error:
        where = error.filename or directory
        message = f"{where}: cannot be read: {error.strerror} – give a folder of manifests"
        raise errors.SettingsError(message) from error
    if len(found) > MAXIMUM_FILES:
        message = f"{directory}: more than {MAXIMUM_FILES} manifests – give a smaller folder"
        raise errors.SettingsError(message)
    return found


def _walk(directory: Path, depth: int) -> Iterator[tuple[Path, os.stat_result]]:
    with os.scandir(directory) as entries:
        for entry in entries:
            if manifests.is_hidden(entry.name):
                continue
            if entry.is_dir():
                # A symlink loop ends here instead of at the kernel's own limit.
                if depth < MAXIMUM_DEPTH:
                    yield from _walk(Path(entry.path), depth + 1)
            elif manifests.is_manifest(entry.name):
                try:
                    yield Path(entry.path), entry.stat()
                except FileNotFoundError:
                    # A symlink to nothing may stand for a policy that denies.
                    if entry.is_symlink():
                        raise
                    # Gone between listing and looking: the next look sees the new state.
