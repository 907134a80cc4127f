"""AgentPolicies: what their statuses say.

Pure: no clock, no network, no logging.
"""

from dataclasses import replace
from typing import Final

from mesh7_operator.reconciling import conditions, sidecars, situation, wording
from mesh7_operator.reconciling.conditions import Condition
from mesh7_operator.reconciling.reasons import Reason, Truth, Type
from mesh7_operator.reconciling.sidecars import Pods
from mesh7_operator.reconciling.situation import Situation
from mesh7_operator.reconciling.world import StoreState, Written

_FENCED: Final = "until it is corrected, every call of the pods that it selects is denied"
_PER_NAMESPACE: Final = (
    "a baseline policy travels in the bundle of every enrolled namespace, the statuses of the "
    "policies there say who obeys it"
)


def status(written: Written, common: Situation) -> dict[str, object]:
    """One policy's status."""
    pods = _pods(written, common)
    accepted = _accepted(written, common)
    programmed = _programmed(common, pods)
    found = [accepted, programmed, _ready(written, accepted, programmed, common)]
    if common.world.is_enrolled:
        found.append(situation.store_connected(common.sidecars))
    generation, now = written.generation, common.world.now
    status: dict[str, object] = {
        "observedGeneration": generation,
        "conditions": conditions.written(found, written.status, generation, now),
    }
    if common.version:
        status["bundleVersion"] = common.version
    if pods is not None:
        status["pods"] = {"matched": pods.matched, "current": pods.current}
    return status


def _accepted(written: Written, common: Situation) -> Condition:
    if common.compilation.excess:
        return wording.not_looked_at(common.compilation.excess)
    found = common.compilation.diagnostics.get(written.file, ())
    if written.file in common.compilation.refused:
        return wording.refused(found, _FENCED)
    return wording.accepted(found)


def _programmed(common: Situation, pods: Pods | None) -> Condition:
    type_ = Type.PROGRAMMED
    if common.is_release:
        return situation.unknown(type_, Reason.PER_NAMESPACE, _PER_NAMESPACE)
    why_not = situation.unserved(common, type_) or situation.unheard(common.sidecars, type_)
    if why_not is not None:
        return why_not
    if pods is None or not pods.matched:
        message = "no sidecar of a pod that it selects has reported within the last 90 s"
        return situation.unknown(type_, Reason.NO_SIDECAR, message)
    is_current = pods.current == pods.matched
    return Condition(
        type=type_,
        truth=Truth.TRUE if is_current else Truth.FALSE,
        reason=Reason.SIDECARS_CURRENT if is_current else Reason.SIDECARS_BEHIND,
        message=f"{pods.current} of {pods.matched} sidecars obey bundle {common.version}",
    )


_DELIVERED: Final = (Reason.NO_SIDECAR, Reason.NO_STORE, Reason.PER_NAMESPACE)
"""Nobody can say that sidecars obey, and nothing stands in the way."""


def _ready(
    written: Written, accepted: Condition, programmed: Condition, common: Situation
) -> Condition:
    compilation = common.compilation
    is_missing = not (
        written.file in compilation.selectors or compilation.excess or common.is_release
    )
    is_obeyed = common.world.is_enrolled or common.is_release
    if is_obeyed and (is_missing or accepted.truth is Truth.FALSE):
        return Condition(type=Type.READY, truth=Truth.FALSE, reason=Reason.FENCED, message=_FENCED)
    is_delivered = programmed.reason in _DELIVERED
    return replace(
        programmed, type=Type.READY, truth=Truth.TRUE if is_delivered else programmed.truth
    )


def _pods(written: Written, common: Situation) -> Pods | None:
    """Counted where sidecars can be heard; while the store is lost what stands. None = neither."""
    if not common.world.is_enrolled:
        return None
    match common.sidecars.store:
        case StoreState.NONE:
            return None
        case StoreState.LOST:
            return _stood(written)
        case StoreState.CONNECTED:
            selector = common.compilation.selectors.get(written.file)
            if selector is None:
                return None
            return sidecars.count(common.sidecars, selector, common.world.namespace, common.version)


def _stood(written: Written) -> Pods | None:
    found = written.status.get("pods")
    if not isinstance(found, dict):
        return None
    matched, current = found.get("matched"), found.get("current")
    if not isinstance(matched, int) or not isinstance(current, int):
        return None
    return Pods(matched=matched, current=current)
