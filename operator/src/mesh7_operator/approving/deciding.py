"""What people decided about one request, and how Redis is told: signed, and settled.

The first decision is final: its moment and its end stand in the mirror's status, and a Redis that
forgot it is told the same again. Nothing is signed that stamped Grants do not carry.
Pure: no clock, no network, no logging.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from mesh7_core.delivery import decisions
from mesh7_core.delivery.decisions import Decision
from mesh7_core.ledger import approvals
from mesh7_core.ledger.asked import Request, State, Verdict, Vote
from mesh7_core.ledger.asking import Asked
from mesh7_operator.approving.ground import Ground, InLedger
from mesh7_operator.approving.mirrored import OPEN, Mirrored, Said, Standing
from mesh7_operator.approving.steps import Settle
from mesh7_operator.reconciling import conditions
from mesh7_operator.reconciling.reasons import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A request with what was said about it.

    Attributes:
        votes: by stamped Grants, in order; dated where the mirror knows when.
    """

    mirror: Mirrored
    held: InLedger
    votes: tuple[Vote, ...]
    ground: Ground


def decided(told: Told, asked: Asked) -> Standing | None:
    """What the votes come to now; None while more people have to speak."""
    store_ms = told.ground.store_ms
    counted = _tallied(told, asked.use_within_ms, store_ms)
    if counted.state is State.PENDING:
        return None
    return _standing(counted.state, said(counted.votes, told.mirror), store_ms, told, asked)


def decided_before(told: Told, asked: Asked | None) -> Standing | None:
    """What our own signed decision in Redis says, when its mirror was not told any more."""
    sealed = unsealed(told.mirror, told.held, told.ground)
    if sealed is None:
        return None
    state = State.APPROVED if sealed.is_approved else State.DENIED
    use_within_ms = told.held.request.use_within_ms if asked is None else asked.use_within_ms
    span_ms = use_within_ms if sealed.is_approved else told.mirror.timeout_ms
    at_ms = sealed.until_ms - span_ms
    at_ms = min(max(at_ms, told.mirror.opened_at_ms), told.ground.store_ms)
    counted = _tallied(told, use_within_ms, at_ms)
    verdict = Verdict.APPROVE if sealed.is_approved else Verdict.DENY
    people = (
        said(counted.votes, told.mirror)
        if counted.state is state
        else [_named(name, verdict, sealed.reason, at_ms) for name in sealed.by or ("",)]
    )
    found = _standing(state, people, at_ms, told, asked)
    return replace(found, usable_until_ms=sealed.until_ms) if sealed.is_approved else found


def put(told: Told, standing: Standing) -> Settle | None:
    """Redis told (again) what was decided; None = the Grants that carried it are gone."""
    is_approved = standing.state is State.APPROVED
    at_ms = standing.decided_at_ms
    span_ms = standing.usable_until_ms - at_ms if is_approved else told.mirror.timeout_ms
    heard = {(one.username, one.verdict) for one in standing.decisions}
    votes = tuple(one for one in told.votes if (one.person, one.verdict) in heard)
    counted = _tallied(replace(told, votes=votes), max(span_ms, 0), at_ms)
    if counted.state is not standing.state:
        return None
    request = told.held.request
    return Settle(
        before=request,
        after=replace(counted, version=request.version + 1),
        decision=_sealed(told, standing, at_ms + span_ms),
        forged=_contradicted(request.state, standing),
    )


def withdrawn(held: InLedger, store_ms: int, forged: str = "") -> Settle | None:
    """Redis told that nobody needs an answer; None = it knows that, or something final."""
    request = held.request
    if request.state not in OPEN:
        return None
    after = replace(
        request,
        state=State.WITHDRAWN,
        votes=(),
        decided_at_ms=max(store_ms, request.opened_at_ms),
        version=request.version + 1,
    )
    return Settle(before=request, after=after, forged=forged)


def reopened(held: InLedger) -> Settle | None:
    """Redis put back to pending where somebody else decided; None = nobody did."""
    request = held.request
    if request.state is State.PENDING:
        return None
    return Settle(
        before=request,
        after=replace(_clean(request), version=request.version + 1),
        forged=f"it says `{request.state}`, and no decision of the operator does",
    )


def unsealed(mirror: Mirrored, held: InLedger, ground: Ground) -> Decision | None:
    """Our own decision about this request, if that is what lies there."""
    if not held.decision:
        return None
    found = decisions.unseal(held.decision, [ground.signer.public])
    if not isinstance(found, Decision):
        return None
    meant = (ground.namespace, mirror.id, mirror.digest, mirror.uid)
    return found if (found.namespace, found.request_id, found.digest, found.uid) == meant else None


def said(votes: Iterable[Vote], mirror: Mirrored) -> list[Said]:
    """What people said, each once, in the order in which they had said it all."""
    named = {group for one in mirror.asking for group in one.groups}
    found: dict[tuple[str, Verdict], Said] = {}
    for vote in votes:
        before = found.pop((vote.person, vote.verdict), None)
        groups = named.intersection(vote.groups)
        found[vote.person, vote.verdict] = Said(
            username=vote.person,
            verdict=vote.verdict,
            groups=tuple(sorted(groups.union(before.groups if before else ()))),
            reason=vote.reason or (before.reason if before else ""),
            at_ms=max(vote.at_ms, before.at_ms if before else 0),
        )
    return list(found.values())


def _tallied(told: Told, use_within_ms: int, decided_at_ms: int) -> Request:
    """Nothing that Redis says of rules, times or people plays a part."""
    mirror = told.mirror
    request = replace(
        _clean(told.held.request),
        asking=mirror.asking,
        opened_at_ms=mirror.opened_at_ms,
        timeout_ms=mirror.timeout_ms,
        use_within_ms=use_within_ms,
    )
    return approvals.tally(request, told.votes, told.ground.store_ms, decided_at_ms)


def _clean(request: Request) -> Request:
    return replace(
        request, state=State.PENDING, votes=(), decided_at_ms=0, used_at_ms=0, outcome=""
    )


def _standing(
    state: State, people: Sequence[Said], at_ms: int, told: Told, asked: Asked | None
) -> Standing:
    use_within_ms = told.held.request.use_within_ms if asked is None else asked.use_within_ms
    is_approved = state is State.APPROVED
    return Standing(
        state=state,
        decisions=(*people[:-1], replace(people[-1], at_ms=at_ms)),
        usable_until_ms=at_ms + use_within_ms if is_approved else 0,
        reason=Reason.APPROVED if is_approved else Reason.DENIED,
    )


def _named(name: str, verdict: Verdict, reason: str, at_ms: int) -> Said:
    return Said(username=name, verdict=verdict, groups=(), reason=reason, at_ms=at_ms)


def _sealed(told: Told, standing: Standing, until_ms: int) -> bytes:
    is_approved = standing.state is State.APPROVED
    verdict = Verdict.APPROVE if is_approved else Verdict.DENY
    people = [one for one in standing.decisions if one.verdict is verdict]
    decision = Decision(
        namespace=told.ground.namespace,
        request_id=told.mirror.id,
        digest=told.mirror.digest,
        uid=told.mirror.uid,
        is_approved=is_approved,
        until_ms=until_ms,
        by=tuple(conditions.line(one.username) for one in people),
        reason=conditions.line(people[-1].reason) if people else "",
    )
    return decisions.seal(decision, told.ground.signer)


def _contradicted(state: State, standing: Standing) -> str:
    """Redis may have forgotten; what it cannot do by itself is say something else."""
    is_told = state in {State.PENDING, standing.state}
    return "" if is_told else f"it says `{state}`, and people decided `{standing.state}`"
