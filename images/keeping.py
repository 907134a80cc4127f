"""What a storage of images keeps: the newest build of each image, and the layers it was made of."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Newest:
    """The newest build of an image.

    Attributes:
        name: with tag.
        layers: images that its steps stand on, those of other stages too; ids, perhaps cut short.
    """

    name: str
    layers: tuple[str, ...] = ()


def read(path: Path) -> dict[str, Newest]:
    """What was noted, by name without tag; nothing when nobody noted anything."""
    if not path.exists():
        return {}
    found = json.loads(path.read_text())
    return {
        repository: Newest(name=one["name"], layers=tuple(one["layers"]))
        for repository, one in found.items()
    }


def note(path: Path, newest: Newest) -> None:
    """Write down a build; the one before it is forgotten."""
    noted = {**read(path), _repository(newest.name): newest}
    path.write_text(json.dumps({key: asdict(one) for key, one in noted.items()}, indent=1))


def superseded(noted: Mapping[str, Newest], names: Iterable[str]) -> list[str]:
    """Names of images of which there is a newer one under another tag; others are not ours."""
    return [
        name
        for name in names
        if (newest := noted.get(_repository(name))) is not None and newest.name != name
    ]


def unused(noted: Mapping[str, Newest], nameless: Iterable[str]) -> list[str]:
    """Ids of nameless images that no newest build stands on.

    Args:
        noted: by name without tag.
        nameless: whole ids of those that no other image is made from.
    """
    used = tuple(layer for one in noted.values() for layer in one.layers)
    return [one for one in nameless if not one.startswith(used)]


def _repository(name: str) -> str:
    return name.rpartition(":")[0]
