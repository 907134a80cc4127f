"""What the charts render, as committed: `make charts` writes it, e2e/api holds it to Helm."""

import functools
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "mesh7"
FOLDER = ROOT / "tests" / "golden" / "charts"
SETS = sorted(path.stem for path in FOLDER.glob("*.yaml"))
TASKS = "tasks"
"""The set with the Jobs that are part of no installation."""
PODDED = ("Deployment", "Job", "Pod")


@functools.cache
def documents(name: str = "default") -> tuple[dict[str, Any], ...]:
    """The objects of one set of values; nobody changes them."""
    text = (FOLDER / f"{name}.yaml").read_text()
    return tuple(filter(None, yaml.load_all(text, yaml.CSafeLoader)))


def of_kind(kind: str, name: str = "default") -> dict[str, dict[str, Any]]:
    """By name."""
    return {one["metadata"]["name"]: one for one in documents(name) if one["kind"] == kind}


def pods(name: str = "default") -> dict[str, dict[str, Any]]:
    """Specs of all pods that come of a set, by the name of what makes them."""
    return {
        one["metadata"]["name"]: one["spec"]["template"]["spec"] if "template" in one["spec"]
        else one["spec"]
        for one in documents(name)
        if one["kind"] in PODDED
    }  # fmt: skip
