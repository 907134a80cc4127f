"""Held calls in Redis as the operator sees them: read with bounds, and settled by what it signed.

All but the decisions was possibly written by whoever has the namespace's credentials: an id or a
text may be anything and of any length. So a namespace is read over a connection that nobody else
uses meanwhile, and one that makes an answer too long loses that connection and a while. What was
read is decoded when others have that connection, by a thread that has nothing else to do.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Final

import hiredis

from mesh7_core.delivery import decisions
from mesh7_core.ledger import approvals, redis_layout, redis_troubles, resp, shortening
from mesh7_core.ledger.asked import State
from mesh7_core.ledger.protocol import LOST, Lost
from mesh7_core.ledger.requests import kept_until
from mesh7_operator.approving.ground import MOST_MIRRORED, MOST_OPEN, InLedger
from mesh7_operator.approving.steps import Settle
from mesh7_operator.store import keeping
from mesh7_operator.store.node import Command, Node

_LOG: Final = logging.getLogger(__name__)
LONGEST_ANSWER: Final = 4 * 1024 * 1024
"""Bytes; what we ask for is shorter by far."""
MOST_READ_BYTES: Final = 8 * 1024 * 1024
"""Of one namespace's requests in one look; what is beyond is not seen until others have closed."""
MOST_TEXT_BYTES: Final = 2 * 1024 * 1024
"""Of these requests without their arguments, and of those that are mirrored: decoding costs."""
MOST_PENDING: Final = 2 * MOST_OPEN
_LONGEST: Final = {"t": redis_layout.LONGEST_TEXT, "a": shortening.LONGEST_BYTES}
"""Of the parts of a request: text, arguments."""
_PAGE_BYTES: Final = 256 * 1024
_PAGE: Final = 100
_SUSPECT_S: Final = 30.0
"""For so long nothing is read of a namespace that has cost a connection."""
_LARGE_BYTES: Final = 64 * 1024
"""More is decoded beside the event loop."""

Call = Callable[..., Command]
_Row = tuple[str, bytes, bytes, bytes]
"""Id, text, arguments, decision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the ledger of one namespace holds.

    Attributes:
        store_ms: Redis's clock when it was read.
        requests: by id; what is not there, or none of ours, is missing.
        left_out: ids of what is there, and was more than is read in one look.
    """

    store_ms: int
    requests: Mapping[str, InLedger] = field(repr=False)
    left_out: Collection[str] = frozenset()


