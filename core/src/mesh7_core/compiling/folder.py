"""Which files of a folder are manifests, and which layer each belongs to.

Pure: no clock, no network, no logging.
"""

from collections.abc import Mapping

from mesh7_core import names
from mesh7_core.api import manifests, places

SUFFIXES = (".yaml", ".yml", ".json")


def is_manifest(path: str) -> bool:
    """Whether a file counts: dotfiles and what lies in dot-folders never do.

    Args:
        path: relative to the folder, with `/`.
    """
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    return path.endswith(SUFFIXES) and not any(is_hidden(part) for part in parts)


def is_hidden(name: str) -> bool:
    """Whether a file or folder is passed over, as a swap file, a `..data` symlink or `.git`."""
    return name.startswith(".")


def read(files: Mapping[str, bytes]) -> manifests.Reading:
    """All documents of all manifests, in the order of the files' names."""
    documents: list[manifests.Document] = []
    problems: list[places.Problem] = []
    notes: list[places.Problem] = []
    for path in sorted(files):
        if not is_manifest(path):
            continue
        found = manifests.read_file(path, files[path], is_baseline=_is_baseline(path))
        documents += found.documents
        problems += found.problems
        notes += found.notes
    return manifests.Reading(
        documents=tuple(documents), problems=tuple(problems), notes=tuple(notes)
    )


def _is_baseline(path: str) -> bool:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return len(parts) > 1 and parts[0] == names.BASELINE_FOLDER
