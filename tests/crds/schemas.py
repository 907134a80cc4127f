"""The CRDs of `crds/`, read: their schemas, and every field of them with its path."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from mesh7_core import names
from mesh7_core.api import manifests, objects

Schema = Mapping[str, Any]

FOLDER = Path(__file__).parents[2] / "crds"
FILES = {
    names.AGENT_POLICY: "agentpolicies",
    names.TOOL_SOURCE: "toolsources",
    names.GRANT: "grants",
    names.APPROVAL_REQUEST: "approvalrequests",
    names.AUDIT_QUERY: "auditqueries",
}
MODELS: Mapping[str, type[objects.Model]] = manifests.MODELS


@dataclass(frozen=True, slots=True)
class Field:
    """One property of a schema.

    Attributes:
        path: as `spec.rules[].name`.
        is_required: the object that holds it must have it.
    """

    path: str
    schema: Schema
    is_required: bool


@cache
def definition(kind: str) -> dict[str, Any]:
    """The CRD of a kind, as in its file."""
    text = (FOLDER / f"{FILES[kind]}.yaml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def version(kind: str) -> dict[str, Any]:
    """Its one version."""
    versions: list[dict[str, Any]] = definition(kind)["spec"]["versions"]
    return versions[0]


def whole(kind: str) -> Schema:
    """Of an object of this kind."""
    found: Schema = version(kind)["schema"]["openAPIV3Schema"]
    return found


def spec(kind: str) -> Schema:
    """Of the object's `spec`."""
    found: Schema = whole(kind)["properties"]["spec"]
    return found


def fields(schema: Schema, path: str = "") -> Iterator[Field]:
    """Every property below, depth first; items of lists are `[]`."""
    required = schema.get("required", ())
    for name, inner in schema.get("properties", {}).items():
        here = f"{path}.{name}".removeprefix(".")
        yield Field(here, inner, name in required)
        yield from fields(inner, here)
    if "items" in schema:
        yield from fields(schema["items"], f"{path}[]")


def parts(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """The schema and every schema inside, items and values of maps too."""
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from parts(inner, f"{path}.{name}".removeprefix("."))
    if "items" in schema:
        yield from parts(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), Mapping):
        yield from parts(schema["additionalProperties"], f"{path}.*")
