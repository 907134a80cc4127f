"""The audit of namespaces in Redis: moved out of tenants' reach, read within bounds, trimmed.

Nothing here raises when the server is away: what cannot be known is None, what cannot be done is
False.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import hiredis

from mesh7_core.ledger import audit_entries, redis_layout, redis_troubles, resp
from mesh7_core.ledger.audit_entries import Entry, Segment
from mesh7_core.ledger.protocol import LOST, Lost
from mesh7_operator.store import keeping
from mesh7_operator.store.node import Command, Node

_LOG: Final = logging.getLogger(__name__)
MOST_BYTES: Final = 2 * 1024 * 1024
"""Of one look; with its last entry an answer is longer by as much as one may be at most."""
MOST_MOVED: Final = 256
LONGEST_ANSWER: Final = MOST_BYTES + 2 * audit_entries.LONGEST


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """What lies in a stream.

    Attributes:
        entries: how many; at least as many as lay from `first` to `last`, unless some were lost.
        first, last: their ids; empty = there are none.
    """

    entries: int
    first: str
    last: str


class Audit:
    """Streams of namespaces.

    Args:
        node: a connection of its own: its answers are long.
        primary: where a missing library is loaded.
        call: makes a command of a function of our library, its keys and its words.
    """

    def __init__(self, node: Node, primary: Node, call: Callable[..., Command]) -> None:
        self._node = node
        self._primary = primary
        self._call = call
        self._said = ""

    async def waiting(self, namespaces: Sequence[str]) -> Mapping[str, int] | None:
        """How many segments were appended and not moved yet, of each; None = it is lost."""
        keys = [redis_layout.Layout(one).audit_inbox for one in namespaces]
        replies = await self._node.ask([["LLEN", key] for key in keys])
        if any(isinstance(reply, Lost) for reply in replies):
            return None
        refused = [one for one in replies if isinstance(one, hiredis.ReplyError)]
        if refused:
            self._say(refused[0])
            return None
        each = zip(namespaces, replies, strict=True)
        return {one: many if isinstance(many, int) else 0 for one, many in each}

    async def gather(self, namespace: str) -> int | None:
        """Move some of what was appended into the stream; how many are left, None = it is lost."""
        layout = redis_layout.Layout(namespace)
        keys = [layout.audit_inbox, layout.audit]
        match await self._tell(self._call("gather", keys, MOST_MOVED, MOST_BYTES)):
            case [int(), int(left)]:
                return left
            case _:
                return None

    async def extent(self, namespace: str) -> Extent | None:
        """What lies there; None = it is lost."""
        key = redis_layout.Layout(namespace).audit
        first = await self.read(namespace, limit=1)
        last = await self.read_back(namespace, limit=1)
        # Counted last: what is appended meanwhile is counted too, and looks like no loss.
        many = await self._tell(["XLEN", key])
        if not isinstance(many, int) or first is None or last is None:
            return None
        ends = [one[0].id if one else "" for one in (first, last)]
        return Extent(entries=many, first=ends[0], last=ends[1])

    async def read(
        self, namespace: str, *, after: str = "", limit: int = MOST_MOVED
    ) -> list[Entry] | None:
        """Entries, oldest first, up to `MOST_BYTES` and one entry; None = it is lost.

        Args:
            after: an id; empty = from the oldest that is there.
            limit: how many at most.
        """
        return await self._read(namespace, f"({after}" if after else "-", "+", 0, limit)

    async def read_back(
        self, namespace: str, *, before: str = "", limit: int = MOST_MOVED
    ) -> list[Entry] | None:
        """Entries, newest first, up to `MOST_BYTES` and one entry; None = it is lost.

        Args:
            before: an id; empty = from the newest that is there.
            limit: how many at most.
        """
        return await self._read(namespace, "-", f"({before}" if before else "+", 1, limit)

    async def append(self, namespace: str, segment: Segment) -> bool:
        """Write one of the operator's own; whether it lies there."""
        key = redis_layout.Layout(namespace).audit
        found = await self._tell(["XADD", key, "*", *audit_entries.fields(segment)])
        return isinstance(found, bytes)

    async def trim(self, namespace: str, up_to: str) -> bool:
        """Take away the entry with this id and all before it; whether that is done."""
        milliseconds, number = audit_entries.place_of(up_to)
        keeps = f"{milliseconds}-{number + 1}"
        key = redis_layout.Layout(namespace).audit
        return isinstance(await self._tell(["XTRIM", key, "MINID", "=", keeps]), int)

    async def remove(self, namespace: str, ids: Sequence[str]) -> bool:
        """Take away these; whether that is done."""
        key = redis_layout.Layout(namespace).audit
        return not ids or isinstance(await self._tell(["XDEL", key, *ids]), int)

    async def forget_empty(self, namespace: str) -> bool:
        """Forget a stream in which nothing lies, nor waits for it; whether that was so."""
        layout = redis_layout.Layout(namespace)
        return await self._tell(self._call("forget_empty", [layout.audit_inbox, layout.audit])) == 1

    async def _read(
        self, namespace: str, start: str, end: str, backwards: int, limit: int
    ) -> list[Entry] | None:
        key = redis_layout.Layout(namespace).audit
        words = (start, end, backwards, limit, MOST_BYTES)
        found = await self._tell(self._call("segments", [key], *words))
        if not isinstance(found, list):
            return None
        entries = [audit_entries.read_entry(one) for one in found]
        return [one for one in entries if one is not None]

    async def _tell(self, command: Command) -> resp.Reply | Lost:
        """Errors are LOST; a missing library is loaded first."""
        reply = await self._node.tell(*command)
        if isinstance(reply, hiredis.ReplyError) and redis_troubles.is_missing_function(reply):
            await keeping.load(self._primary)
            reply = await self._node.tell(*command)
        if isinstance(reply, hiredis.ReplyError):
            self._say(reply)
            return LOST
        if reply is not LOST:
            self._said = ""
        return reply

    def _say(self, error: hiredis.ReplyError) -> None:
        """Once until it is well again."""
        why = redis_troubles.of_error(error)
        if why != self._said:
            self._said = why
            about = {"node": self._node.place, "error": why}
            _LOG.warning("the audit is not read", extra=about)
