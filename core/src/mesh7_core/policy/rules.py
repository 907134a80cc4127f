"""What policies mean, once compiled: frozen values that the judge reads.

Written types live in `mesh7_core.api`; `mesh7_core.compiling` leads from one to the other.
Pure: no clock, no network, no logging.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import NewType

from mesh7_core.policy.calls import Family
from mesh7_core.policy.conditions import Condition
from mesh7_core.policy.globs import NameGlob, TextGlob

RuleId = NewType("RuleId", str)
"""`<namespace>/<policy>/<rule>`; `default` is the rule name of a policy's default action."""


class Action(StrEnum):
    """What a rule says; also a `defaultAction`, where NONE means no say (baselines only)."""

    ALLOW = "Allow"
    REQUIRE_APPROVAL = "RequireApproval"
    DENY = "Deny"
    NONE = "None"


class Mode(StrEnum):
    """Whether a policy or rule takes part in the enforced verdict."""

    ENFORCE = "Enforce"
    AUDIT = "Audit"


class Layer(StrEnum):
    """The two layers whose verdicts are combined by the stricter."""

    NAMESPACE = "namespace"
    BASELINE = "baseline"


class Per(StrEnum):
    """Whose calls share a limit or loop window."""

    POD = "Pod"
    AGENT = "Agent"
    SESSION = "Session"
    NAMESPACE = "Namespace"


class StoreLoss(StrEnum):
    """What a limit says while the ledger cannot be reached."""

    DENY = "Deny"
    LOCAL = "Local"
    ALLOW = "Allow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """At most `maximum` calls in any `window`; `window` None counts for the whole lifetime.

    Attributes:
        id: `<namespace>/<policy>/<limit>`; shared by all rules that name it.
    """

    id: str
    per: Per
    maximum: int
    window: timedelta | None
    on_store_loss: StoreLoss


@dataclass(frozen=True, slots=True, kw_only=True)
class Grantable:
    """How far a standing grant may relax a rule."""

    maximum_duration: timedelta
    maximum_uses: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """Who has to say yes, and how long everything waits.

    Attributes:
        groups: approvers' groups; empty = anyone who may approve the policy.
        count: distinct people.
        timeout: how long a pending request lives.
        use_within: how long an approved one lives.
        hold: how long the response is held open; None = the gateway's own setting.
    """

    groups: tuple[str, ...]
    count: int
    timeout: timedelta
    use_within: timedelta
    hold: timedelta | None
    grantable: Grantable | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """The same call at most `identical` times within `window`; the next gets `action`.

    Attributes:
        id: `<namespace>/<policy>/loops`.
        approval: who is asked when `action` is RequireApproval.
    """

    id: RuleId
    per: Per
    identical: int
    window: timedelta
    action: Action
    approval: Approval


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One compiled rule.

    Attributes:
        patterns: the globs of its family; one match is enough.
        condition: the compiled `when`, None when there is none.
        mode: already combined with the policy's: AUDIT if either is.
        text: the `reason` people wrote, empty when there is none.
    """

    id: RuleId
    family: Family
    patterns: tuple[NameGlob, ...]
    condition: Condition | None
    action: Action
    mode: Mode
    limits: tuple[Limit, ...]
    approval: Approval | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRequirement:
    """One `matchExpressions` entry, Kubernetes semantics."""

    key: str
    operator: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """Which agents a policy bears on; all parts must match, empty parts match everything."""

    match_labels: tuple[tuple[str, str], ...]
    match_expressions: tuple[LabelRequirement, ...]
    service_accounts: tuple[TextGlob, ...]


class ArgumentRecord(StrEnum):
    """How arguments appear in records."""

    DIGEST = "Digest"
    REDACTED = "Redacted"
    FULL = "Full"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One compiled AgentPolicy.

    Attributes:
        id: `<namespace>/<policy>`.
        default_action: what it says when none of its rules matches.
        default_approval: who is asked when that is RequireApproval.
        rules: in the order written.
        arguments: None = it says nothing of records.
        redact: JSONPaths whose values never reach a record.
    """

    id: str
    layer: Layer
    selector: Selector
    mode: Mode
    default_action: Action
    default_approval: Approval
    rules: tuple[Rule, ...]
    limits: tuple[Limit, ...]
    loop: Loop | None
    arguments: ArgumentRecord | None
    redact: tuple[str, ...]
