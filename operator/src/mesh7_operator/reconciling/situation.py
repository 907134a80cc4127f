"""What the statuses of one namespace have in common.

Pure: no clock, no network, no logging.
"""

from dataclasses import dataclass

from mesh7_operator.reconciling import wording
from mesh7_operator.reconciling.compilation import Compilation, is_release
from mesh7_operator.reconciling.conditions import Condition
from mesh7_operator.reconciling.reasons import Reason, Truth, Type
from mesh7_operator.reconciling.sidecars import Sidecars
from mesh7_operator.reconciling.world import StoreState, World

_NO_SIDECAR = "no sidecar has reported within the last 90 s"
_STORE_LOST = "Redis cannot be reached, so that nothing is known of the sidecars"
_NO_STORE = "no Redis is configured, so that sidecars cannot report"


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """One namespace after its plan.

    Attributes:
        version: of the bundle in force then; 0 = none is served.
        is_too_large: it stands in for what is written.
        left_out: grants for which the overlay has no room.
    """

    world: World
    compilation: Compilation
    sidecars: Sidecars
    version: int = 0
    is_too_large: bool = False
    left_out: frozenset[str] = frozenset()

    @property
    def is_release(self) -> bool:
        """Whether its policies are the baseline itself."""
        return is_release(self.world)


def unserved(situation: Situation, type_: Type) -> Condition | None:
    """Why nothing of the namespace is served as it is written; None = it is."""
    if not situation.world.is_enrolled:
        return _false(type_, Reason.NAMESPACE_NOT_ENROLLED, wording.NOT_ENROLLED)
    if situation.is_too_large:
        excess = situation.compilation.excess
        return _false(
            type_,
            Reason.BUNDLE_TOO_LARGE,
            "the policies and sources of the namespace are too large together"
            f"{f' ({excess})' if excess else ''}, make them smaller or fewer; until then the last "
            "ones that fitted are in force, or nothing is allowed",
        )
    return None


def unheard(sidecars: Sidecars, type_: Type) -> Condition | None:
    """Why no sidecar can be heard of; None = the store answers."""
    match sidecars.store:
        case StoreState.NONE:
            return unknown(type_, Reason.NO_STORE, _NO_STORE)
        case StoreState.LOST:
            return unknown(type_, Reason.STORE_LOST, _STORE_LOST)
        case StoreState.CONNECTED:
            return None


def no_sidecar(type_: Type) -> Condition:
    """The store answers, and nobody has reported."""
    return unknown(type_, Reason.NO_SIDECAR, _NO_SIDECAR)


def unknown(type_: Type, reason: Reason, message: str) -> Condition:
    """Nobody can say."""
    return Condition(type=type_, truth=Truth.UNKNOWN, reason=reason, message=message)


def store_connected(sidecars: Sidecars) -> Condition:
    """How it stands with Redis."""
    type_ = Type.STORE_CONNECTED
    match sidecars.store:
        case StoreState.CONNECTED:
            return Condition(
                type=type_,
                truth=Truth.TRUE,
                reason=Reason.STORE_CONNECTED,
                message="changes are pushed to sidecars through Redis",
            )
        case StoreState.LOST:
            return _false(
                type_,
                Reason.STORE_LOST,
                "Redis cannot be reached: changes take up to two minutes by ConfigMap, limits do "
                "what their `onStoreLoss` says",
            )
        case StoreState.NONE:
            return unknown(
                type_,
                Reason.NO_STORE,
                "no Redis is configured: changes take up to two minutes by ConfigMap, limits do "
                "what their `onStoreLoss` says",
            )


def _false(type_: Type, reason: Reason, message: str) -> Condition:
    return Condition(type=type_, truth=Truth.FALSE, reason=reason, message=message)
