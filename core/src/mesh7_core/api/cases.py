"""PolicyCases as people write them: calls, and the decisions that policies must come to.

Read by `mesh7 test`; a folder of manifests may hold them, the gateway passes them over.
Pure: no clock, no network, no logging.
"""

from typing import Annotated, Literal

from pydantic import Field

from mesh7_core.api.grants import Moment
from mesh7_core.api.objects import Listed, Model

Expectation = Literal["Allow", "Deny", "Hold", "RequireApproval"]


class CaseAgent(Model):
    """Who calls."""

    namespace: str | None = Field(None, description="unset: the one of the policies")
    service_account: str = "default"
    pod: str = "pod"
    labels: dict[str, str] = Field(default_factory=dict)


class CaseHttp(Model):
    """The request line of a plain HTTP call."""

    method: str = Field("GET", pattern="^[A-Z]+$")
    path: str = Field("/", pattern="^/")
    query: str = ""


class Case(Model):
    """One call and what has to come of it."""

    name: str = Field(min_length=1, description="a sentence")
    agent: CaseAgent | None = Field(None, description="unset: the file's agent")
    tool: str | None = Field(None, description="`<source>.<tool>`")
    resource: str | None = Field(None, description="`<source>.<URI>`")
    prompt: str | None = Field(None, description="`<source>.<prompt>`")
    arguments: dict[str, object] = Field(default_factory=dict)
    http: CaseHttp | None = None
    session: str = ""
    now: Moment | None = Field(None, description="unset: 2026-01-01T00:00:00Z")
    expect: Expectation = Field(description="Hold and RequireApproval are the same")
    would: Expectation | None = Field(
        None, description="the decision had audit been enforced; unset: not looked at"
    )
    rule: str | None = Field(
        None, description="one that speaks: its id or the end of it; unset: not looked at"
    )
    reason: str | None = Field(None, description="a reason code; unset: not looked at")


class PolicyCases(Model):
    """A file of cases."""

    api_version: Literal["mesh7.dev/v1alpha1"]
    kind: Literal["PolicyCases"]
    metadata: dict[str, object] | None = None
    agent: CaseAgent = CaseAgent()
    cases: Annotated[tuple[Case, ...], Listed]
