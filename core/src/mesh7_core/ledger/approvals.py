"""One held call's request: its life, who said what, and the one table of transitions.

    pending  → approved | denied | expired | withdrawn
    approved → used (once) | lapsed

Time moves it too: `at` says what a request is at a moment, whatever was last written.
Pure: no clock, no network, no logging.
"""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Where a request is in its life."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    USED = "used"
    LAPSED = "lapsed"


class Verdict(StrEnum):
    """What one person says."""

    APPROVE = "approve"
    DENY = "deny"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """One rule that asks.

    Attributes:
        rule: `<namespace>/<policy>/<rule>`.
        groups: approvers must be in one of them; empty = anybody who may approve.
        count: distinct people who must say yes.
        text: the reason people wrote on the rule.
    """

    rule: str
    groups: tuple[str, ...]
    count: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """What one person said.

    Attributes:
        person: a stable id of the person (laptop: `uid:1000`), what `count` counts.
        name: what people call them.
        groups: theirs.
        reason: what they wrote, may be empty.
        evidence: how they said it, for the audit (pid, program, ancestors); never decides here.
        at_ms: set by the home.
    """

    person: str
    name: str
    groups: tuple[str, ...]
    verdict: Verdict
    reason: str = ""
    evidence: str = ""
    at_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One exact call that waits for people, or did.

    Attributes:
        id: `r-` and 26 letters or digits, never cut.
        digest: `sha256:` of asker, tool, canonical arguments, definition and asking rules.
        agent: `<namespace>/<service account>`; `pod` is the instance, alone allowed to use it.
        tool: `<source>.<tool>`.
        arguments: canonical JSON of all that is forwarded, numbers as they were spelled.
        definition: digest of the tool's definition when it was asked; empty = it has none.
        asking: the rules, sorted by id.
        timeout_ms: how long it is pending; a denial answers the same digest as long.
        use_within_ms: how long an approval can be used.
        opened_at_ms, decided_at_ms, used_at_ms: 0 = not yet.
        outcome: of a used one; empty = not known.
        trace_id: of the call that opened it.
        version: grows with every change.
    """

    id: str
    digest: str
    agent: str
    pod: str
    tool: str
    arguments: str
    definition: str
    asking: tuple[Asking, ...]
    timeout_ms: int
    use_within_ms: int
    state: State = State.PENDING
    votes: tuple[Vote, ...] = ()
    opened_at_ms: int = 0
    decided_at_ms: int = 0
    used_at_ms: int = 0
    outcome: str = ""
    trace_id: str = ""
    version: int = 1
