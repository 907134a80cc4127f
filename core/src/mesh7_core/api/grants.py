"""Grant as people write it: a permission, a veto, an answer. And the credentials' Secret.

Pure: no clock, no network, no logging.
"""

import re
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, PlainValidator, WithJsonSchema

from mesh7_core.api.objects import Line, Listed, Metadata, Model
from mesh7_core.api.places import shown
from mesh7_core.api.policies import Expression, Globs

MOMENT_PATTERN = (
    "^2[0-9]{3}-[01][0-9]-[0-3][0-9]T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
    "([.][0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)
"""RFC 3339 with capital letters, in this millennium; a day that no month has is refused beside."""


def parse_moment(text: object) -> datetime:
    """An RFC 3339 time with its offset.

    Raises:
        ValueError: `text` is something else.
    """
    example = "write one such as `2026-11-21T10:00:00Z`"
    try:
        is_spelled = isinstance(text, str) and re.match(MOMENT_PATTERN, text) is not None
        moment = datetime.fromisoformat(text) if is_spelled and isinstance(text, str) else None
    except ValueError:
        moment = None
    if moment is None:
        message = f"{shown(text)} is no time with an offset, {example}"
        raise ValueError(message)
    return moment


Moment = Annotated[
    datetime,
    PlainValidator(parse_moment),
    WithJsonSchema(
        {
            "type": "string",
            "format": "date-time",
            "maxLength": 35,
            "pattern": MOMENT_PATTERN,
        }
    ),
]


class Subject(Model):
    """Whose calls are meant: exactly one of serviceAccount, pod."""

    service_account: str | None = Field(None, min_length=1, max_length=253)
    pod: str | None = Field(None, min_length=1, max_length=253)


class RequestRef(Model):
    """One held call."""

    name: str = Field(min_length=1, max_length=253)
    uid: str = Field(min_length=1, max_length=253)


class PolicyRef(Model):
    """The policy whose rule is relaxed, or answered."""

    namespace: str = Field(min_length=1, max_length=63)
    name: str = Field(min_length=1, max_length=253)


Group = Annotated[str, Field(max_length=1024)]


class GrantedBy(Model):
    """Who made it; admission fills it in."""

    username: str = Field(max_length=1024)
    uid: str = Field("", max_length=1024)
    groups: Annotated[tuple[Group, ...], Listed] = Field((), max_length=256)
    stamp: str = Field("", max_length=1024)


class GrantSpec(Model):
    """One permission or veto; with `request_ref` somebody's answer to one held call."""

    effect: Literal["Allow", "Deny"]
    subject: Subject
    request_ref: RequestRef | None = None
    digest: str | None = Field(None, max_length=71, pattern=r"^sha256:[0-9a-f]{64}$")
    unseen: bool | None = Field(
        None, description="answered without having seen all arguments; unset: false"
    )
    tools: Globs | None = None
    when: Expression | None = None
    policy_ref: PolicyRef | None = None
    expires_at: Moment | None = None
    max_uses: int | None = Field(None, ge=1, le=1_000_000_000)
    reason: Line | None = None
    granted_by: GrantedBy | None = None


class Grant(Model):
    """A standing, bounded permission (Allow), or a veto (Deny); or an answer to one held call."""

    api_version: Literal["mesh7.dev/v1alpha1"]
    kind: Literal["Grant"]
    metadata: Metadata
    spec: GrantSpec
    status: object = None


class CredentialsSecret(Model):
    """The `v1` Secret `mesh7-tool-credentials`; a repr shows no value."""

    api_version: Literal["v1"]
    kind: Literal["Secret"]
    metadata: Metadata
    type: str = "Opaque"
    data: dict[str, str] = Field(default_factory=dict, repr=False)
    string_data: dict[str, str] = Field(default_factory=dict, repr=False)
    immutable: bool = False
