"""What becomes of one mirrored request: ladders by what stands, the first rung that fits decides.

pending   forgotten by Redis; decided by our own signature; pod gone; time over; withdrawn or
          expired there; rules changed; decided by people now; somebody else's word put back
approved  used; time over; pod gone; forgotten; withdrawn; denied by our own signature; as it should
          be; told again
closed    used after all; a denial told again; whatever Redis still holds open withdrawn
Pure: no clock, no network, no logging.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from mesh7_core.ledger.asked import State, Vote
from mesh7_core.ledger.asking import Asked
from mesh7_operator.approving import deciding, moments
from mesh7_operator.approving.deciding import Told
from mesh7_operator.approving.ground import Ground, InLedger
from mesh7_operator.approving.mirrored import Mirrored, Standing
from mesh7_operator.approving.steps import Settle
from mesh7_operator.reconciling.reasons import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """One request after this round."""

    now: Standing
    settle: Settle | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """One mirrored request and all that bears on it.

    Attributes:
        held: what Redis holds of it; None when that is nothing, or another call.
        is_asked_anew: another request asks about the very same call.
        votes: what stamped Grants say, in order; worked out when somebody asks.
        asked: what rules of the policies in force ask for (`genuine.asked`).
    """

    ground: Ground
    mirror: Mirrored
    before: Standing
    held: InLedger | None
    is_asked_anew: bool
    votes: Callable[[], tuple[Vote, ...]]
    asked: Callable[[tuple[str, ...]], Asked | None]

    @property
    def is_pod_gone(self) -> bool:
        """Whether the pod that asked is known not to be there."""
        pods = self.ground.pods
        return pods is not None and pods.get(self.mirror.pod) != self.mirror.uid

    def told(self, held: InLedger) -> Told:
        """With what people said; what counted already comes first."""
        said = {(one.username, one.verdict): one.at_ms for one in self.before.decisions}
        votes = [replace(one, at_ms=said.get((one.person, one.verdict), 0)) for one in self.votes()]
        votes.sort(key=lambda one: one.at_ms or moments.LAST_MS)
        return Told(mirror=self.mirror, held=held, votes=tuple(votes), ground=self.ground)


def follow(situation: Situation) -> Followed:
    """What becomes of it; what is not known now (`Ground`) closes and decides nothing."""
    before = situation.before
    if situation.ground.ledger is None:
        return Followed(now=_waiting(before) if before.state is State.PENDING else before)
    match before.state:
        case State.PENDING:
            return _pending(situation)
        case State.APPROVED:
            return _approved(situation, before)
        case _:
            return _closed(situation)


def _pending(one: Situation) -> Followed:
    ground, mirror, held = one.ground, one.mirror, one.held
    is_over = ground.store_ms >= mirror.expires_at_ms
    if held is None:
        return _expired(one) if is_over else _gone(one, Reason.FORGOTTEN)
    policies = ground.policies
    asked = None if policies is None else one.asked(tuple(each.rule for each in mirror.asking))
    found = deciding.decided_before(one.told(held), asked) if held.decision else None
    if found is not None:
        return _decided(one, found)
    if one.is_pod_gone:
        return _gone(one, Reason.POD_GONE)
    if is_over or held.request.state is State.EXPIRED:
        return _expired(one)
    if held.request.state is State.WITHDRAWN:
        return _gone(one, Reason.WITHDRAWN)
    if policies is not None and not _is_as_asked(mirror, asked):
        return _gone(one, Reason.RULES_CHANGED)
    if asked is None or ground.pods is None:
        return Followed(now=_waiting(one.before))
    return _asked(one, held, asked)


def _asked(one: Situation, held: InLedger, asked: Asked) -> Followed:
    told = one.told(held)
    found = deciding.decided(told, asked) if told.votes else None
    if found is not None:
        return _decided(one, found)
    votes = [replace(vote, at_ms=vote.at_ms or one.ground.store_ms) for vote in told.votes]
    now = replace(_waiting(one.before), decisions=tuple(deciding.said(votes, one.mirror)))
    return Followed(now=now, settle=deciding.reopened(held))


def _decided(one: Situation, now: Standing) -> Followed:
    return _approved(one, now) if now.state is State.APPROVED else _denied(one, now)


def _approved(one: Situation, now: Standing) -> Followed:
    ground, held = one.ground, one.held
    if held is not None and held.request.state is State.USED:
        return Followed(now=_used(now, held))
    if ground.store_ms >= now.usable_until_ms:
        reason = Reason.FORGOTTEN if held is None else Reason.LAPSED
        return Followed(now=replace(now, state=State.LAPSED, reason=reason))
    if one.is_pod_gone:
        return _gone(replace(one, before=now), Reason.POD_GONE)
    if held is None:
        # One yes for one call: whoever asks anew has the old one closed.
        state = State.LAPSED if one.is_asked_anew else now.state
        return Followed(now=replace(now, state=state, reason=Reason.FORGOTTEN))
    if held.request.state is State.WITHDRAWN:
        return _gone(replace(one, before=now), Reason.WITHDRAWN)
    signed = deciding.unsealed(one.mirror, held, ground)
    if signed is not None and not signed.is_approved:
        return _contradicted(one, held, now)
    is_told = held.request.state is State.APPROVED and signed is not None
    settle = None if is_told else deciding.put(one.told(held), now)
    is_known = is_told or settle is not None
    reason = Reason.APPROVED if is_known else Reason.FORGOTTEN
    return Followed(now=replace(now, reason=reason), settle=settle)


def _denied(one: Situation, now: Standing) -> Followed:
    held = one.held
    is_over = one.ground.store_ms >= now.decided_at_ms + one.mirror.timeout_ms
    if held is None or is_over or one.is_pod_gone or held.request.state is State.WITHDRAWN:
        return Followed(now=now)
    signed = deciding.unsealed(one.mirror, held, one.ground)
    if signed is not None and signed.is_approved and held.request.state is State.USED:
        return _contradicted(one, held, now)
    if signed is not None and not signed.is_approved and held.request.state is State.DENIED:
        return Followed(now=now)
    return Followed(now=now, settle=deciding.put(one.told(held), now))


def _closed(one: Situation) -> Followed:
    now, held = one.before, one.held
    if held is None:
        return Followed(now=now)
    if now.state is State.DENIED:
        return _denied(one, now)
    if held.request.state is State.USED and now.usable_until_ms:
        return Followed(now=_used(now, held))
    forged = f"it says `{held.request.state}`, and the request is closed as `{now.state}`"
    return Followed(now=now, settle=deciding.withdrawn(held, one.ground.store_ms, forged))


def _contradicted(one: Situation, held: InLedger, now: Standing) -> Followed:
    """Two leaders signed different words: a no stands, and so does what ran already."""
    signed = deciding.decided_before(one.told(held), None)
    return _decided(one, now if signed is None else signed)


def _is_as_asked(mirror: Mirrored, asked: Asked | None) -> bool:
    """Whether the rules that asked still ask the same people, for as long."""
    if asked is None:
        return False
    now = {one.rule: (set(one.groups), one.count) for one in asked.asking}
    before = {one.rule: (set(one.groups), one.count) for one in mirror.asking}
    return now == before and asked.timeout_ms == mirror.timeout_ms


def _waiting(before: Standing) -> Standing:
    return replace(before, state=State.PENDING, reason=Reason.WAITS)


def _used(now: Standing, held: InLedger) -> Standing:
    return replace(
        now, state=State.USED, reason=Reason.USED, outcome=now.outcome or held.request.outcome
    )


def _expired(one: Situation) -> Followed:
    return Followed(now=replace(one.before, state=State.EXPIRED, reason=Reason.EXPIRED))


def _gone(one: Situation, reason: Reason) -> Followed:
    settle = None if one.held is None else deciding.withdrawn(one.held, one.ground.store_ms)
    return Followed(now=replace(one.before, state=State.WITHDRAWN, reason=reason), settle=settle)
