"""What all written kinds share: strict models, metadata, label selectors, named text.

Keys are camelCase in YAML and snake_case here. Nothing is converted: a number is no text and a
text is no number. Pure: no clock, no network, no logging.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict
from pydantic.alias_generators import to_camel

from mesh7_core.api.places import shown

LABEL_NAME = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
DNS_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
DNS_SUBDOMAIN = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*"

Listed = Strict(strict=False)
"""Lets a YAML list become a tuple; what it holds stays strict."""

ObjectName = Annotated[str, Field(pattern=f"^{DNS_SUBDOMAIN}$", max_length=253)]
LocalName = Annotated[str, Field(pattern=f"^{DNS_LABEL}$", max_length=63)]
NamespaceName = Annotated[str, Field(pattern=f"^{DNS_LABEL}$", max_length=63)]
LabelKey = Annotated[
    str, Field(pattern=f"^({DNS_SUBDOMAIN}/)?{LABEL_NAME}$", min_length=1, max_length=317)
]
LabelValue = Annotated[str, Field(pattern=f"^({LABEL_NAME})?$", max_length=63)]
Glob = Annotated[str, Field(max_length=1024)]
"""What a glob may hold is the business of `policy.globs`."""
Url = Annotated[str, Field(max_length=2048)]
"""What a URL may hold is the business of `compiling.urls`."""
Line = Annotated[str, Field(max_length=1024, pattern=r"^[^\x00-\x08\x0a-\x1f\x7f]*$")]
"""Free text that is shown to people and agents; one line."""


class Model(BaseModel):
    """The base of everything written: unknown keys are refused, values are frozen."""

    # Written keys are read from YAML only, so that mypy need not know them.
    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        validate_by_name=False,
        validate_by_alias=True,
        hide_input_in_errors=True,
    )


def unique(attribute: str) -> AfterValidator:
    """Refuse a list in which two entries have the same value there: the API server merges by it."""

    def check(entries: tuple[Model, ...] | None) -> tuple[Model, ...] | None:
        known: set[object] = set()
        for entry in entries or ():
            value = getattr(entry, attribute)
            if value in known:
                message = f"two entries have the `{attribute}` {shown(value)}, keep one"
                raise ValueError(message)
            known.add(value)
        return entries

    return AfterValidator(check)


class Metadata(Model):
    """An object's `metadata`; what the API server fills in is read over."""

    name: ObjectName = Field(description="the object's name")
    namespace: NamespaceName | None = Field(None, description="unset: the folder's namespace")
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    uid: str | None = None
    resource_version: str | None = None
    generation: int | None = None
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    finalizers: list[str] | None = None
    managed_fields: list[object] | None = None
    owner_references: list[object] | None = None
    generate_name: str | None = None
    self_link: str | None = None


class LabelExpression(Model):
    """One requirement on one label, as in Kubernetes."""

    key: LabelKey = Field(description="the label")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(
        description="NotIn and DoesNotExist hold for an object without the label"
    )
    values: Annotated[tuple[LabelValue, ...], Listed] = Field(
        (), max_length=64, description="for In and NotIn, at least one; else none"
    )


class LabelSelector(Model):
    """Labels that must match; an empty selector matches everything."""

    match_labels: dict[LabelKey, LabelValue] = Field(
        default_factory=dict, max_length=64, description="each label must have exactly this value"
    )
    match_expressions: Annotated[tuple[LabelExpression, ...], Listed] = Field(
        (), max_length=32, description="each must hold"
    )


class NamedValue(Model):
    """A name with its value: one environment variable or one header."""

    name: str = Field(min_length=1, max_length=256)
    value: str = Field(max_length=16_384)
