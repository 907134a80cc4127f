"""What an API server says of an object by a CRD's schema: structure, list keys, defaults, CEL.

An imitation for laws with many objects; `e2e/api/test_crds.py` asks the real one.
"""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import Any

import jsonschema
from cel_expr_python import cel
from jsonschema import FormatChecker, ValidationError
from jsonschema.protocols import Validator

from tests.crds.schemas import Schema

_SELF = "self"
_FORMATS = FormatChecker(formats=())


@_FORMATS.checks("date-time", raises=ValueError)
def _is_moment(text: object) -> bool:
    return not isinstance(text, str) or datetime.fromisoformat(text).tzinfo is not None


def complaints(schema: Schema, value: object) -> list[str]:
    """What is wrong with a value, each `path: what`; empty when it would be stored."""
    found = list(validator(json.dumps(schema)).iter_errors(with_defaults(schema, value)))
    return sorted(f"{error.json_path.removeprefix('$.')}: {error.message}" for error in found)


@cache
def validator(schema: str) -> Validator:
    """Of a schema as JSON."""
    made: Validator = _VALIDATOR(closed(json.loads(schema)), format_checker=_FORMATS)
    return made


def with_defaults(schema: Schema, value: Any) -> Any:
    """The value as it would be stored: defaults filled in where their parent stands."""
    if isinstance(value, dict) and "properties" in schema:
        known: Mapping[str, Schema] = schema["properties"]
        filled = {name: one["default"] for name, one in known.items() if "default" in one}
        return filled | {
            name: with_defaults(known[name], inner) if name in known else inner
            for name, inner in value.items()
        }
    if isinstance(value, list) and "items" in schema:
        return [with_defaults(schema["items"], inner) for inner in value]
    return value


def closed(schema: Schema) -> dict[str, Any]:
    """The same as JSON Schema has it: unknown fields refused, `nullable` as a type."""
    made = dict(schema)
    if "properties" in schema:
        made["properties"] = {
            # What else an object's metadata may hold is the API server's business.
            name: one if name == "metadata" else closed(one)
            for name, one in schema["properties"].items()
        }
        made["additionalProperties"] = False
    elif isinstance(schema.get("additionalProperties"), Mapping):
        made["additionalProperties"] = closed(schema["additionalProperties"])
    if "items" in schema:
        made["items"] = closed(schema["items"])
    if schema.get("nullable") and "type" in schema and "enum" not in schema:
        made["type"] = [schema["type"], "null"]
    return made


def _pattern(_: Validator, pattern: str, instance: object, __: Schema) -> Iterator[ValidationError]:
    # Go's `$` is the end of the text; Python's also stands before a final line feed.
    if isinstance(instance, str) and not re.search(pattern.replace("$", r"\Z"), instance):
        yield ValidationError(f"does not match {pattern}")


def _list_type(
    _: Validator, kind: str, instance: object, schema: Schema
) -> Iterator[ValidationError]:
    if not isinstance(instance, list) or kind == "atomic":
        return
    keys = schema.get("x-kubernetes-list-map-keys", ())
    known: list[object] = []
    for one in instance:
        if kind == "map" and not isinstance(one, dict):
            continue
        identity = [one.get(key) for key in keys] if kind == "map" else one
        if identity in known:
            yield ValidationError("Duplicate value")
        known.append(identity)


def _rules(
    _: Validator, rules: list[dict[str, Any]], instance: object, __: Schema
) -> Iterator[ValidationError]:
    for rule in rules:
        if instance is None or "oldSelf" in rule["rule"]:
            continue
        try:
            answer = compiled(rule["rule"]).eval(data={_SELF: instance}).value()
        except RuntimeError as error:  # a wrong type, said better by the structure
            answer = error
        if answer is not True:
            yield ValidationError(f"{rule['message']} ({answer})" if answer else rule["message"])


@cache
def compiled(rule: str) -> cel.Expression:
    """A rule over `self`; RuntimeError when it does not compile."""
    return cel.NewEnv(variables={_SELF: cel.Type.DYN}).compile(rule)


_VALIDATOR = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
    jsonschema.Draft202012Validator,
    validators={
        "pattern": _pattern,
        "x-kubernetes-list-type": _list_type,
        "x-kubernetes-validations": _rules,
    },
)
