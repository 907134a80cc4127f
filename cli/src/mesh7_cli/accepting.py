"""Puts accepted digests into the manifests of a folder: found, edited, compiled, then written.

All or nothing: a file is replaced by a rename, once the whole set compiles with every edit in it.
"""

import contextlib
import difflib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mesh7_cli import manifest_edits, neutral, own_environment
from mesh7_core import errors, names
from mesh7_core.api import manifests, reading
from mesh7_core.compiling import compiler, diagnostics
from mesh7_sidecar.bundles import folder

Digests = Mapping[str, Mapping[str, str]]
"""By source, then by the source's own name of the tool."""
_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One file, before and after."""

    path: Path
    before: bytes
    after: bytes

    def lines(self) -> list[str]:
        """The difference, as `diff -u` shows it; harmless on a terminal."""
        before, after = (
            each.decode("utf-8", "replace").splitlines() for each in (self.before, self.after)
        )
        name = str(self.path)
        found = difflib.unified_diff(
            before, after, f"{name} (now)", f"{name} (accepted)", lineterm=""
        )
        return [neutral.line(line) for line in found]

    def write(self) -> None:
        """Replace the file, whose mode stays.

        Raises:
            SettingsError: it cannot be written, or changed meanwhile.
        """
        try:
            self._write()
        except OSError as error:
            message = (
                f"{self.path}: cannot be written: {error.strerror} – you may need to be the owner"
            )
            raise errors.SettingsError(message) from error

    def _write(self) -> None:
        # A link stays a link: what it points to is replaced.
        path = self.path.resolve()
        if path.read_bytes() != self.before:
            message = f"{self.path}: changed while you looked at it – run the command again"
            raise errors.SettingsError(message)
        status = path.stat()
        fresh = path.with_name(f".{path.name}.accept")
        fresh.unlink(missing_ok=True)
        opened = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(opened, "wb") as file:
            file.write(self.after)
            file.flush()
            with contextlib.suppress(PermissionError):
                os.fchown(opened, status.st_uid, status.st_gid)
            os.fchmod(opened, stat.S_IMODE(status.st_mode))
            os.fsync(opened)
        fresh.replace(path)


def edits(directory: Path, digests: Digests, namespace: str | None) -> list[Edit]:
    """What has to be written below `directory`; the set compiles with it.

    Raises:
        ManifestError: a source is not there, its file cannot be edited, or the set does not
            compile; nothing has been written.
        SettingsError: the folder cannot be read.
    """
    files = folder.read(directory)
    after = dict(files)
    for source, accepted in digests.items():
        name = _file_of(source, after, directory)
        after[name] = _edited(directory / name, after[name], source, accepted)
    _check(directory, after, namespace)
    return [
        Edit(path=directory / name, before=files[name], after=content)
        for name, content in after.items()
        if content != files[name]
    ]


def _file_of(source: str, files: Mapping[str, bytes], directory: Path) -> str:
    for name, content in files.items():
        for document in manifests.read_file(name, content).documents:
            if document.kind == names.TOOL_SOURCE and document.name == source:
                return name
    message = f"no file below `{directory}` defines source `{source}` – was it removed just now?"
    raise errors.ManifestError(message)


def _edited(path: Path, content: bytes, source: str, accepted: Mapping[str, str]) -> bytes:
    try:
        text = manifest_edits.accept(
            reading.decode(content), source, accepted, is_json=path.suffix == ".json"
        )
    except manifest_edits.UneditableError as error:
        lines = manifest_edits.lines_to_paste(accepted)
        raise errors.ManifestError(f"{path}: {error.message}:\n{lines}") from error
    return (_MARK if content.startswith(_MARK) else b"") + text.encode()


def _check(directory: Path, files: Mapping[str, bytes], namespace: str | None) -> None:
    compiled = compiler.compile_files(
        files, namespace=namespace, environment=own_environment.read()
    )
    if compiled.bundle is not None:
        return
    wrong = [
        str(each.located_in(directory.as_posix()))
        for each in compiled.diagnostics
        if each.severity is diagnostics.Severity.ERROR
    ]
    advice = "nothing was written – mend this first; what `${NAME}` names must be set here too"
    raise errors.ManifestError("\n".join([*wrong, advice]))
