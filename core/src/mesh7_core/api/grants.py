"""Grant as people write it: a standing permission, or a veto. And the credentials' Secret.

Pure: no clock, no network, no logging.
"""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, PlainValidator, WithJsonSchema

from mesh7_core.api.objects import Line, Listed, Metadata, Model
from mesh7_core.api.places import shown
from mesh7_core.api.policies import Globs


def parse_moment(text: object) -> datetime:
    """An RFC 3339 time with its offset.

    Raises:
        ValueError: `text` is something else.
    """
    example = "write one such as `2026-11-21T10:00:00Z`"
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        message = f"{shown(text)} is no time with an offset, {example}"
        raise ValueError(message)
    return moment


Moment = Annotated[
    datetime,
    PlainValidator(parse_moment),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


class Subject(Model):
    """Whose calls are meant: exactly one of serviceAccount, pod."""

    service_account: str | None = None
    pod: str | None = None


class RequestRef(Model):
    """One held call."""

    name: str
    uid: str


class PolicyRef(Model):
    """The policy whose rule is relaxed."""

    namespace: str
    name: str


class GrantedBy(Model):
    """Who made it; admission fills it in."""

    username: str
    uid: str = ""
    groups: Annotated[tuple[str, ...], Listed] = ()
    stamp: str = ""


class GrantSpec(Model):
    """One permission or veto."""

    effect: Literal["Allow", "Deny"]
    subject: Subject
    request_ref: RequestRef | None = None
    digest: str | None = Field(None, pattern=r"^sha256:[0-9a-f]{64}$")
    tools: Globs | None = None
    when: str | None = None
    policy_ref: PolicyRef | None = None
    expires_at: Moment | None = None
    max_uses: int | None = Field(None, ge=1, le=1_000_000_000)
    reason: Line | None = None
    granted_by: GrantedBy | None = None


class Grant(Model):
    """A standing, bounded permission (Allow), or a veto (Deny)."""

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
