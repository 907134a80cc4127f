"""ToolSources: what their statuses say, merged from what sidecars report; nobody else dials them.

Pure: no clock, no network, no logging.
"""

import re
from collections.abc import Mapping
from typing import Final

from mesh7_core.api.places import value_at
from mesh7_core.delivery.reports import Drift
from mesh7_operator.reconciling import conditions, merging, situation, wording
from mesh7_operator.reconciling.conditions import Condition
from mesh7_operator.reconciling.merging import Merged
from mesh7_operator.reconciling.reasons import Reason, Truth, Type
from mesh7_operator.reconciling.situation import Situation
from mesh7_operator.reconciling.world import StoreState, Written

_MOST_NAMED: Final = 5
_KINDS: Final = ("mcp", "http", "openapi", "cli")
_KEPT: Final = ("protocolVersion", "toolCount", "tools", "reports")
_DRIFTS: Final = (
    (Drift.CHANGED, Reason.TOOLS_CHANGED, "Critical", "changed"),
    (Drift.ADDED, Reason.TOOLS_ADDED, "Warning", "added"),
    (Drift.REMOVED, Reason.TOOLS_REMOVED, "Info", "removed"),
)


def status(written: Written, common: Situation) -> dict[str, object]:
    """One source's status."""
    said = common.sidecars.of_sources.get(written.name, ())
    merged = merging.merge(said, is_pinned=_pinning(written) != "Ignore")
    accepted = _accepted(written, common)
    found = (
        accepted,
        _resolved(written, merged, common),
        _ready(accepted, merged, common),
        _drifted(written, merged, common),
    )
    generation, now = written.generation, common.world.now
    return {
        "observedGeneration": generation,
        "conditions": conditions.written(found, written.status, generation, now),
        **_kind(written),
        **_offered(written, merged, common),
    }


def _kind(written: Written) -> Mapping[str, object]:
    spec = written.value.get("spec")
    kinds = [one for one in _KINDS if isinstance(spec, dict) and spec.get(one) is not None]
    return {"kind": kinds[0]} if len(kinds) == 1 else {}


def _accepted(written: Written, common: Situation) -> Condition:
    if common.is_release:
        return Condition(
            type=Type.ACCEPTED,
            truth=Truth.FALSE,
            reason=Reason.NOT_SERVED_HERE,
            message=wording.NOT_SERVED_HERE,
        )
    if common.compilation.excess:
        return wording.not_looked_at(common.compilation.excess)
    found = common.compilation.diagnostics.get(written.file, ())
    if written.file in common.compilation.refused:
        return wording.refused(found, "it is left out of the bundle")
    return wording.accepted(found)


def _unheard(merged: Merged, common: Situation, type_: Type) -> Condition | None:
    why_not = situation.unheard(common.sidecars, type_)
    if why_not is not None:
        return why_not
    return None if merged.sidecars else situation.no_sidecar(type_)


def _ready(accepted: Condition, merged: Merged, common: Situation) -> Condition:
    if accepted.truth is Truth.FALSE:
        return Condition(
            type=Type.READY, truth=Truth.FALSE, reason=accepted.reason, message="it is not served"
        )
    why_not = situation.unserved(common, Type.READY) or _unheard(merged, common, Type.READY)
    if why_not is not None:
        return why_not
    is_ready = merged.ready == merged.sidecars
    counted = f"{merged.ready} of {merged.sidecars} sidecars can read what it offers"
    return Condition(
        type=Type.READY,
        truth=Truth.TRUE if is_ready else Truth.FALSE,
        reason=Reason.SOURCE_AVAILABLE if is_ready else Reason.SOURCE_UNAVAILABLE,
        message=counted if is_ready else f"{counted}: {merged.error or 'they do not say why'}",
    )


def _resolved(written: Written, merged: Merged, common: Situation) -> Condition:
    """From what sidecars say: the operator never reads a credential."""
    type_ = Type.RESOLVED_REFS
    key = value_at(written.value, ("spec", "auth", "key"))
    if not isinstance(key, str):
        return Condition(
            type=type_, truth=Truth.TRUE, reason=Reason.NO_CREDENTIAL, message="it names none"
        )
    why_not = _unheard(merged, common, type_)
    if why_not is not None:
        return why_not
    if _is_missing(key, merged.error):
        return Condition(
            type=type_, truth=Truth.FALSE, reason=Reason.CREDENTIAL_MISSING, message=merged.error
        )
    return Condition(
        type=type_,
        truth=Truth.TRUE,
        reason=Reason.CREDENTIAL_AVAILABLE,
        message=f"no sidecar lacks the credential `{key}`",
    )


def _is_missing(key: str, error: str) -> bool:
    """Whether a sidecar lacks the credential; one that the source refused is there."""
    pattern = rf"(?<!refused the )credential (file )?`{re.escape(key)}`"
    return re.search(pattern, error) is not None


def _drifted(written: Written, merged: Merged, common: Situation) -> Condition:
    type_ = Type.DRIFTED
    if _pinning(written) == "Ignore":
        message = "its `pinning.mode` is `Ignore`, definitions may change"
        return Condition(type=type_, truth=Truth.FALSE, reason=Reason.NOT_PINNED, message=message)
    why_not = _unheard(merged, common, type_)
    if why_not is not None:
        return why_not
    found = [
        (reason, f"{severity}: {len(names)} {word} ({_listed(names)})")
        for drift, reason, severity, word in _DRIFTS
        if (names := merged.drifted[drift])
    ]
    if not found:
        message = "every tool is as it was accepted, or first seen"
        return Condition(type=type_, truth=Truth.FALSE, reason=Reason.NO_DRIFT, message=message)
    return Condition(
        type=type_,
        truth=Truth.TRUE,
        reason=found[0][0],
        message="; ".join(message for _, message in found),
    )


def _listed(names: tuple[str, ...]) -> str:
    told = ", ".join(f"`{one}`" for one in names[:_MOST_NAMED])
    return told if len(names) <= _MOST_NAMED else f"{told}, …"


def _pinning(written: Written) -> str:
    mode = value_at(written.value, ("spec", "pinning", "mode"))
    return mode if isinstance(mode, str) else "Ignore"


def _offered(written: Written, merged: Merged, common: Situation) -> Mapping[str, object]:
    """What it offers. While nobody reports, what stood is kept, if it is of the same spec."""
    if merged.sidecars and common.sidecars.store is StoreState.CONNECTED:
        return _reported(merged)
    if not common.world.is_enrolled or common.sidecars.store is StoreState.NONE:
        return {}
    if written.status.get("observedGeneration") != written.generation:
        return {}
    kept = {key: written.status[key] for key in _KEPT if key in written.status}
    if common.sidecars.store is StoreState.CONNECTED and "reports" in kept:
        kept["reports"] = {"sidecars": 0, "ready": 0}
    return kept


def _reported(merged: Merged) -> dict[str, object]:
    found: dict[str, object] = {
        "toolCount": min(merged.tool_count, 2**31 - 1),
        "tools": [
            {"name": one.name, "digest": one.digest}
            | ({} if one.drift is None else {"drift": one.drift.value})
            for one in merging.named(merged.tools)
        ],
        "reports": {"sidecars": merged.sidecars, "ready": merged.ready},
    }
    return {"protocolVersion": merged.protocol, **found} if merged.protocol else found
