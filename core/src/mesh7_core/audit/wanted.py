"""Which records of the audit somebody wants to see, and whether one of them is meant.

A laptop's files and a cluster's stream are asked the same. Pure: no clock, no network, no logging.
"""

from dataclasses import dataclass

from mesh7_core.audit.recorded import Kind, Recorded, Traits
from mesh7_core.policy.globs import TextGlob


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """All that is said must be true of a record; None and empty ask nothing.

    Attributes:
        id: of the one record.
        agent: `<service account>` or `<namespace>/<service account>`.
        tool: over `<source>.<name>`, `*` crosses dots.
        decision: `Allow`, `Deny` or `Hold`.
        rule: a whole id, or what follows a `/` of it.
        is_deed: only what people did.
        trace: of 32 hex digits.
        request: the approval request.
        since_us, until_us: microseconds since 1970; since is in, until is not. A record without
            a time is then never meant.
    """

    id: str = ""
    agent: str = ""
    pod: str = ""
    tool: TextGlob | None = None
    decision: str = ""
    reason: str = ""
    outcome: str = ""
    rule: str = ""
    is_deed: bool = False
    trace: str = ""
    request: str = ""
    since_us: int | None = None
    until_us: int | None = None


def means(wanted: Wanted, record: Recorded) -> bool:
    """Whether this record is wanted; seals, which are no records, never are."""
    return (
        (not wanted.id or record.id == wanted.id)
        and (not wanted.trace or record.trace_id == wanted.trace)
        and (not wanted.request or record.request_id == wanted.request)
        and is_within(wanted, record.at_us)
        and means_such(wanted, record.traits)
    )


def means_such(wanted: Wanted, traits: Traits) -> bool:
    """Whether a record with these traits may be wanted, whatever its time and ids."""
    return (
        traits.kind is not Kind.SEAL
        and (not wanted.is_deed or traits.kind is Kind.DEED)
        and (not wanted.decision or traits.decision == wanted.decision)
        and (not wanted.reason or traits.reason == wanted.reason)
        and (not wanted.outcome or traits.outcome == wanted.outcome)
        and (not wanted.pod or traits.pod == wanted.pod)
        and (not wanted.agent or _is_named(traits.agent, wanted.agent))
        and (not wanted.rule or any(_is_named(rule, wanted.rule) for rule in traits.rules))
        and (wanted.tool is None or wanted.tool.matches(traits.tool))
    )


def is_within(wanted: Wanted, at_us: int | None) -> bool:
    """Whether a time lies in what is asked."""
    if wanted.since_us is None and wanted.until_us is None:
        return True
    return (
        at_us is not None
        and (wanted.since_us is None or wanted.since_us <= at_us)
        and (wanted.until_us is None or at_us < wanted.until_us)
    )


def _is_named(whole: str, given: str) -> bool:
    """Whether `given` is all of it, or what follows one of its `/`."""
    return whole == given or whole.endswith(f"/{given}")
