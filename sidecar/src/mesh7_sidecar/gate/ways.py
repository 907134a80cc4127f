"""What one held call reaches through its gate: ledger, journal, judge, and who else waits."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from mesh7_core.ledger.protocol import Ledger, Observation, Observed
from mesh7_core.policy import calls, judge
from mesh7_core.policy.decision import Decision
from mesh7_core.policy.rules import RuleId
from mesh7_sidecar.gate.journal import Journal
from mesh7_sidecar.gate.observing import Observing
from mesh7_sidecar.gate.terms import HoldTerms
from mesh7_sidecar.gate.waiting import Waiter


class Run:
    """One approved call between its claim and its record.

    Attributes:
        digest: of the exact call, which its result is kept under.
        base: of the call without what a retry adds.
        over: set when the call is recorded.
    """

    __slots__ = ("base", "digest", "over")

    def __init__(self, digest: str, base: str) -> None:
        self.digest = digest
        self.base = base
        self.over = asyncio.Event()


class Ways(Protocol):
    """What `Hold` needs of `Holds`."""

    ledger: Ledger
    journal: Journal
    observing: Observing
    terms: HoldTerms
    now: Callable[[], datetime]
    now_s: Callable[[], float]
    failed: Decision
    """What everybody is told when a defect of ours ends the waiting."""

    async def observe(self, observation: Observation) -> Observed:
        """Ask the ledger, and wait for its answer."""

    async def relist(self, call: calls.Call) -> str | None:
        """Digest of the tool's definition as it is now; None when the tool cannot be listed."""

    def needs_again(
        self, waiter: Waiter, full: tuple[RuleId, ...], digest: str
    ) -> judge.Needs | None:
        """The needs by the bundle of this moment; None when they are not for `digest` any more."""

    def again(self, waiter: Waiter, full: tuple[RuleId, ...]) -> None:
        """Judge the waiter's call from the start; the loops `full` have no place for it."""

    def begin(self, request_id: str, digest: str, lead: Waiter, needs: judge.Needs) -> Run:
        """An approved call starts."""

    def end(self, request_id: str, outcome: str) -> None:
        """Note what became of an approved call."""

    def repeat(self, waiter: Waiter, needs: judge.Needs, digest: str, request_id: str) -> None:
        """Give a waiter the result of a run that is over."""
