"""What people decided and what became of it, as lines of the controller's own chain.

Names are those that the API server authenticated and the injector stamped; nothing that a tenant
wrote past them is believed here.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from mesh7_core.audit import deeds
from mesh7_core.audit.deeds import Act, Deed
from mesh7_core.ledger.asked import Request, Verdict, Vote
from mesh7_operator.approving.ground import Ground
from mesh7_operator.cluster import shapes
from mesh7_operator.reconciling.compilation import is_exact
from mesh7_operator.reconciling.plan import Plan
from mesh7_operator.reconciling.world import Written

_MOST_DOUBTED: Final = 20
"""Of one namespace and look: tenants can claim without end."""
MOST_CLAIMED: Final = 50
"""Lines in an hour that tenants can cause: they are not to fill the chain that people are in."""
_HOUR_NS: Final = 3_600_000_000_000
_MOST_TEXT: Final = 300
_ACTS: Final = {Verdict.APPROVE: Act.APPROVE, Verdict.DENY: Act.DENY}


class Taking(Protocol):
    """Who writes lines (`recording.Recorder`)."""

    def note(self, namespace: str, line: bytes) -> None:
        """Take a line."""

    def note_fact(self, namespace: str, name: str, said: Mapping[str, object]) -> None:
        """Take what is no person's deed."""


@dataclass(slots=True)
class _Claimed:
    """What a namespace's tenants caused in this hour.

    Attributes:
        since_ns: when it began.
        lines: how many were written.
        left_out: how many were not.
    """

    since_ns: int
    lines: int = 0
    left_out: int = 0


class Chronicle:
    """Writes lines of what it is told.

    Args:
        taking: takes them; None = nobody does, for there is no Redis.
        wall_ns: the time.
    """

    def __init__(self, taking: Taking | None, wall_ns: Callable[[], int] = int) -> None:
        self._taking = taking
        self._wall_ns = wall_ns
        self._standing: dict[str, dict[str, Written]] = {}
        self._versions: dict[str, tuple[int, int]] = {}
        self._claims: dict[str, _Claimed] = {}

    # Held calls

    def decided(self, request: Request, ground: Ground) -> None:
        """What people said is signed and written: each of them, with the Grant that carried it."""
        for vote in request.votes:
            self._note(ground.namespace, self._deed(request, vote, ground.grants))

    def forged(self, namespace: str, request_id: str, why: str) -> None:
        """What lay in Redis was nobody's word, and was put right."""
        self._claimed(namespace, "forged", {"requestId": request_id, "why": why[:_MOST_TEXT]})

    def doubted(self, namespace: str, doubted: Mapping[str, str]) -> None:
        """Requests that are not what they claim to be."""
        for request_id, why in list(doubted.items())[:_MOST_DOUBTED]:
            said = {"requestId": request_id[:_MOST_TEXT], "why": why[:_MOST_TEXT]}
            self._claimed(namespace, "doubted", said)

    # Grants, vetoes, bundles

    def stand(self, namespace: str, grants: Iterable[Written], since: str) -> None:
        """The standing grants and vetoes of a namespace as they are now.

        Args:
            namespace: whose.
            grants: all of its Grants.
            since: RFC 3339; what was made before is known from an earlier term, where this
                namespace is seen for the first time.
        """
        now = {one.uid: one for one in grants if not is_exact(one)}
        before = self._standing.get(namespace)
        if before is None:
            before = {uid: one for uid, one in now.items() if _made_at(one) < since}
        self._standing[namespace] = now
        for uid in now.keys() - before.keys():
            is_veto = _spec(now[uid], "effect") == "Deny"
            self._note(namespace, self._standing_deed(now[uid], Act.KILL if is_veto else Act.GRANT))
        for uid in before.keys() - now.keys():
            said = {"name": before[uid].name, "uid": uid, "by": _username(before[uid])}
            # Who deleted it stands in the API server's own audit log.
            self._fact(namespace, "removed", said)

    def delivered(self, plan: Plan) -> None:
        """What is in force of a namespace, when it is another bundle or overlay than before."""
        versions = plan.bundle_version, plan.overlay_version
        before = self._versions.get(plan.namespace)
        self._versions[plan.namespace] = versions
        if not plan.publish or before == versions:
            return
        self._fact(plan.namespace, "bundle", {
            "from": "" if before is None else str(before[0]),
            "to": str(versions[0]),
            "version": versions[0],
            "overlay": versions[1],
            "origin": "controller",
        })  # fmt: skip

    def forget(self, namespace: str) -> None:
        """There is no such namespace any more."""
        self._standing.pop(namespace, None)
        self._versions.pop(namespace, None)
        self._claims.pop(namespace, None)

    def _deed(self, request: Request, vote: Vote, grants: Iterable[Written]) -> Deed:
        carried = [
            one
            for one in grants
            if shapes.text(one.value, "spec", "requestRef", "name") == request.id
            and _username(one) == vote.person
        ]
        grant = carried[-1] if carried else None
        return Deed(
            at_ns=self._wall_ns(),
            act=_ACTS[vote.verdict],
            person=vote.person,
            name=vote.name,
            evidence="authenticated by the API server, stamped by the injector",
            request_id=request.id,
            tool=request.tool,
            agent=request.agent,
            grant=grant.name if grant is not None else "",
            grant_uid=grant.uid if grant is not None else "",
            groups=vote.groups,
            reason=vote.reason,
            trace_id=request.trace_id,
        )

    def _standing_deed(self, grant: Written, act: Act) -> Deed:
        return Deed(
            at_ns=self._wall_ns(),
            act=act,
            person=_username(grant),
            name=_username(grant),
            evidence="as its Grant says",
            grant=grant.name,
            grant_uid=grant.uid,
            reason=_spec(grant, "reason")[:_MOST_TEXT],
        )

    def _note(self, namespace: str, deed: Deed) -> None:
        if self._taking is not None:
            self._taking.note(namespace, deeds.line(deed))

    def _claimed(self, namespace: str, name: str, said: Mapping[str, object]) -> None:
        """What tenants can cause without end: so much in an hour, then how much more there was."""
        now_ns = self._wall_ns()
        claims = self._claims.setdefault(namespace, _Claimed(now_ns))
        if now_ns - claims.since_ns > _HOUR_NS:
            if claims.left_out:
                self._fact(namespace, "doubted", {"leftOut": claims.left_out})
            claims = self._claims[namespace] = _Claimed(now_ns)
        if claims.lines >= MOST_CLAIMED:
            claims.left_out += 1
            return
        claims.lines += 1
        self._fact(namespace, name, said)

    def _fact(self, namespace: str, name: str, said: Mapping[str, object]) -> None:
        if self._taking is not None:
            self._taking.note_fact(namespace, name, said)


NOTHING: Final = Chronicle(None)
"""Has nobody to tell."""


def _username(grant: Written) -> str:
    return shapes.text(grant.value, "spec", "grantedBy", "username")


def _spec(grant: Written, name: str) -> str:
    return shapes.text(grant.value, "spec", name)


def _made_at(grant: Written) -> str:
    return shapes.text(grant.value, "metadata", "creationTimestamp")