class Requests:
    """Reads and settles.

    Args:
        primary: where is settled and counted: those answers are short.
        readers: connections for long answers, each for one namespace at a time.
        call: makes a command of a function of our library, its keys and its words.
        decoding: where what is large is decoded, one namespace after the other.
    """

    def __init__(
        self, primary: Node, readers: Sequence[Node], call: Call, decoding: Executor
    ) -> None:
        self._primary = primary
        self._readers = tuple(readers)
        self._call = call
        self._decoding = decoding
        self._free = list(readers)
        self._turn = asyncio.Condition()
        self._suspects: dict[str, float] = {}

    async def waiting(self, namespaces: Sequence[str]) -> Mapping[str, int] | None:
        """How many requests are pending or were lately, of each; None while the store is lost."""
        keys = [redis_layout.Layout(one).pending for one in namespaces]
        replies = await self._primary.ask([["ZCARD", key] for key in keys])
        if LOST in replies:
            return None
        each = zip(namespaces, replies, strict=True)
        return {one: many if isinstance(many, int) else 0 for one, many in each}

    async def read(
        self, namespace: str, mirrored: Collection[str], told: Collection[str] = ()
    ) -> Held | None:
        """What is pending, and these; None while the store is lost.

        Args:
            namespace: whose.
            mirrored: asked for without their arguments, which were looked at when they were new.
            told: asked for beside what is pending; those that are none are left out.
        """
        loop = asyncio.get_running_loop()
        if self._suspects.get(namespace, 0.0) > loop.time():
            return None
        self._suspects.pop(namespace, None)
        node = await self._take()
        if node is None:
            return None
        reading = _Reading(node, self._call, namespace)
        try:
            found = await reading.all(mirrored, told)
            if reading.lacks_functions:
                await keeping.load(self._primary)
                found = await reading.all(mirrored, told)
        finally:
            await self._give_back(node)
        if found is None and resp.TOO_LONG in node.trouble:
            self._suspects[namespace] = loop.time() + _SUSPECT_S
            _LOG.warning(
                "requests in redis could not be read; see who else may write there",
                extra={"namespace": namespace, "error": node.trouble},
            )
        return None if found is None else await self._decoded(*found, reading.left_out)

    async def _decoded(
        self, store_ms: int, rows: Sequence[_Row], left_out: Collection[str]
    ) -> Held:
        if sum(len(text) + len(arguments) for _, text, arguments, _ in rows) <= _LARGE_BYTES:
            return _held(store_ms, rows, left_out)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._decoding, _held, store_ms, rows, left_out)

    async def settle(self, namespace: str, settle: Settle, found: bytes) -> bool:
        """Put the decision there, exchange the request, tell the sidecars; whether that is done.

        It is not when the store is lost, or somebody else was faster: then look again. Nor is it
        when nobody could read it afterwards.

        Args:
            namespace: whose.
            settle: what is to become of it.
            found: the decision that lay there when this was planned; empty = none. Another one
                that came since was decided first, and stays.
        """
        now_ms = await self._now_ms()
        if now_ms is None or _is_overtaken(settle, now_ms):
            return False
        layout, text = redis_layout.Layout(namespace), redis_layout.write_request(settle.after)
        if len(text) > redis_layout.LONGEST_TEXT:
            about = {"namespace": namespace, "request": settle.after.id, "bytes": len(text)}
            _LOG.warning(
                "a request is not settled: it would be longer than any may be", extra=about
            )
            return False
        if settle.decision and not await self._put(layout, settle, found, now_ms):
            return False
        after = settle.after
        exchange = self._call(
            "exchange", layout.of_request(after), after.id, settle.before.version, after.version,
            text, now_ms, *redis_layout.standing_of(after),
            layout.channel, "",
        )  # fmt: skip
        return await self._tell(exchange) == [redis_layout.DONE]

    # One after the other

    async def _put(
        self, layout: redis_layout.Layout, settle: Settle, found: bytes, now_ms: int
    ) -> bool:
        """A decision lies there as long as its request is kept: it says why that is what it is."""
        key, decision = layout.decision(settle.after.id), settle.decision
        there = await self._tell(["GETRANGE", key, 0, decisions.MAXIMUM_BYTES])
        if there == decision:
            return True
        if there != found:
            return False
        last_ms = max(kept_until(settle.after) - now_ms, 1)
        only = [] if found else ["NX"]
        return await self._tell(["SET", key, decision, "PX", last_ms, *only]) in (b"OK", "OK")

    async def _now_ms(self) -> int | None:
        match await self._tell(["TIME"]):
            case [bytes(seconds), bytes(micros)]:
                return int(seconds) * 1000 + int(micros) // 1000
            case _:
                return None

    async def _tell(self, command: Command) -> resp.Reply | Lost:
        """Errors are LOST; a missing library is loaded first."""
        reply = await self._primary.tell(*command)
        if isinstance(reply, hiredis.ReplyError) and redis_troubles.is_missing_function(reply):
            await keeping.load(self._primary)
            reply = await self._primary.tell(*command)
        if isinstance(reply, hiredis.ReplyError):
            about = {"node": self._primary.place, "error": redis_troubles.of_error(reply)}
            _LOG.warning("redis did not take a decision", extra=about)
            return LOST
        return reply

    # Connections

    async def _take(self) -> Node | None:
        """One that nobody uses; None when none of them is connected."""
        async with self._turn:
            while True:
                for node in self._free:
                    if node.is_connected:
                        self._free.remove(node)
                        return node
                for node in self._free:
                    node.renew()
                if len(self._free) == len(self._readers):
                    return None
                await self._turn.wait()

    async def _give_back(self, node: Node) -> None:
        async with self._turn:
            self._free.append(node)
            self._turn.notify_all()


