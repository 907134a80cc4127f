"""AgentPolicy as people write it: what a selection of agents may do with tools.

Pure: no clock, no network, no logging.
"""

from typing import Annotated, Literal

from pydantic import Field

from mesh7_core.api.objects import Glob, LabelSelector, Line, Listed, LocalName, Metadata, Model
from mesh7_core.api.quantities import Duration

Mode = Literal["Enforce", "Audit"]
Action = Literal["Allow", "Deny", "RequireApproval"]
DefaultAction = Literal["Deny", "RequireApproval", "Allow", "None"]
Per = Literal["Pod", "Agent", "Session", "Namespace"]
StoreLoss = Literal["Deny", "Local", "Allow"]
Globs = Annotated[tuple[Glob, ...], Listed, Field(min_length=1, max_length=128)]
AccountGlob = Annotated[str, Field(max_length=253)]
JsonPath = Annotated[str, Field(max_length=256)]
Expression = Annotated[str, Field(max_length=4096)]


class Grantable(Model):
    """How far a standing Grant may relax the rule."""

    max_duration: Duration = Field(description="from the Grant's creation to its end")
    max_uses: int | None = Field(
        None, ge=1, le=1_000_000_000, description="calls; unset: as many as there are"
    )


class Approval(Model):
    """Who has to say yes, and how long everything waits."""

    groups: Annotated[tuple[Line, ...], Listed] = Field(
        (), max_length=32, description="approvers must be in one; empty: whoever may approve"
    )
    count: int = Field(1, ge=1, le=16, description="distinct people who must say yes")
    timeout: Duration | None = Field(None, description="how long a request waits; unset: 10m")
    use_within: Duration | None = Field(None, description="how long a yes is good; unset: 10m")
    hold: Duration | None = Field(
        None, description="how long the response is held open; unset: the gateway's setting"
    )
    grantable: Grantable | None = Field(None, description="unset: no Grant relaxes this rule")


class Rule(Model):
    """One rule; in its policy the first that matches speaks."""

    name: LocalName = Field(description="its id is `<namespace>/<policy>/<name>`")
    tools: Globs | None = Field(None, description="`<source glob>.<tool glob>`, or `*`")
    resources: Globs | None = Field(None, description="`<source glob>.<URI glob>`, or `*`")
    prompts: Globs | None = Field(None, description="`<source glob>.<prompt glob>`, or `*`")
    when: Expression | None = Field(None, description="CEL; the rule matches only where it is true")
    action: Action
    mode: Mode | None = Field(None, description="unset: the policy's")
    limits: Annotated[tuple[LocalName, ...], Listed] = Field(
        (), max_length=8, description="from the policy's `limits`; each call that passes counts"
    )
    approval: Approval | None = Field(None, description="of a RequireApproval rule only")
    reason: Line | None = Field(None, description="told to the agent and the approver")


class Limit(Model):
    """At most `max` calls in any span of `window`."""

    name: LocalName
    per: Per = Field(description="whose calls are counted together")
    max: int = Field(ge=1, le=1_000_000_000)
    window: Duration | None = Field(None, description="unset: the whole lifetime")
    on_store_loss: StoreLoss = Field("Deny", description="while the ledger cannot be reached")


class Loops(Model):
    """How often the same call with the same arguments may be repeated."""

    identical: int = Field(ge=1, le=1_000_000, description="calls that pass within the window")
    window: Duration
    per: Per = Field("Pod", description="whose calls are counted together")
    action: Literal["Deny", "RequireApproval"] = Field("Deny", description="for the next one")


class Record(Model):
    """What records say about arguments."""

    arguments: Literal["Digest", "Redacted", "Full"] = "Digest"
    redact: Annotated[tuple[JsonPath, ...], Listed] = Field(
        (), max_length=64, description="JSONPaths whose values never reach a record"
    )


class AgentPolicySpec(Model):
    """What the selected agents may do."""

    selector: LabelSelector = Field(description="of pods; `{}`: every guarded pod")
    namespace_selector: LabelSelector | None = Field(
        None, description="of namespaces; in a baseline policy only; unset: all"
    )
    service_accounts: (
        Annotated[tuple[AccountGlob, ...], Listed, Field(min_length=1, max_length=64)] | None
    ) = Field(None, description="globs; unset: all")
    mode: Mode = "Enforce"
    default_action: DefaultAction | None = Field(
        None, description="when no rule matches; unset: Deny, in a baseline policy None"
    )
    rules: Annotated[tuple[Rule, ...], Listed] = Field((), max_length=500)
    limits: Annotated[tuple[Limit, ...], Listed] = Field((), max_length=64)
    loops: Loops | None = None
    record: Record = Record()


class AgentPolicy(Model):
    """What a selection of agents may do with tools, resources and prompts."""

    api_version: Literal["mesh7.dev/v1alpha1"]
    kind: Literal["AgentPolicy"]
    metadata: Metadata
    spec: AgentPolicySpec
    status: object = None
