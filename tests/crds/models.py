"""The pydantic models as schemas in the shape of CRDs: nothing referred to, no null types."""

from typing import Any

from mesh7_core.api import objects
from tests.crds.schemas import Schema

_SCALARS = (str, int, float)
_WORDS = ("title", "description", "propertyNames")


def written(model: type[objects.Model]) -> Schema:
    """What a model takes, as a schema whose `properties`, `items` and bounds stand in place."""
    found = model.model_json_schema(by_alias=True, mode="validation")
    return _flat(found, found.get("$defs", {}))


def _flat(schema: Schema, known: Schema) -> dict[str, Any]:
    made = {name: value for name, value in schema.items() if name not in (*_WORDS, "$defs")}
    if "$ref" in made:
        made = _flat(known[made.pop("$ref").rpartition("/")[2]], known) | made
    if "anyOf" in made:
        (other,) = [one for one in made.pop("anyOf") if one != {"type": "null"}]
        made = _flat(other, known) | made
    if "const" in made:
        made["enum"] = [made.pop("const")]
    if "patternProperties" in made:
        ((_, inner),) = made.pop("patternProperties").items()
        made["additionalProperties"] = inner
    if not isinstance(made.get("default"), _SCALARS) or made["default"] == "":
        made.pop("default", None)
    if "properties" in made:
        made["properties"] = {name: _flat(one, known) for name, one in made["properties"].items()}
        made.pop("additionalProperties", None)
    for name in ("items", "additionalProperties"):
        if isinstance(made.get(name), dict):
            made[name] = _flat(made[name], known)
    return made