class _Reading:
    """One look at one namespace."""

    def __init__(self, node: Node, call: Call, namespace: str) -> None:
        self._node = node
        self._call = call
        self._layout = redis_layout.Layout(namespace)
        self.lacks_functions = False
        self.left_out: set[str] = set()

    async def all(
        self, mirrored: Collection[str], told: Collection[str]
    ) -> tuple[int, list[_Row]] | None:
        """The time, and as it lies there what is asked for and what is pending."""
        self.left_out.clear()
        pending = await self._node.tell("ZRANGE", self._layout.pending, 0, MOST_PENDING - 1)
        if isinstance(pending, Lost):
            return None
        # What is mirrored is never left out for what others ask: it would count as forgotten.
        known = await self._fitting(_named(mirrored), ("t",))
        others = (one for one in (*_named(told), *_ids(pending)) if one not in mirrored)
        fresh = await self._fitting(list(dict.fromkeys(others)), ("t", "a"))
        if known is None or fresh is None:
            return None
        bare, read = await self._bare(known), await self._texts(fresh)
        if bare is None or read is None:
            return None
        store_ms, texts = read[0], bare | read[1]
        decided = await self._node.ask([
            ["GETRANGE", self._layout.decision(one), 0, decisions.MAXIMUM_BYTES] for one in texts
        ])  # fmt: skip
        if LOST in decided:
            return None
        return store_ms, [
            (one, *texts[one], found if isinstance(found, bytes) else b"")
            for one, found in zip(texts, decided, strict=True)
        ]

    async def _fitting(self, ids: Sequence[str], parts: Sequence[str]) -> list[str] | None:
        """Those that are there, and whose parts are not too long to be ours; within the bounds."""
        sizes = await self._node.ask([
            ["HSTRLEN", self._layout.request(one), part] for one in ids for part in parts
        ])  # fmt: skip
        if LOST in sizes:
            return None
        fitting, left, texts_left = [], MOST_READ_BYTES, MOST_TEXT_BYTES
        for place, one in enumerate(ids):
            found = _sizes(parts, sizes[place * len(parts) : (place + 1) * len(parts)])
            if not found:
                continue
            if sum(found) > left or found[0] > texts_left:
                self.left_out.add(one)
                continue
            fitting.append(one)
            left -= sum(found)
            texts_left -= found[0]
        return fitting

    async def _bare(self, ids: Sequence[str]) -> dict[str, tuple[bytes, bytes]] | None:
        """What is there by id, without arguments: those are looked at once, when it is new."""
        texts = await self._node.ask([["HGET", self._layout.request(one), "t"] for one in ids])
        if LOST in texts:
            return None
        each = zip(ids, texts, strict=True)
        return {one: (text, b"") for one, text in each if isinstance(text, bytes)}

    async def _texts(self, ids: Sequence[str]) -> tuple[int, dict[str, tuple[bytes, bytes]]] | None:
        """The time, and by id what is there; page by page, for others wait meanwhile."""
        found: dict[str, tuple[bytes, bytes]] = {}
        start = 0
        while True:
            page = ids[start : start + _PAGE]
            keys = [self._layout.request(one) for one in page]
            match await self._node.tell(*self._call("read", keys, _PAGE_BYTES)):
                case [int(store_ms), *pairs] if bool(pairs) == bool(page):
                    found |= _pairs(page, pairs)
                    start += max(len(pairs) // 2, 1)
                case hiredis.ReplyError() as error:
                    self.lacks_functions = redis_troubles.is_missing_function(error)
                    return None
                case _:
                    return None
            if start >= len(ids):
                return store_ms, found


def _sizes(parts: Sequence[str], found: Sequence[resp.Reply | Lost]) -> list[int]:
    """Of the parts, the text first; empty = nothing of ours is there."""
    sizes = [one if isinstance(one, int) else -1 for one in found]
    each = zip(parts, sizes, strict=True)
    is_ours = sizes[0] > 0 and all(0 <= size <= _LONGEST[part] for part, size in each)
    return sizes if is_ours else []


def _pairs(ids: Sequence[str], pairs: Sequence[resp.Reply]) -> dict[str, tuple[bytes, bytes]]:
    each = zip(ids, pairs[::2], pairs[1::2], strict=False)
    return {
        one: (text, arguments if isinstance(arguments, bytes) else b"")
        for one, text, arguments in each
        if isinstance(text, bytes)
    }


def _named(ids: Collection[str]) -> list[str]:
    return sorted(one for one in ids if decisions.REQUEST_ID.fullmatch(one))[:MOST_MIRRORED]


def _ids(reply: resp.Reply) -> Iterator[str]:
    for one in reply if isinstance(reply, list) else ():
        text = one.decode("latin-1") if isinstance(one, bytes) else ""
        if decisions.REQUEST_ID.fullmatch(text):
            yield text


def _held(store_ms: int, rows: Sequence[_Row], left_out: Collection[str]) -> Held:
    found: dict[str, InLedger] = {}
    too_much = set(left_out)
    left = 2 * MOST_TEXT_BYTES
    for request_id, text, arguments, decision in rows:
        # They were measured before they were read, and may have grown between.
        left -= len(text)
        if left < 0:
            too_much.add(request_id)
            continue
        request = redis_layout.read_request(text, arguments, request_id)
        if request is not None:
            now = approvals.at(request, store_ms)
            found[request_id] = InLedger(request=now, decision=decision)
    return Held(store_ms=store_ms, requests=found, left_out=frozenset(too_much))


def _is_overtaken(settle: Settle, now_ms: int) -> bool:
    """Whether time alone has decided meanwhile."""
    was_pending = settle.before.state is State.PENDING
    return was_pending and approvals.at(settle.before, now_ms).state is not State.PENDING
