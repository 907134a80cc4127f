"""The manifests of an installation by hand, read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[3] / "operator" / "manifests"
WORKLOADS = (
    "controller.yaml",
    "injector.yaml",
    "exchange.yaml",
    "rotate.yaml",
    "rotate-certificates.yaml",
    "sweep.yaml",
)


def documents(*files: str) -> Iterator[dict[str, Any]]:
    """Of these files; of all of them when none is named."""
    for path in [FOLDER / name for name in files] or sorted(FOLDER.glob("*.yaml")):
        yield from yaml.safe_load_all(path.read_text())


def of_kind(kind: str, *files: str) -> dict[str, dict[str, Any]]:
    """By name."""
    return {one["metadata"]["name"]: one for one in documents(*files) if one["kind"] == kind}
