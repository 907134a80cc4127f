"""Field by field: what the CRDs say, and that it is what the pydantic models say."""

import re

import pytest

from mesh7_core import names
from tests.crds import judging, models, schemas
from tests.crds.schemas import Schema

KINDS = sorted(schemas.FILES)
WRITTEN = sorted(schemas.MODELS)
_COMPARED = (
    "type", "enum", "minimum", "maximum", "minLength", "maxLength", "pattern", "format",
    "minItems", "maxItems", "maxProperties", "default", "x-kubernetes-int-or-string",
)  # fmt: skip
_NOT_MERGED = "atomic"
_KEYS = {
    "AgentPolicy": {
        "spec.rules": ["name"],
        "spec.limits": ["name"],
        "status.conditions": ["type"],
    },
    "ToolSource": {
        "spec.mcp.env": ["name"],
        "spec.http.operations": ["name"],
        "spec.cli.commands": ["name"],
        "spec.headers": ["name"],
        "spec.tools.hints": ["match"],
        "spec.pinning.accepted": ["tool"],
        "status.conditions": ["type"],
        "status.tools": ["name"],
    },
    "Grant": {"status.conditions": ["type"]},
    "ApprovalRequest": {"spec.rules": ["rule"], "status.conditions": ["type"]},
    "AuditQuery": {},
}
_SHORT = {
    "AgentPolicy": "m7p", "ToolSource": "m7s", "Grant": "m7g", "ApprovalRequest": "m7r",
    "AuditQuery": "m7a",
}  # fmt: skip
_COLUMNS = {
    "AgentPolicy": "Ready Mode Pods Current Version Age | Default Accepted",
    "ToolSource": "Ready Kind Tools Drifted Age | URL Protocol",
    "Grant": "Effect Subject Tools By Expires Uses Phase Age | Reason",
    "ApprovalRequest": "State Tool Agent Rule Expires Age | Pod",
    "AuditQuery": "Verify Decision Phase Age | By Message",
}


def _shapes(schema: Schema) -> dict[str, dict[str, object]]:
    return {
        path: {name: part[name] for name in _COMPARED if name in part}
        | {"required": sorted(part.get("required", ()))}
        for path, part in schemas.parts(schema)
    }


@pytest.mark.promise("K1")
@pytest.mark.parametrize("kind", WRITTEN)
def test_schema_and_model_have_the_same_fields_types_enums_bounds_and_defaults(kind: str) -> None:
    """Issue 5: a test holds the CRDs against the pydantic models."""
    model = models.written(schemas.MODELS[kind])["properties"]["spec"]

    assert _shapes(schemas.spec(kind)) == _shapes(model)


@pytest.mark.promise("K2")
@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_described_in_a_sentence(kind: str) -> None:
    """Issue 5: `kubectl explain` is documentation."""
    described = {one.path: one.schema.get("description", "") for one in _described(kind)}

    assert schemas.whole(kind)["description"]
    assert [path for path, text in described.items() if not re.search(r"\w.*[.`)\"]?$", text)] == []
    assert [path for path, text in described.items() if text != text.strip()] == []


def _described(kind: str) -> list[schemas.Field]:
    # The API server lets nobody describe `metadata`.
    return [one for one in schemas.fields(schemas.whole(kind)) if "metadata" not in one.path]


@pytest.mark.parametrize("kind", WRITTEN)
def test_a_default_is_named_in_the_description(kind: str) -> None:
    silent = [
        one.path
        for one in schemas.fields(schemas.spec(kind))
        if "default" in one.schema and "Default: " not in one.schema["description"]
    ]

    assert silent == []


@pytest.mark.promise("K1")
@pytest.mark.parametrize("kind", KINDS)
def test_every_text_list_map_and_number_is_bounded(kind: str) -> None:
    """The API server counts what CEL may cost by these bounds; design 4."""
    unbounded = [
        path
        for path, part in schemas.parts(schemas.whole(kind))
        if path not in ("apiVersion", "kind") and not _is_bounded(part)
    ]

    assert unbounded == []


