"""ApprovalRequests as they are read back: what was asked, and what became of it by our own word.

The controller alone writes them, and a decision is signed for what stands there and not for what
Redis says. One that cannot be read is nobody's. Pure: no clock, no network, no logging.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from mesh7_core.api.places import value_at
from mesh7_core.ledger import showing
from mesh7_core.ledger.asked import Asking, Request, State, Verdict
from mesh7_operator.approving import moments
from mesh7_operator.reconciling.reasons import Reason
from mesh7_operator.reconciling.world import Written

OPEN: Final = frozenset({State.PENDING, State.APPROVED})

_AROUND_BYTES: Final = 4 * 1024
"""Metadata, and who manages which field."""
_STATES: Final = {state.value.capitalize(): state for state in State}
_VERDICTS: Final = {verdict.value.capitalize(): verdict for verdict in Verdict}
_REASONS: Final = {reason.value: reason for reason in Reason}


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one person said, as the status has it.

    Attributes:
        groups: those of theirs that the rules name.
        at_ms: by the ledger's clock, when it was counted.
    """

    username: str
    verdict: Verdict
    groups: tuple[str, ...]
    reason: str
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What became of a request so far.

    Attributes:
        decisions: what people said, in the order in which it was counted.
        usable_until_ms: of one that was approved, whatever became of it; 0 = it was not.
        reason: of the condition `Ready`; None = nothing of ours stands there.
    """

    state: State
    decisions: tuple[Said, ...] = ()
    usable_until_ms: int = 0
    outcome: str = ""
    reason: Reason | None = None

    @property
    def decided_at_ms(self) -> int:
        """When the last one who was needed had said it; 0 = nobody said anything."""
        return self.decisions[-1].at_ms if self.decisions else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirrored:
    """One ApprovalRequest.

    Attributes:
        id: the request's, and the object's name.
        asking: as the rules were when it was opened.
        is_cut: people do not see all that is forwarded.
    """

    written: Written
    id: str
    tool: str
    digest: str
    pod: str
    uid: str
    opened_at_ms: int
    expires_at_ms: int
    asking: tuple[Asking, ...]
    is_cut: bool

    @property
    def timeout_ms(self) -> int:
        """How long it waits; a denial answers the same call as long."""
        return self.expires_at_ms - self.opened_at_ms

    def is_of(self, request: Request) -> bool:
        """Whether what Redis holds under this id is still what was mirrored."""
        return (request.digest, request.pod, request.uid, request.opened_at_ms) == (
            self.digest, self.pod, self.uid, self.opened_at_ms
        )  # fmt: skip


def read(written: Written) -> Mirrored | None:
    """What it asks; None = the controller did not write this. Total."""
    spec = written.value.get("spec")
    opened_at_ms = moments.read(value_at(spec, ("openedAt",)))
    expires_at_ms = moments.read(value_at(spec, ("expiresAt",)))
    size = value_at(spec, ("argumentsSize",))
    asking = tuple(_asking(spec))
    texts = [value_at(spec, path) for path in _TEXTS]
    if opened_at_ms is None or expires_at_ms is None or not isinstance(size, int) or not asking:
        return None
    tool, digest, pod, uid = (one if isinstance(one, str) else "" for one in texts)
    if not (tool and digest and pod and uid) or expires_at_ms < opened_at_ms:
        return None
    return Mirrored(
        written=written, id=written.name, tool=tool, digest=digest, pod=pod, uid=uid,
        opened_at_ms=opened_at_ms, expires_at_ms=expires_at_ms, asking=asking,
        is_cut=value_at(spec, ("unseen",)) is True or showing.is_cut(size),
    )  # fmt: skip


_TEXTS: Final = (("tool",), ("digest",), ("pod", "name"), ("pod", "uid"))


def state_of(written: Written) -> State:
    """What its status says; one without a status waits."""
    return _STATES.get(str(written.status.get("state")), State.PENDING)


def standing(written: Written) -> Standing:
    """What became of it by its status. Total."""
    status = written.status
    outcome = status.get("outcome")
    ready = _ready(written)
    return Standing(
        state=state_of(written),
        decisions=tuple(_said(status.get("decisions"))),
        usable_until_ms=moments.read(status.get("usableUntil")) or 0,
        outcome=outcome if isinstance(outcome, str) else "",
        reason=_REASONS.get(str(value_at(ready, ("reason",)))),
    )


def closed_at_ms(written: Written) -> int:
    """When a closed one closed, at the latest; what cannot be read was long ago."""
    usable_until_ms = moments.read(written.status.get("usableUntil")) or 0
    since = moments.read(value_at(_ready(written), ("lastTransitionTime",)))
    return max(usable_until_ms, since or 0)


def size_bytes(value: Mapping[str, object], status: Mapping[str, object]) -> int:
    """What one takes of the API server's store, about; its arguments count by their size."""
    spec = value.get("spec")
    size = value_at(spec, ("argumentsSize",))
    rest = {
        name: one
        for name, one in (spec.items() if isinstance(spec, dict) else ())
        if name != "arguments"
    }
    written = json.dumps([rest, status], ensure_ascii=False).encode("utf-8", "surrogatepass")
    shown = min(size, showing.MOST_SHOWN) if isinstance(size, int) else 0
    return _AROUND_BYTES + len(written) + shown


def _ready(written: Written) -> object:
    found = written.status.get("conditions")
    return next(
        (one for one in (found if isinstance(found, list) else ())
         if value_at(one, ("type",)) == "Ready"), None,
    )  # fmt: skip


def _said(found: object) -> Iterator[Said]:
    for one in found if isinstance(found, list) else ():
        username, reason = value_at(one, ("username",)), value_at(one, ("reason",))
        verdict = _VERDICTS.get(str(value_at(one, ("verdict",))))
        at_ms = moments.read(value_at(one, ("at",)))
        if isinstance(username, str) and verdict is not None and at_ms is not None:
            yield Said(
                username=username, verdict=verdict, groups=texts_of(value_at(one, ("groups",))),
                reason=reason if isinstance(reason, str) else "", at_ms=at_ms,
            )  # fmt: skip


def _asking(spec: object) -> Iterator[Asking]:
    found = value_at(spec, ("rules",))
    for one in found if isinstance(found, list) else ():
        rule, count = value_at(one, ("rule",)), value_at(one, ("count",))
        if isinstance(rule, str) and isinstance(count, int):
            text = value_at(one, ("reason",))
            yield Asking(
                rule=rule, groups=texts_of(value_at(one, ("groups",))), count=count,
                text=text if isinstance(text, str) else "",
            )  # fmt: skip


def texts_of(found: object) -> tuple[str, ...]:
    """The texts of a written list."""
    return tuple(one for one in (found if isinstance(found, list) else ()) if isinstance(one, str))
