"""Deliveries in Redis: read by plain commands, for the namespace's user may not write there."""

from collections.abc import Callable
from typing import Final

from typing_extensions import override

from mesh7_core.delivery import decisions, envelopes
from mesh7_core.ledger import resp
from mesh7_core.ledger.deliveries import Deliveries, Versions
from mesh7_core.ledger.protocol import LOST, Lost
from mesh7_core.ledger.redis_layout import DONE, Layout
from mesh7_core.ledger.redis_store import Store
from mesh7_core.ledger.telling import Listeners

_MOST_DIGITS: Final = 15  # beyond, Lua counts no longer in whole numbers


class RedisDeliveries(Deliveries):
    """A namespace's deliveries over the ledger's own connections."""

    def __init__(self, store: Store, layout: Layout, listeners: Listeners) -> None:
        self._store = store
        self._layout = layout
        self._listeners = listeners

    @override
    def subscribe(self, listener: Callable[[], None]) -> Callable[[], None]:
        return self._listeners.add(lambda _: listener())

    @override
    async def versions(self) -> Versions | Lost:
        kinds = (envelopes.Kind.BUNDLE, envelopes.Kind.OVERLAY)
        replies = await self._store.ask(
            *(("HGET", self._layout.delivery(kind), "v") for kind in kinds)
        )
        if LOST in replies:
            return LOST
        return Versions(*(read_version(one) for one in replies))

    @override
    async def fetch(self, kind: envelopes.Kind) -> bytes | Lost | None:
        key = self._layout.delivery(kind)
        # Its size first: an endless answer would keep those of calls waiting behind it.
        (size,) = await self._store.ask(("HSTRLEN", key, "t"))
        match size:
            case 0:
                return None
            case int() if size > envelopes.MAXIMUM_SEALED_BYTES:
                self._store.doubt(f"what is delivered as `{key}` is too large to be ours")
                return None
            case int():
                (text,) = await self._store.ask(("HGET", key, "t"))
                return text if isinstance(text, bytes) or text is None else LOST
            case _:
                return LOST

    @override
    async def decision(self, request_id: str) -> bytes | Lost | None:
        if not decisions.REQUEST_ID.fullmatch(request_id):
            return None
        # No more of it than one that is too large.
        key = self._layout.decision(request_id)
        (text,) = await self._store.ask(("GETRANGE", key, 0, decisions.MAXIMUM_BYTES))
        return (text or None) if isinstance(text, bytes) else LOST

    @override
    async def report(self, uid: str, text: bytes) -> bool:
        return await self._store.call("report", self._layout.of_reports, uid, text) == DONE


def read_version(reply: resp.Reply | Lost) -> int:
    """A version as it lies there; 0 for whatever is none."""
    is_one = isinstance(reply, bytes) and reply.isdigit() and len(reply) <= _MOST_DIGITS
    return int(reply) if is_one and isinstance(reply, bytes) else 0
