"""What the decision about a call hangs on, once every rule has spoken.

Pure: no clock, no network, no logging.
"""

from mesh7_core.policy.bundle import Grant
from mesh7_core.policy.decision import Decision
from mesh7_core.policy.rules import Limit, Loop
from mesh7_core.policy.voices import Voice


class Needs:
    """Every opinion about a call, and what its decision still hangs on.

    Shared by all calls of one agent that the same rules speak about; never changed.

    Attributes:
        verdict: provisional: a Deny is final, the others are subject to the rest.
        decision: what is decided when every limit admits the call and nothing has to be asked;
            for a Hold, the Hold without its request.
        limits: of everybody who spoke; empty for a Deny.
        loops: of all policies that take part; empty for a Deny.
        asked: who requires an approval; all must get theirs.
        grants: standing grants of the policies that ask; `covering` says which may stand in.
        hangs_on_ledger: whether the ledger has to be asked at all.
        would: the needs had audit been enforced, whose limits count under keys of their own;
            None when that changes nothing.
    """

    __slots__ = (
        "asked", "decision", "grants", "hangs_on_ledger", "limits", "loops", "verdict", "would",
    )  # fmt: skip

    def __init__(
        self,
        decision: Decision,
        limits: tuple[Limit, ...] = (),
        loops: tuple[Loop, ...] = (),
        asked: tuple[Voice, ...] = (),
        grants: tuple[Grant, ...] = (),
        would: "Needs | None" = None,
    ) -> None:
        self.verdict = decision.verdict
        self.decision = decision
        self.limits = limits
        self.loops = loops
        self.asked = asked
        self.grants = grants
        self.would = would
        self.hangs_on_ledger = bool(limits or loops or asked)
