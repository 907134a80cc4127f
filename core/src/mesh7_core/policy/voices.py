"""Who speaks about a call: a rule, a failed rule, a default; and how strict each is.

Pure: no clock, no network, no logging.
"""

from enum import Enum

from mesh7_core.policy.rules import Action, Approval, Limit, RuleId

STRENGTH = {Action.NONE: 0, Action.ALLOW: 1, Action.REQUIRE_APPROVAL: 2, Action.DENY: 3}


class Kind(Enum):
    """What gave somebody a voice."""

    RULE = "rule"
    FAILED = "failed"
    DEFAULT = "default"
    AUDIT_ONLY = "audit-only"


class Voice:
    """One possible say of a rule or a default; the same object every time it is heard.

    Attributes:
        id: empty for AUDIT_ONLY, which nobody wrote.
        policy: `<namespace>/<policy>`, the part of the id before the rule's name.
        strength: its action's place in `STRENGTH`.
    """

    __slots__ = ("action", "approval", "id", "kind", "limits", "policy", "strength", "text")

    def __init__(
        self,
        identity: RuleId,
        action: Action,
        kind: Kind,
        limits: tuple[Limit, ...] = (),
        approval: Approval | None = None,
        text: str = "",
    ) -> None:
        self.id = identity
        self.policy = identity.rpartition("/")[0]
        self.action = action
        self.strength = STRENGTH[action]
        self.kind = kind
        self.limits = limits
        self.approval = approval
        self.text = text
