"""Which files make one set, and what the compiler says of it.

A folder is read exactly as the gateway reads it, so what is checked is what would be in force.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mesh7_cli import own_environment
from mesh7_core import errors, names
from mesh7_core.compiling import compiler, diagnostics
from mesh7_core.compiling import folder as compiled_folder
from mesh7_core.policy import bundle
from mesh7_sidecar.bundles import folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Set:
    """Manifests that are compiled together.

    Attributes:
        files: content by path within the set; `baseline/…` means the baseline.
        shown: the path that the user can open, by path within the set.
    """

    files: dict[str, bytes]
    shown: dict[str, str]

    @property
    def has_manifests(self) -> bool:
        """Whether any of the files is one that the gateway would read."""
        return any(map(compiled_folder.is_manifest, self.files))

    def compile(self, namespace: str | None) -> compiler.Compiled:
        """What the gateway would make of it, `${NAME}` read from our own environment."""
        return compiler.compile_files(
            self.files, namespace=namespace, environment=own_environment.read()
        )

    def located(self, found: Iterable[diagnostics.Diagnostic]) -> list[diagnostics.Diagnostic]:
        """The findings under paths that the user can open from where they are."""
        return [dataclasses.replace(one, file=self.shown.get(one.file, one.file)) for one in found]

    def bundle(self, namespace: str | None) -> bundle.Bundle:
        """The bundle of a set that must be right, because something is to be judged by it.

        Raises:
            ManifestError: the set does not compile; the message has every error, one a line.
        """
        result = self.compile(namespace)
        if result.bundle is None:
            wrong = [
                str(diagnostic)
                for diagnostic in self.located(result.diagnostics)
                if diagnostic.severity is diagnostics.Severity.ERROR
            ]
            raise errors.ManifestError("\n".join(wrong))
        return result.bundle


def sets_in(path: Path) -> list[Set]:
    """The sets that `path` stands for.

    A file is a set of its own. A folder with manifests, or with a `baseline` folder, is one set.
    Any other folder stands for the sets in its sub-folders, so `examples/` is checked one by one.

    Raises:
        SettingsError: it cannot be read.
    """
    if path.is_file() or _is_set(path):
        return [joined([path])]
    found: list[Set] = []
    for below in _folders(path):
        found.extend(sets_in(below))
    return found


def joined(paths: Sequence[Path]) -> Set:
    """All files and folders as one set.

    Raises:
        SettingsError: one cannot be read.
    """
    files: dict[str, bytes] = {}
    shown: dict[str, str] = {}
    for number, path in enumerate(paths):
        read = {path.name: read_file(path)} if path.is_file() else folder.read(path)
        for name, content in read.items():
            # Two folders may have files of one name; what lies in `baseline/` must stay there.
            head, slash, tail = name.rpartition("/")
            key = f"{head}{slash}{number}-{tail}" if name in files else name
            files[key] = content
            shown[key] = str(path) if path.is_file() else str(path / name)
    return Set(files=files, shown=shown)


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
    return any(
        name == names.BASELINE_FOLDER or compiled_folder.is_manifest(name) for name in _names(path)
    )


def _folders(path: Path) -> list[Path]:
    return [path / name for name in _names(path) if (path / name).is_dir()]


def _names(path: Path) -> list[str]:
    try:
        names_in = (entry.name for entry in path.iterdir())
        return sorted(name for name in names_in if not compiled_folder.is_hidden(name))
    except OSError as error:
        message = f"{path}: cannot be read: {error.strerror} – give a manifest or a folder of them"
        raise errors.SettingsError(message) from error
