"""What the controller needs of others: a store (`store.Store` is the real one), and keys."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mesh7_core.delivery.envelopes import Kind
from mesh7_operator.approving.steps import Settle
from mesh7_operator.reconciling.plan import Publish
from mesh7_operator.reconciling.world import Keys, Published, StoreState
from mesh7_operator.store.requests import Held


class Store(Protocol):
    """Redis, or nothing; never raises when it is away."""

    @property
    def state(self) -> StoreState:
        """How it stands with it."""

    async def start(self) -> None:
        """Connect."""

    async def close(self) -> None:
        """Let go."""

    async def published(
        self, wanted: Mapping[str, Sequence[str]]
    ) -> Mapping[str, Published] | None:
        """What lies there of each namespace; None while it is lost."""

    async def envelope(self, namespace: str, kind: Kind) -> bytes | None:
        """What lies there as this kind, unless it is too large to be ours; None = nothing."""

    async def publish(self, namespace: str, publish: Publish) -> bool:
        """Put it there and tell the sidecars; whether it lies there now."""

    async def forget(self, namespace: str) -> bool:
        """Remove what was delivered, and the users; whether that is done."""

    async def waiting(self, namespaces: Sequence[str]) -> Mapping[str, int] | None:
        """How many requests are pending or were lately, of each; None while it is lost."""

    async def held(
        self, namespace: str, mirrored: Collection[str], told: Collection[str] = ()
    ) -> Held | None:
        """Requests that are pending, and these; None while it is lost."""

    async def settle(self, namespace: str, settle: Settle, found: bytes) -> bool:
        """Carry it out; whether it is. What lay there as a decision has to be what was found."""

    def listen(self, told: Callable[[str, str], None], missed: Callable[[], None]) -> None:
        """Have these told of changes in ledgers: of a namespace and a request, or of all."""

    async def follow(self, namespaces: Collection[str]) -> None:
        """Whose changes are told of."""

    async def tend(self, namespaces: Collection[str], now: datetime) -> "Tended":
        """See to users and functions on every node."""


class Tended(Protocol):
    """How Redis's servers were found, and left."""

    @property
    def is_kept(self) -> bool:
        """Whether on every one all that is ours is as it should be."""

    @property
    def is_closed(self) -> bool:
        """Whether none lets anybody in without a password."""


@dataclass(frozen=True, slots=True)
class NothingTended:
    """There is no server."""

    is_kept: bool = True
    is_closed: bool = True


class KeySource(Protocol):
    """Signing keys and stamp keys."""

    @property
    def keys(self) -> Keys:
        """As last read."""


class NoStore:
    """There is no Redis: bundles come by ConfigMap alone."""

    state = StoreState.NONE

    async def start(self) -> None:
        """Nothing is connected."""

    async def close(self) -> None:
        """Nothing was."""

    async def published(self, _: Mapping[str, Sequence[str]]) -> None:
        """Nothing is known."""

    async def envelope(self, _: str, __: Kind) -> None:
        """Nothing was kept."""

    async def publish(self, _: str, __: Publish) -> bool:
        """No plan asks for it."""
        return True

    async def forget(self, _: str) -> bool:
        """Nothing was kept."""
        return True

    async def waiting(self, _: Sequence[str]) -> None:
        """Nobody can ask."""

    async def held(self, _: str, __: Collection[str], ___: Collection[str] = ()) -> None:
        """The same."""

    async def settle(self, _: str, __: Settle, ___: bytes) -> bool:
        """There is nothing to be settled."""
        return False

    def listen(self, _: Callable[[str, str], None], __: Callable[[], None]) -> None:
        """Nobody tells."""

    async def follow(self, _: Collection[str]) -> None:
        """The same."""

    async def tend(self, _: Collection[str], __: datetime) -> NothingTended:
        """Nobody has credentials."""
        return NothingTended()
