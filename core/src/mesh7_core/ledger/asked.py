"""One held call's request and what people say about it: values; `approvals` says what may happen.

Pure: no clock, no network, no logging.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

MOST_ASKING: Final = 64
"""Rules that ask about one call; of more nobody is asked, and the call is refused."""
MOST_GROUPS: Final = 32
"""That one rule may name."""
MOST_PEOPLE: Final = 16
"""That one rule may ask for."""
MOST_VOTES: Final = MOST_ASKING * MOST_PEOPLE
"""About one request."""


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

    @property
    def policy(self) -> str:
        """`<namespace>/<policy>`."""
        return self.rule.rpartition("/")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """What one person said.

    Attributes:
        person: a stable id of the person (laptop: `uid:1000`), what `count` counts.
        name: what people call them.
        groups: theirs.
        policies: for whose rules they speak, `<namespace>/<policy>`; empty = for all (laptop).
        reason: what they wrote, may be empty.
        evidence: how they said it, for the audit (pid, program, ancestors); never decides here.
        at_ms: set by the home.
    """

    person: str
    name: str
    groups: tuple[str, ...]
    verdict: Verdict
    policies: tuple[str, ...] = ()
    reason: str = ""
    evidence: str = ""
    at_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One exact call that waits for people, or did.

    Attributes:
        id: `r-` and 26 letters or digits, never cut.
        digest: `sha256:` of asker, tool, canonical arguments, definition and asking rules
            (`policy.exact`).
        agent: `<namespace>/<service account>`; `pod` is the instance, alone allowed to use it.
        tool: `<source>.<tool>`.
        arguments: canonical JSON of all that is forwarded, numbers as they were spelled; what
            `shortening` left of it when it was too long; empty = let go after it closed.
        cut_from_bytes: how long the arguments were when they were too long; 0 = they were not.
        definition: digest of the tool's definition when it was asked; empty = it has none.
        asking: the rules, sorted by id.
        timeout_ms: how long it is pending; a denial answers the same digest as long.
        use_within_ms: how long an approval can be used.
        opened_at_ms, decided_at_ms, used_at_ms: 0 = not yet; `decided_at_ms` is also when it
            was withdrawn.
        outcome: of a used one; empty = not known.
        trace_id: of the call that opened it.
        traceparent: the span that waits for people, or the caller's own where the call is not
            traced (W3C Trace Context); empty = there is none.
        uid, family, source_kind, source_host, source, mark, salt: what the digest binds beside the
            above, so that whoever answers can work it out anew (`policy.exact.ExactCall`); people
            are not shown the salt.
        version: grows with every change that is written; time alone changes it not.
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
    traceparent: str = ""
    cut_from_bytes: int = 0
    uid: str = ""
    family: str = "tools"
    source_kind: str = "mcp"
    source_host: str = ""
    source: str = ""
    mark: str = ""
    salt: str = field(default="", repr=False)
    version: int = 1


@dataclass(frozen=True, slots=True)
class Refused:
    """It was not done; `why` is for people: small first letter, no full stop."""

    why: str


def counts_for(asking: Asking, vote: Vote) -> bool:
    """Whether this person may speak for this rule: its policy, and one of its groups."""
    if vote.policies and asking.policy not in vote.policies:
        return False
    return not asking.groups or not set(asking.groups).isdisjoint(vote.groups)


def repeats(vote: Vote, before: Vote) -> bool:
    """Whether the same person speaks again, and for a policy that they have spoken for.

    A no after a yes of one's own is none: whoever finds out more may always stop it.
    """
    if vote.person != before.person or _turns(vote, before):
        return False
    spoken, again = before.policies, vote.policies
    return not spoken or not again or not set(spoken).isdisjoint(again)


def _turns(vote: Vote, before: Vote) -> bool:
    return vote.verdict is Verdict.DENY and before.verdict is Verdict.APPROVE


def supporters(asking: Asking, votes: tuple[Vote, ...]) -> tuple[str, ...]:
    """The distinct people whose yes counts for a rule, in the order they said it."""
    return tuple(
        dict.fromkeys(
            one.person
            for one in votes
            if one.verdict is Verdict.APPROVE and counts_for(asking, one)
        )
    )


def is_supported(asking: tuple[Asking, ...], votes: tuple[Vote, ...]) -> bool:
    """Whether every rule has as many people as it asks for; nobody asked = nobody said yes.

    That of `supporters`, at a cost that grows with what is written and not with its square: a
    store that others write to may hold thousands of rules, groups and votes.
    """
    spoken = _Spoken(asking)
    people: list[set[str]] = [set() for _ in asking]
    lacking = spoken.everywhere
    for vote in votes:
        if vote.verdict is not Verdict.APPROVE:
            continue
        for place in _places(spoken.by(vote) & lacking):
            people[place].add(vote.person)
            if len(people[place]) >= max(asking[place].count, 1):
                lacking &= ~(1 << place)
    return bool(asking) and not lacking


class _Spoken:
    """For which rules a vote speaks (`counts_for`): a bit for each, by its place."""

    def __init__(self, asking: tuple[Asking, ...]) -> None:
        self.everywhere = (1 << len(asking)) - 1
        self._for_all = 0
        self._of_group: dict[str, int] = {}
        self._of_policy: dict[str, int] = {}
        for place, one in enumerate(asking):
            bit = 1 << place
            self._of_policy[one.policy] = self._of_policy.get(one.policy, 0) | bit
            if not one.groups:
                self._for_all |= bit
            for group in one.groups:
                self._of_group[group] = self._of_group.get(group, 0) | bit

    def by(self, vote: Vote) -> int:
        theirs = self._for_all
        for group in vote.groups:
            theirs |= self._of_group.get(group, 0)
        if not vote.policies:
            return theirs
        meant = 0
        for policy in vote.policies:
            meant |= self._of_policy.get(policy, 0)
        return theirs & meant


def _places(bits: int) -> Iterator[int]:
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest
