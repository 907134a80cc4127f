"""The one type of decision. Pure: no clock, no network, no logging."""

from enum import StrEnum

from typing_extensions import override

from mesh7_core.policy.reasons import Reason
from mesh7_core.policy.rules import RuleId


class Verdict(StrEnum):
    """What happens to the call, from weakest to strictest."""

    ALLOW = "Allow"
    HOLD = "Hold"
    DENY = "Deny"


class Decision:
    """What was decided and why. A plain slotted class: made on every call (design 13).

    Attributes:
        verdict: Allow, Hold or Deny.
        reason: the stable code.
        rules: ids of the rules that spoke for the verdict, sorted; a default speaks as
            `<namespace>/<policy>/default`, a loop as `…/loops`, a veto by its grant's id. Empty
            when nobody had a say.
        text: the `reason` people wrote on the first of those rules, or when they denied the
            call; empty when there is none.
        limit: `<namespace>/<policy>/<limit>` when a limit or loop refused, else empty.
        retry_after_s: whole seconds after which asking again can help; 0 = never by waiting.
        request_id: the approval request that it waits for, used or was refused by, else empty.
        would: the decision had audit policies and audit rules been enforced; None when they
            would have changed nothing.
        grants: ids of the standing grants that stood in for people.
        open_for_s: of a Hold: whole seconds that its request is open in all; 0 elsewhere.
    """

    __slots__ = (
        "grants", "limit", "open_for_s", "reason", "request_id", "retry_after_s", "rules", "text",
        "verdict", "would",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913 - one field each; a dataclass would cost five times as much
        self,
        verdict: Verdict,
        reason: Reason,
        rules: tuple[RuleId, ...] = (),
        text: str = "",
        limit: str = "",
        retry_after_s: int = 0,
        request_id: str = "",
        would: "Decision | None" = None,
        grants: tuple[str, ...] = (),
        open_for_s: int = 0,
    ) -> None:
        self.verdict = verdict
        self.reason = reason
        self.rules = rules
        self.text = text
        self.limit = limit
        self.retry_after_s = retry_after_s
        self.request_id = request_id
        self.would = would
        self.grants = grants
        self.open_for_s = open_for_s

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Decision) and all(
            getattr(self, name) == getattr(other, name) for name in self.__slots__
        )

    @override
    def __hash__(self) -> int:
        return hash((self.verdict, self.reason, self.rules))

    @override
    def __repr__(self) -> str:
        return f"Decision({self.verdict}, {self.reason}, {self.rules})"


NO_BUNDLE = Decision(Verdict.DENY, Reason.NO_BUNDLE)
"""There is nothing to judge by yet."""
UNKNOWN_TOOL = Decision(Verdict.DENY, Reason.UNKNOWN_TOOL)
"""The source does not list it, or the agent may not know that it does."""
UNKNOWN_SOURCE = Decision(Verdict.DENY, Reason.UNKNOWN_SOURCE)
SOURCE_UNAVAILABLE = Decision(Verdict.DENY, Reason.SOURCE_UNAVAILABLE)
"""The source's list cannot be read, so no name of it is known or unknown."""
DEFINITION_CHANGED = Decision(Verdict.DENY, Reason.DEFINITION_CHANGED)
"""Its definition is not the accepted one; the agent is told that there is no such thing."""