def _is_bounded(part: Schema) -> bool:
    match part.get("type"):
        case "string":
            return "enum" in part or "maxLength" in part
        case "array":
            return "maxItems" in part
        case "integer":
            return "minimum" in part and ("maximum" in part or "format" in part)
        case "object":
            return "additionalProperties" not in part or "maxProperties" in part
        case None:
            return "maximum" in part and "maxLength" in part
        case _:
            return True


@pytest.mark.parametrize("kind", WRITTEN)
def test_a_key_without_a_value_survives_to_be_refused(kind: str) -> None:
    """A `when:` left unfinished would else vanish in the API server and mean "always" (D23)."""
    vanishing = [
        one.path
        for one in schemas.fields(schemas.spec(kind))
        if not one.is_required and not one.schema.get("nullable")
    ]

    assert vanishing == []


@pytest.mark.promise("K2")
@pytest.mark.parametrize("kind", KINDS)
def test_every_list_says_how_it_is_merged(kind: str) -> None:
    """Issue 5: list types for server-side apply."""
    lists = {
        path: part
        for path, part in schemas.parts(schemas.whole(kind))
        if part.get("type") == "array"
    }

    keys = {
        path: part["x-kubernetes-list-map-keys"]
        for path, part in lists.items()
        if part["x-kubernetes-list-type"] == "map"
    }
    assert keys == _KEYS[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_names_are_those_of_the_design(kind: str) -> None:
    """Design 4: short names, category, one served version with a status of its own."""
    found = schemas.definition(kind)["spec"]

    assert found["group"] == names.GROUP
    assert found["scope"] == "Namespaced"
    assert found["names"] == {
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": schemas.FILES[kind],
        "singular": kind.lower(),
        "shortNames": [_SHORT[kind]],
        "categories": ["mesh7"],
    }
    assert [one["name"] for one in found["versions"]] == [names.VERSION]
    assert schemas.version(kind)["subresources"] == {"status": {}}


@pytest.mark.promise("K2")
@pytest.mark.parametrize("kind", KINDS)
def test_columns_read_what_the_schema_has(kind: str) -> None:
    columns = schemas.version(kind)["additionalPrinterColumns"]
    near = " ".join(one["name"] for one in columns if "priority" not in one)
    wide = " ".join(one["name"] for one in columns if "priority" in one)

    known = {one.path.replace("[]", "") for one in schemas.fields(schemas.whole(kind))}
    paths = {re.sub(r"\[[^\]]*\]", "", one["jsonPath"]).removeprefix(".") for one in columns}
    several = {"spec.url": "spec.mcp.url", "spec.subject": "spec.subject.pod"}
    real = {several.get(path, path) for path in paths} - {"metadata.creationTimestamp"}
    assert f"{near} | {wide}" == _COLUMNS[kind]
    assert real <= known


@pytest.mark.parametrize("kind", KINDS)
def test_every_cel_rule_compiles_and_says_what_to_do(kind: str) -> None:
    for path, part in schemas.parts(schemas.whole(kind)):
        for rule in part.get("x-kubernetes-validations", ()):
            judging.compiled(rule["rule"].replace("oldSelf", "self"))
            assert re.match(r"[a-zN`]", rule["message"]), path
            assert not rule["message"].endswith("."), path


def test_a_selector_and_a_reference_are_replaced_whole() -> None:
    """Half of one manager's selector and half of another's would select what nobody meant."""
    paths = {
        path
        for kind in WRITTEN
        for path, part in schemas.parts(schemas.spec(kind))
        if part.get("x-kubernetes-map-type") == _NOT_MERGED
    }

    assert paths == {
        "selector", "namespaceSelector", "subject", "requestRef", "policyRef",
        "openapi.configMapKeyRef",
    }  # fmt: skip


def test_both_selectors_are_the_same_schema() -> None:
    found = schemas.spec(names.AGENT_POLICY)["properties"]

    assert _shapes(found["selector"]) == _shapes(found["namespaceSelector"])
