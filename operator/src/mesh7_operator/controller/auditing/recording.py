"""The controller's own chain of each namespace: what people decided, and what was done for them.

A line waits in memory until Redis has it, and the anchor that it is to lie under is there; it
stands in the controller's log before that, so that no decision of a person is lost with Redis. A
new leader begins new chains.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

import orjson

from mesh7_core.audit import chain, moments
from mesh7_core.audit.chain import Chain, Sealed
from mesh7_core.ledger.audit_entries import Kind, Segment
from mesh7_operator.clock import Clock

_LOG: Final = logging.getLogger("mesh7_operator.audit")
MOST_WAITING_BYTES: Final = 1024 * 1024
"""Of one namespace, while Redis is away; what is beyond is in the log alone, and counted."""
_AT_ONCE: Final = 256
_AGAIN_S: Final = 1.0


class Audit(Protocol):
    """Where it is written."""

    async def append(self, namespace: str, segment: Segment) -> bool:
        """Write it; whether it lies there."""


class Begun:
    """Streams into which nothing of ours goes before their anchors are there.

    Args:
        audit: where it goes then.
        begin: whether the anchor of a namespace is there; makes the first one.
    """

    def __init__(self, audit: Audit, begin: Callable[[str], Awaitable[bool]]) -> None:
        self._audit = audit
        self._begin = begin

    async def append(self, namespace: str, segment: Segment) -> bool:
        """Write it; whether it lies there."""
        return await self._begin(namespace) and await self._audit.append(namespace, segment)


@dataclass(slots=True, kw_only=True)
class _Own:
    """One namespace's.

    Attributes:
        sealed: what is being written: sent again as it is, for it may be there already.
        is_going: its namespace is gone: once all is written, nothing follows.
    """

    chain: Chain
    waiting: deque[bytes] = field(default_factory=deque)
    waiting_bytes: int = 0
    dropped: int = 0
    sealed: tuple[Sealed, Segment] | None = None
    is_going: bool = False


class Recorder:
    """Takes lines at once, writes them beside.

    Args:
        audit: where they go.
        random: as many random bytes.
        clock: for seals.
    """

    def __init__(self, audit: Audit, random: Callable[[int], bytes], clock: Clock) -> None:
        self._audit = audit
        self._random = random
        self._clock = clock
        self._own: dict[str, _Own] = {}
        self._fresh: set[str] = set()
        self._turn = asyncio.Event()
        self._writing = asyncio.Lock()

    def note(self, namespace: str, line: bytes) -> None:
        """Take a line: one JSON object, not empty, without a newline. Never blocks."""
        _LOG.info("recorded", extra={"namespace": namespace, "record": line.decode()})
        own = self._own.get(namespace)
        if own is not None:
            own.is_going = False
        else:
            own = self._own[namespace] = _Own(chain=self._fresh_chain())
        if own.waiting_bytes + len(line) > MOST_WAITING_BYTES:
            own.dropped += 1
            self._turn.set()
            return
        own.waiting.append(line)
        own.waiting_bytes += len(line)
        self._turn.set()

    def note_fact(self, namespace: str, name: str, said: Mapping[str, object]) -> None:
        """Take what is no person's deed, as a line with its time."""
        time = moments.written(self._clock.wall_ns())
        self.note(namespace, orjson.dumps({"time": time, name: said}))

    def fresh(self) -> set[str]:
        """Namespaces of which something was written since this was asked last."""
        fresh, self._fresh = self._fresh, set()
        return fresh

    async def run(self) -> None:
        """Write until cancelled: at once, or as soon as Redis is there."""
        while True:
            await self._turn.wait()
            self._turn.clear()
            if not await self.flush():
                await asyncio.sleep(_AGAIN_S)
                self._turn.set()

    @property
    def waiting(self) -> tuple[str, ...]:
        """Namespaces of which something is not written yet."""
        return tuple(
            name
            for name, own in self._own.items()
            if own.waiting or own.sealed or own.dropped or own.is_going
        )

    async def flush(self) -> bool:
        """Write what waits, of each namespace; whether nothing is left."""
        async with self._writing:
            done = [await self._write(namespace) for namespace in self.waiting]
        return all(done)

    async def close(self) -> None:
        """Write what waits, and that nothing follows."""
        await self.flush()
        for namespace, own in tuple(self._own.items()):
            await self._end(namespace, own)

    def forget(self, namespace: str) -> None:
        """There is no such namespace any more: what waits is written, and then its end."""
        own = self._own.get(namespace)
        if own is not None:
            own.is_going = True
            self._turn.set()

    def begin_anew(self, namespace: str) -> None:
        """Nothing is left of what we wrote there: what comes next continues nothing."""
        own = self._own.get(namespace)
        # What was sealed is sent again as it is, for it may be there already.
        if own is not None and own.sealed is None:
            own.chain = self._fresh_chain()

    async def _end(self, namespace: str, own: _Own) -> bool:
        """Write that nothing follows what was written, if anything was."""
        if own.sealed:
            return False
        if not own.chain.head.block:
            return True
        return await self._audit.append(namespace, _segment(own.chain, Kind.END, b"", 0, 0))

    async def _write(self, namespace: str) -> bool:
        # Held while Redis is awaited: only `_write` itself lets go of it.
        own = self._own[namespace]
        while own.waiting or own.sealed or own.dropped:
            sealed, segment = own.sealed or self._seal(own)
            own.sealed = sealed, segment
            if not await self._audit.append(namespace, segment):
                return False
            own.sealed = None
            self._fresh.add(namespace)
        return not own.is_going or await self._let_go(namespace, own)

    async def _let_go(self, namespace: str, own: _Own) -> bool:
        """All is written: nothing follows. What is noted meanwhile goes on by another chain."""
        if not await self._end(namespace, own):
            return False
        if own.is_going:
            del self._own[namespace]
        else:
            own.chain = self._fresh_chain()
        return not own.waiting

    def _fresh_chain(self) -> Chain:
        return chain.new(chain.fresh_name(self._random))

    def _seal(self, own: _Own) -> tuple[Sealed, Segment]:
        lines = [own.waiting.popleft() for _ in range(min(len(own.waiting), _AT_ONCE))]
        own.waiting_bytes -= sum(len(line) for line in lines)
        if own.dropped:
            lines.append(b'{"dropped":%d}' % own.dropped)
            own.dropped = 0
        first = own.chain.head.block + 1
        sealed = own.chain.seal(lines, moments.written(self._clock.wall_ns()))
        # It counts from now on: whether Redis took it is not always known.
        own.chain.keep(sealed)
        return sealed, _segment(own.chain, Kind.BLOCKS, sealed.content, first, len(lines))


def _segment(own: Chain, kind: Kind, body: bytes, first: int, records: int) -> Segment:
    head = own.head
    return Segment(
        kind=kind, chain=head.chain, first=first or head.block, last=head.block, hash=head.hash,
        records=records, body=body,
    )  # fmt: skip
