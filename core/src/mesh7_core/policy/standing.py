"""Standing grants and vetoes: which of them bear on a call, and whether they may.

Pure: no clock, no network, no logging.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from mesh7_core.policy.bundle import Grant
from mesh7_core.policy.calls import Call
from mesh7_core.policy.rules import Approval, Grantable
from mesh7_core.policy.voices import Voice

MOST_AHEAD = timedelta(minutes=1)
"""How far another's clock may be ahead; a grant made later than that counts as made now."""


def covering(
    asked: Sequence[Voice], grants: Sequence[Grant], call: Call, now: datetime
) -> tuple[tuple[Grant, ...], ...]:
    """Per voice that asks, the grants that may stand in for it, by id.

    A grant stands in for the rules of its own policy and for no other's, so that nothing in a
    namespace answers for its baseline.
    """
    holding = [one for one in grants if _holds(one, call, now)]
    return tuple(
        tuple(
            one
            for one in holding
            if one.policy == voice.policy and _stands_in(one, voice.approval, now)
        )
        for voice in asked
    )


def is_within(grant: Grant, grantable: Grantable | None, now: datetime) -> bool:
    """Whether a rule lets itself be relaxed as far as the grant goes; None = not at all.

    Args:
        grant: with an end; one without is in no bounds.
        grantable: of the rule that asks.
        now: what counts as the grant's creation when that is not known.
    """
    if grantable is None or grant.expires_at is None:
        return False
    most = grantable.maximum_uses
    if most is not None and (grant.maximum_uses is None or grant.maximum_uses > most):
        return False
    made = grant.created_at
    if made is None or made > now + MOST_AHEAD:
        made = now
    return grant.expires_at - made <= grantable.maximum_duration


def barred(grant: Grant, approval: Approval) -> str:
    """Why its maker's word does not do for a rule, for people; empty = it does.

    A standing grant is one person's word, so it answers only where a rule asks one person, and
    somebody of its maker's groups.
    """
    if grant.groups is None:
        return ""
    if approval.count > 1:
        return f"it asks {approval.count} people, and a grant is the word of one"
    if approval.groups and set(approval.groups).isdisjoint(grant.groups):
        named = " or ".join(f"`{group}`" for group in approval.groups)
        return f"it asks people of {named}, and whoever made the grant is not one of them"
    return ""


def use_key(identifier: str, created_at: datetime | None, expires_at: datetime | None) -> str:
    """What a grant's uses are counted under: one made anew under an old name begins at none.

    Args:
        identifier: `<namespace>/<name>`.
    """
    times = (
        0 if each is None else int(each.timestamp() * 1000) for each in (created_at, expires_at)
    )
    return "@".join((identifier, *(str(each) for each in times)))


def speaking(vetoes: Sequence[Grant], call: Call, now: datetime) -> Grant | None:
    """The first veto that is in force; one whose condition fails is."""
    for veto in vetoes:
        if veto.expires_at is not None and veto.expires_at <= now:
            continue
        if veto.condition is None or veto.condition.evaluate(call, now) is not False:
            return veto
    return None


def _holds(grant: Grant, call: Call, now: datetime) -> bool:
    if grant.expires_at is None or grant.expires_at <= now:
        return False
    return grant.condition is None or grant.condition.evaluate(call, now) is True


def _stands_in(grant: Grant, approval: Approval | None, now: datetime) -> bool:
    if approval is None or barred(grant, approval):
        return False
    return is_within(grant, approval.grantable, now)
