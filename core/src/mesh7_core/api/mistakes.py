"""What a model refuses, in our words: which field, what is wrong, what to write.

Pure: no clock, no network, no logging.
"""

import types
import typing
from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mesh7_core.api import objects
from mesh7_core.api.places import Path, shown, value_at
from mesh7_core.api.suggestions import advice

_KEY_MARK = "[key]"

_SHAPES: Mapping[str, str] = {
    "string_type": "text, put it into quotes if it is",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "`true` or `false`",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}

_PATTERNS: Mapping[str, str] = {
    f"^{objects.DNS_SUBDOMAIN}$": "lower-case letters, digits, inner dashes and dots",
    f"^{objects.DNS_LABEL}$": "lower-case letters, digits and inner dashes",
    f"^({objects.DNS_SUBDOMAIN}/)?{objects.LABEL_NAME}$": "a label such as `example.com/app`",
    f"^({objects.LABEL_NAME})?$": "a label's value: letters, digits, inner `-`, `_` and `.`",
    r"^sha256:[0-9a-f]{64}$": "`sha256:` and 64 hexadecimal digits in lower case",
}
_ONE_LINE = "one line without control characters"

NO_VALUE = "has no value, write one or remove the key"


def explain(
    error: ValidationError, model: type[BaseModel], written: object
) -> list[tuple[Path, str]]:
    """Each refusal as the path and what to say of it, in the order found.

    Args:
        error: what validating a value by `model` raised.
        model: the root model.
        written: the document as people wrote it; only it is quoted, never a filled-in value.
    """
    found = error.errors(include_url=False, include_input=False)
    return [_explain(detail, model, written) for detail in found]


def _explain(detail: ErrorDetails, model: type[BaseModel], written: object) -> tuple[Path, str]:
    loc = detail["loc"]
    if loc and loc[-1] == _KEY_MARK:
        return loc[:-1], f"key {shown(loc[-2])} is not {_words(detail)}"
    if detail["type"] == "extra_forbidden":
        known = known_keys(model, loc[:-1])
        return loc, f"unknown key `{loc[-1]}`, {advice(str(loc[-1]), known)}"
    if detail["type"] == "missing":
        return loc, _missing(str(loc[-1]))
    value = value_at(written, loc)
    if value is None:
        return loc, NO_VALUE
    return loc, _refusal(detail, _annotation(model, loc), value)


def _refusal(detail: ErrorDetails, annotation: object, value: object) -> str:
    kind = detail["type"]
    context = detail.get("ctx", {})
    if kind in _SHAPES:
        return f"{shown(value)} is not {_SHAPES[kind]}"
    match kind:
        case "literal_error":
            known = [str(one) for one in typing.get_args(annotation)]
            return f"unknown value {shown(value)}, {advice(str(value), known)}"
        case "value_error":
            return str(context.get("error", "the value cannot be used"))
        case "greater_than_equal":
            return f"{shown(value)} is too small, the least is {context['ge']}"
        case "less_than_equal":
            return f"{shown(value)} is too large, the most is {context['le']}"
        case "string_pattern_mismatch":
            return f"{shown(value)} is not {_words(detail)}"
        case "string_too_long":
            return f"longer than {context['max_length']} characters, shorten it"
        case "too_long":
            return f"has more than {context['max_length']} entries, write fewer"
        case "too_short" | "string_too_short":
            return "is empty, write at least one or remove the key"
        case _:
            return f"{shown(value)} cannot be used here"


def _words(detail: ErrorDetails) -> str:
    return _PATTERNS.get(detail.get("ctx", {}).get("pattern", ""), _ONE_LINE)


def _missing(key: str) -> str:
    if key == "selector":
        return "`selector` is missing, write `selector: {}` for every guarded pod"
    return f"`{key}` is missing, add it"


def known_keys(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """The keys that the mapping at `loc` may have; empty where any may stand."""
    annotation = _annotation(model, loc)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [field.alias or name for name, field in annotation.model_fields.items()]
    return []


def _annotation(model: type[BaseModel], loc: Sequence[str | int]) -> object:
    """The bare annotation of what stands at `loc`, without Annotated and None."""
    annotation: object = model
    for step in loc:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            fields = {field.alias or name: field for name, field in annotation.model_fields.items()}
            annotation = fields[step].annotation if step in fields else None
        else:
            arguments = typing.get_args(annotation)
            annotation = arguments[0] if isinstance(step, int) and arguments else None
        annotation = _bare(annotation)
    return annotation


def _bare(annotation: object) -> object:
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _bare(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return _bare(next(one for one in typing.get_args(annotation) if one is not type(None)))
    return annotation
