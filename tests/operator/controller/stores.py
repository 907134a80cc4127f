"""A store in memory: takes higher versions, and can be lost."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from mesh7_core.delivery.envelopes import Kind
from mesh7_operator.controller import seams
from mesh7_operator.reconciling.plan import Publish
from mesh7_operator.reconciling.world import Published, StoreState


class MemoryStore:
    """What `store.Store` does, without users and functions."""

    def __init__(self) -> None:
        self.state = StoreState.CONNECTED
        self.kept: dict[str, Published] = {}
        self.envelopes: dict[tuple[str, Kind], bytes] = {}
        self.forgotten: list[str] = []

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

    async def tend(self, _: Collection[str], __: datetime) -> seams.NothingTended:
        return seams.NothingTended()
