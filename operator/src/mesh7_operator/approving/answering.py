"""What people answer to one request: Grants in, votes and refusals out.

Rungs, the first that fits refuses: another request of that name, another call, another pod; a yes
that is being deleted; its time is over; its policy does not ask; unseen arguments; nobody knows who
made it; an agent made it; no group of theirs may; they said it already, which no no after a yes is.
In the order in which the API server made them; of those of one second what denies comes first, then
by name.
Pure: no clock, no network, no logging.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from mesh7_core.api.places import value_at
from mesh7_core.delivery import stamps
from mesh7_core.ledger.asked import Verdict, Vote, counts_for, repeats
from mesh7_operator.approving import moments
from mesh7_operator.approving.ground import Ground
from mesh7_operator.approving.mirrored import Mirrored, texts_of
from mesh7_operator.reconciling import compilation, wording
from mesh7_operator.reconciling.reasons import Reason, Truth
from mesh7_operator.reconciling.world import Written

MOST_OF_PERSON: Final = 8
"""Yeses of one person for one policy that are looked at, and as many noes; a stamp costs."""
MOST_ANSWERS: Final = 256
"""Yeses to one request that are looked at, and as many noes."""
_EFFECTS: Final = {"Allow": Verdict.APPROVE, "Deny": Verdict.DENY}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a Grant does not count."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One Grant: a vote, or why it is none."""

    written: Written
    said: Vote | Refusal


def by_request(grants: Iterable[Written]) -> Mapping[str, list[Written]]:
    """Grants by the name of the request that they answer, in the order in which they count."""
    found: dict[str, list[Written]] = {}
    for one in sorted(grants, key=_order):
        found.setdefault(str(_spec(one, "requestRef", "name") or ""), []).append(one)
    return found


def answers(mirror: Mirrored, grants: Iterable[Written], ground: Ground) -> tuple[Answer, ...]:
    """What each of a request's Grants says, in order; whether it is too late is not asked here."""
    found: list[Answer] = []
    heard: Counter[tuple[str, ...]] = Counter()
    for one in grants:
        said = _said(one, mirror, ground, heard)
        if isinstance(said, Vote):
            said = _spare(one, said) or _repeated(said, found) or said
        found.append(Answer(written=one, said=said))
    return tuple(found)


def votes_of(found: Iterable[Answer]) -> Iterator[Vote]:
    """Those that count."""
    return (one.said for one in found if isinstance(one.said, Vote))


def no_such_request(grant: Written) -> Refusal:
    """There is none of that name, or it is another one than was meant."""
    name = _spec(grant, "requestRef", "name")
    if not isinstance(name, str) or not name:
        message = "`requestRef` and `digest` belong together, and it names no request"
    else:
        message = (
            f"there is no request `{name}` with that uid in namespace `{grant.namespace}`, look at "
            "what waits and answer that"
        )
    return Refusal(Reason.NO_SUCH_REQUEST, message)


def _said(
    grant: Written, mirror: Mirrored, ground: Ground, heard: Counter[tuple[str, ...]]
) -> Vote | Refusal:
    refusal = _about_another(grant, mirror) or _taken_back(grant)
    refusal = refusal or _outside(grant, mirror, ground) or _beyond(grant, heard)
    if refusal is not None:
        return refusal
    username = _spec(grant, "grantedBy", "username")
    if not stamps.is_stamped(grant.value, ground.stamps):
        return _UNSTAMPED
    if not isinstance(username, str) or not username:
        return _UNSTAMPED
    if username.startswith(f"system:serviceaccount:{ground.namespace}:"):
        return Refusal(Reason.ANSWERED_BY_AGENT, f"`{username}` is an account of the namespace "
                       "that asks, and agents answer nothing; let a person do it")  # fmt: skip
    vote = _vote(grant, username)
    if any(counts_for(one, vote) for one in mirror.asking):
        return vote
    return _not_in_groups(vote, mirror)


def _beyond(grant: Written, heard: Counter[tuple[str, ...]]) -> Refusal | None:
    """Whoever may answer may answer without end, and each stamp would be verified in each look."""
    effect, name = str(_spec(grant, "effect")), str(_spec(grant, "grantedBy", "username"))
    heard[effect, name, _policy(grant)] += 1
    if heard[effect, name, _policy(grant)] > MOST_OF_PERSON:
        said = f"`{name}` has answered it {MOST_OF_PERSON} times"
    elif heard[effect,] >= MOST_ANSWERS:
        said = f"it has {MOST_ANSWERS} answers"
    else:
        heard[effect,] += 1
        return None
    return Refusal(Reason.ALREADY_SAID, f"{said}, and no more are looked at; delete those that do "
                   "not count and answer anew")  # fmt: skip


