"""A store in memory: takes higher versions, and can be lost."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime

from mesh7_core.delivery.envelopes import Kind
from mesh7_operator.approving.steps import Settle
from mesh7_operator.controller import seams
from mesh7_operator.reconciling.plan import Publish
from mesh7_operator.reconciling.world import Published, StoreState
from mesh7_operator.store.requests import Held


class MemoryStore:
    """What `store.Store` does, without users and functions."""

    def __init__(self) -> None:
        self.state = StoreState.CONNECTED
        self.kept: dict[str, Published] = {}
        self.envelopes: dict[tuple[str, Kind], bytes] = {}
        self.forgotten: list[str] = []
        self.held_there: dict[str, Held] = {}
        self.looks: list[str] = []
        self.settled: list[tuple[str, Settle]] = []
        self.takes = True
        self.followed: set[str] = set()
        self.told: Callable[[str, str], None] = lambda _, __: None
        self.missed: Callable[[], None] = lambda: None

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def published(
        self, wanted: Mapping[str, Sequence[str]]
    ) -> Mapping[str, Published] | None:
        if self.state is not StoreState.CONNECTED:
            return None
        return {namespace: self.kept.get(namespace, Published()) for namespace in wanted}

    async def envelope(self, namespace: str, kind: Kind) -> bytes | None:
        return self.envelopes.get((namespace, kind))

    async def publish(self, namespace: str, publish: Publish) -> bool:
        before = self.kept.get(namespace, Published())
        held = before.bundle if publish.kind is Kind.BUNDLE else before.overlay
        if self.state is not StoreState.CONNECTED or held >= publish.version:
            return False
        bundle = publish.version if publish.kind is Kind.BUNDLE else before.bundle
        overlay = publish.version if publish.kind is Kind.OVERLAY else before.overlay
        self.kept[namespace] = Published(bundle=bundle, overlay=overlay)
        return True

    async def forget(self, namespace: str) -> bool:
        self.forgotten.append(namespace)
        return self.kept.pop(namespace, None) is not None or True

    async def waiting(self, namespaces: Sequence[str]) -> Mapping[str, int] | None:
        if self.state is not StoreState.CONNECTED:
            return None
        return {
            one: len(self.held_there[one].requests) if one in self.held_there else 0
            for one in namespaces
        }

    async def held(
        self, namespace: str, _: Collection[str], __: Collection[str] = ()
    ) -> Held | None:
        self.looks.append(namespace)
        if self.state is not StoreState.CONNECTED:
            return None
        return self.held_there.get(namespace, Held(store_ms=1, requests={}))

    async def settle(self, namespace: str, settle: Settle, _: bytes) -> bool:
        self.settled.append((namespace, settle))
        return self.state is StoreState.CONNECTED and self.takes

    def listen(self, told: Callable[[str, str], None], missed: Callable[[], None]) -> None:
        self.told, self.missed = told, missed

    async def follow(self, namespaces: Collection[str]) -> None:
        self.followed = set(namespaces)

    async def tend(self, _: Collection[str], __: datetime) -> seams.NothingTended:
        return seams.NothingTended()
