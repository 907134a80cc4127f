"""A request → its ApprovalRequest: the manifest of a new one, and the status of any.

What rules, groups and numbers say comes from the compiled policies, never from Redis.
Pure: no clock, no network, no logging.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from mesh7_core import names
from mesh7_core.api.places import value_at
from mesh7_core.ledger import showing
from mesh7_core.ledger.asked import Asking, Request
from mesh7_core.policy.destination import Destination
from mesh7_core.policy.rules import Policy
from mesh7_core.telemetry import context
from mesh7_operator.approving import moments, telling
from mesh7_operator.approving.mirrored import Mirrored, Said, Standing
from mesh7_operator.reconciling import conditions
from mesh7_operator.reconciling.conditions import Condition
from mesh7_operator.reconciling.reasons import Reason, Truth, Type
from mesh7_operator.reconciling.world import Written

LONGEST_REASON: Final = 1024
LONGEST_OUTCOME: Final = 1024
MOST_DECISIONS: Final = 64

_TRACE: Final = re.compile(r"[0-9a-f]{32}")


def manifest(
    request: Request,
    source: Destination | None,
    asking: Sequence[Asking],
    redact: Sequence[str],
    pending_of_pod: int,
) -> Mapping[str, object]:
    """A new ApprovalRequest, without status.

    Args:
        request: genuine.
        source: where its call goes.
        asking: what its rules say now.
        redact: JSONPaths of what nobody is to see.
        pending_of_pod: how many of the pod waited when it was opened, itself included.
    """
    namespace, _, account = request.agent.partition("/")
    shown = showing.shown(request, redact)
    spec: dict[str, object] = {
        "tool": request.tool,
        "agent": {"namespace": namespace, "serviceAccount": account},
        "pod": {"name": request.pod, "uid": request.uid},
        "arguments": shown.text,
        "argumentsSize": shown.size,
        "digest": request.digest,
        "rules": [_rule(one) for one in asking],
        "openedAt": moments.spelled(request.opened_at_ms),
        "expiresAt": moments.spelled(request.opened_at_ms + request.timeout_ms),
        "pendingOfPod": pending_of_pod,
    }
    if source is not None:
        spec["source"] = _source(source)
    if not shown.is_whole:
        spec["unseen"] = True
    if request.definition:
        spec["definition"] = request.definition
    if _TRACE.fullmatch(request.trace_id):
        spec["traceId"] = request.trace_id
    waiting = context.read(request.traceparent)
    if waiting is not None:
        spec["traceparent"] = waiting.traceparent
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.APPROVAL_REQUEST,
        "metadata": {"name": request.id, "namespace": namespace},
        "spec": spec,
    }


def redacting(policies: Mapping[str, Policy], account: str) -> tuple[str, ...]:
    """JSONPaths of every policy that may bear on this account; labels of pods are not known."""
    found: set[str] = set()
    for policy in policies.values():
        accounts = policy.selector.service_accounts
        if policy.redact and (not accounts or any(one.matches(account) for one in accounts)):
            found.update(policy.redact)
    return tuple(sorted(found))


def status(mirror: Mirrored, standing: Standing, now: datetime) -> dict[str, object]:
    """Its status, whole."""
    written = mirror.written
    ready = Condition(
        type=Type.READY,
        truth=Truth.TRUE if standing.reason is Reason.WAITS else Truth.FALSE,
        reason=standing.reason or Reason.WAITS,
        message=telling.sentence(mirror, standing),
    )
    found: dict[str, object] = {
        "observedGeneration": written.generation,
        "conditions": conditions.written((ready,), written.status, written.generation, now),
        "state": standing.state.value.capitalize(),
    }
    if standing.decisions:
        found["decisions"] = [_decision(one) for one in standing.decisions[-MOST_DECISIONS:]]
    if standing.outcome:
        found["outcome"] = conditions.line(standing.outcome)[:LONGEST_OUTCOME]
    if standing.usable_until_ms:
        found["usableUntil"] = moments.spelled(standing.usable_until_ms)
    return found


def mirrored_as(
    made: Mapping[str, object], request: Request, asking: tuple[Asking, ...]
) -> Mirrored:
    """What a new one will be read as, for its first status; only the API server knows its uid."""
    written = Written(
        kind=names.APPROVAL_REQUEST,
        namespace=request.agent.partition("/")[0],
        name=request.id,
        uid="",
        generation=1,
        value=made,
    )
    return Mirrored(
        written=written, id=request.id, tool=request.tool, digest=request.digest,
        pod=request.pod, uid=request.uid, opened_at_ms=request.opened_at_ms,
        expires_at_ms=request.opened_at_ms + request.timeout_ms, asking=asking,
        is_cut=value_at(made, ("spec", "unseen")) is True,
    )  # fmt: skip


def _source(source: Destination) -> dict[str, object]:
    found: dict[str, object] = {"name": source.name, "kind": source.kind, "host": source.address}
    if source.path:
        found["path"] = source.path
    return found


def _rule(asking: Asking) -> dict[str, object]:
    found: dict[str, object] = {"rule": asking.rule, "count": max(asking.count, 1)}
    if asking.groups:
        found["groups"] = list(asking.groups)
    if asking.text:
        found["reason"] = asking.text[:LONGEST_REASON]
    return found


def _decision(said: Said) -> dict[str, object]:
    found: dict[str, object] = {
        "username": said.username,
        "verdict": said.verdict.value.capitalize(),
        "at": moments.spelled(said.at_ms),
    }
    if said.groups:
        found["groups"] = list(said.groups)
    if said.reason:
        found["reason"] = said.reason[:LONGEST_REASON]
    return found