def _about_another(grant: Written, mirror: Mirrored) -> Refusal | None:
    if _spec(grant, "requestRef", "uid") != mirror.written.uid:
        return no_such_request(grant)
    if _spec(grant, "digest") != mirror.digest:
        return Refusal(Reason.DIGEST_MISMATCH, f"it is for another call than request `{mirror.id}`,"
                       " name the request's `spec.digest`")  # fmt: skip
    subject = _spec(grant, "subject")
    if subject != {"pod": mirror.pod}:
        return Refusal(Reason.NOT_FOR_THIS_POD, f"request `{mirror.id}` is of pod `{mirror.pod}`, "
                       "which `subject.pod` has to name, alone")  # fmt: skip
    return None


def _taken_back(grant: Written) -> Refusal | None:
    """A yes ends with the word to delete it, and a no when it is gone."""
    if not compilation.is_taken_back(grant):
        return None
    return Refusal(Reason.BEING_DELETED, wording.BEING_DELETED)


def _outside(grant: Written, mirror: Mirrored, ground: Ground) -> Refusal | None:
    if _spec(grant, "effect") not in _EFFECTS:
        return Refusal(Reason.INVALID, "spec.effect: write `Allow` or `Deny`")
    written_end = _spec(grant, "expiresAt")
    ends_at_ms = moments.read(written_end)
    if written_end is not None and (ends_at_ms is None or ends_at_ms <= moments.ms_of(ground.now)):
        return Refusal(Reason.EXPIRED, "its `expiresAt` is past, answer anew and leave it out")
    asking = sorted({one.policy for one in mirror.asking})
    if _policy(grant) not in asking:
        named = ", ".join(f"`{one}`" for one in asking)
        return Refusal(
            Reason.POLICY_DOES_NOT_ASK,
            f"policy `{_policy(grant)}` does not ask about request `{mirror.id}`, `policyRef` has "
            f"to name one of: {named}",
        )
    is_seen = not mirror.is_cut or _spec(grant, "unseen") is True
    if _spec(grant, "effect") == "Allow" and not is_seen:
        return Refusal(Reason.ARGUMENTS_UNSEEN, "not all that is forwarded can be shown, "
                       "approve with `--unseen` (`unseen: true`) or deny")  # fmt: skip
    return None


_UNSTAMPED: Final = Refusal(
    Reason.NOT_STAMPED,
    "admission has not stamped it, so that nobody knows who made it, create it anew while the "
    "injector runs",
)


def _not_in_groups(vote: Vote, mirror: Mirrored) -> Refusal:
    groups = sorted({group for one in mirror.asking if one.policy in vote.policies
                     for group in one.groups})  # fmt: skip
    named = ", ".join(f"`{group}`" for group in groups)
    return Refusal(
        Reason.NOT_IN_GROUPS,
        f"`{vote.name}` is in none of the groups that policy `{vote.policies[0]}` asks: {named}",
    )


def _spare(grant: Written, vote: Vote) -> Refusal | None:
    """A yes that was told to be one too many stays that, also when the first is taken back."""
    told = value_at(grant.status, ("conditions", 0))
    if vote.verdict is Verdict.DENY or not isinstance(told, dict):
        return None
    if told.get("reason") != Reason.ALREADY_SAID.value:
        return None
    return Refusal(Reason.ALREADY_SAID, str(told.get("message")))


def _repeated(vote: Vote, before: Iterable[Answer]) -> Refusal | None:
    for one in before:
        if isinstance(one.said, Vote) and repeats(vote, one.said):
            word = "approved" if one.said.verdict is Verdict.APPROVE else "denied"
            name, where = one.written.name, one.written.namespace
            return Refusal(Reason.ALREADY_SAID, f"`{vote.name}` {word} it already by Grant "
                           f"`{name}`, and each person counts once; `kubectl mesh7 revoke {name} "
                           f"-n {where}` takes that back (needs `delete` on grants)")  # fmt: skip
    return None


def _vote(grant: Written, username: str) -> Vote:
    reason = _spec(grant, "reason")
    return Vote(
        person=username,
        name=username,
        groups=tuple(sorted(set(texts_of(_spec(grant, "grantedBy", "groups"))))),
        verdict=_EFFECTS[str(_spec(grant, "effect"))],
        policies=(_policy(grant),),
        reason=reason if isinstance(reason, str) else "",
    )


def _policy(grant: Written) -> str:
    return f"{_spec(grant, 'policyRef', 'namespace')}/{_spec(grant, 'policyRef', 'name')}"


def _spec(grant: Written, *path: str) -> object:
    return value_at(grant.value, ("spec", *path))


def _order(grant: Written) -> tuple[str, bool, bool, str]:
    made = value_at(grant.value, ("metadata", "creationTimestamp"))
    # Creations are noted in whole seconds: what counts already goes on counting.
    counts = value_at(grant.status, ("conditions", 0, "status")) == Truth.TRUE.value
    return str(made or ""), _spec(grant, "effect") != "Deny", not counts, grant.name
