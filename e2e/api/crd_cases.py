"""Manifests beside what the API server says of them: `broken/` and `accepted/`.

Each document begins with a comment: of a broken one `<field>: <words that the refusal has>`, of an
accepted one what it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Case:
    """One manifest.

    Attributes:
        told: its comment.
        text: the manifest as YAML.
        kind: of the object.
    """

    told: str
    text: str
    kind: str

    @property
    def field(self) -> str:
        """Which field a broken one is refused for."""
        return self.told.partition(": ")[0]

    @property
    def words(self) -> str:
        """What the refusal says."""
        return self.told.partition(": ")[2]


def read(folder: str) -> Sequence[Case]:
    """All of `broken` or `accepted`, in the order of files and documents."""
    return [
        _case(document)
        for path in sorted((_FOLDER / folder).glob("*.yaml"))
        for document in path.read_text(encoding="utf-8").split("---\n")
    ]


def _case(document: str) -> Case:
    comment, _, text = document.partition("\n")
    return Case(comment.removeprefix("# "), text, yaml.safe_load(text)["kind"])
