"""The controller's own chain of each namespace: what people decided, and what was done for them.

A line waits in memory until Redis has it, and the anchor that it is to lie under is there; it
stands in the controller's log before that, so that no decision of a person is lost with Redis. A
new leader begins new chains.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
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
_BEGUN_AT_ONCE: Final = 8
"""Anchors that are made side by side: the API server may be slow, or away."""


class Stream(Protocol):
    """Where it is written."""

    async def append(self, namespace: str, segment: Segment) -> bool:
        """Write it; whether it lies there."""


class Anchors(Protocol):
    """Without which nothing is written."""

    def is_begun(self, namespace: str) -> bool:
        """Whether its anchor is there."""

    async def begin(self, namespace: str) -> bool:
        """The same; makes the first one, and may take long."""


class Audit(Stream, Anchors, Protocol):
    """Both."""


class Begun:
    """Streams into which nothing of ours goes before their anchors are there.

    Args:
        stream: where it goes then.
        anchors: whose; asked for when they are needed.
    """

    def __init__(self, stream: Stream, anchors: Callable[[], Anchors]) -> None:
        self._stream = stream
        self._anchors = anchors

    def is_begun(self, namespace: str) -> bool:
        """Whether its anchor is there."""
        return self._anchors().is_begun(namespace)

    async def begin(self, namespace: str) -> bool:
        """Have it made; whether it is there."""
        return await self._anchors().begin(namespace)

    async def append(self, namespace: str, segment: Segment) -> bool:
        """Write it; whether it lies there."""
        return self.is_begun(namespace) and await self._stream.append(namespace, segment)


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

    @property
    def needs_anchor(self) -> bool:
        """Whether something is to be written, if only its end."""
        return bool(self.waiting or self.sealed or self.dropped or self.chain.head.block)


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
        self._begins = asyncio.Event()
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
        else:
            own.waiting.append(line)
            own.waiting_bytes += len(line)
        self._stir()

    def note_fact(self, namespace: str, name: str, said: Mapping[str, object]) -> None:
        """Take what is no person's deed, as a line with its time."""
        time = moments.written(self._clock.wall_ns())
        self.note(namespace, orjson.dumps({"time": time, name: said}))

    def fresh(self) -> set[str]:
        """Namespaces of which something was written since this was asked last."""
        fresh, self._fresh = self._fresh, set()
        return fresh

    async def run(self) -> None:
        """Write until cancelled: at once, or as soon as Redis and its anchor are there."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_whenever(self._turn, self._write_begun))
            # Beside: whose anchor cannot be made keeps nobody else from being written.
            tasks.create_task(_whenever(self._begins, self._begin_others))

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
        is_written = await self._write_begun()
        if not self._unbegun:
            return is_written
        is_begun = await self._begin_others()
        return await self._write_begun() and is_begun

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
            self._stir()

    def begin_anew(self, namespace: str) -> None:
        """Nothing is left of what we wrote there: what comes next continues nothing."""
        own = self._own.get(namespace)
        # What was sealed is sent again as it is, for it may be there already.
        if own is not None and own.sealed is None:
            own.chain = self._fresh_chain()

    def _stir(self) -> None:
        self._turn.set()
        self._begins.set()

    @property
    def _unbegun(self) -> Sequence[str]:
        """Namespaces of which something waits for an anchor."""
        return [
            one
            for one in self.waiting
            if self._own[one].needs_anchor and not self._audit.is_begun(one)
        ]

    async def _begin_others(self) -> bool:
        """Have the anchors made that are awaited; whether all are there."""
        places = asyncio.Semaphore(_BEGUN_AT_ONCE)

        async def begin(namespace: str) -> bool:
            async with places:
                is_begun = await self._audit.begin(namespace)
            if is_begun:
                self._turn.set()
            return is_begun

        return all(await asyncio.gather(*map(begin, self._unbegun)))

    async def _write_begun(self) -> bool:
        """Write what waits where the anchor is there; whether nothing is left of that."""
        async with self._writing:
            unbegun = set(self._unbegun)
            done = [await self._write(one) for one in self.waiting if one not in unbegun]
        return all(done)

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
            # Asked before it is sealed: with a new anchor its chain is a new one, too.
            if not self._audit.is_begun(namespace):
                return False
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


async def _whenever(told: asyncio.Event, done: Callable[[], Awaitable[bool]]) -> None:
    """Do it when it is told, and again after a pause while it is not all done."""
    while True:
        await told.wait()
        told.clear()
        if not await done():
            await asyncio.sleep(_AGAIN_S)
            told.set()


def _segment(own: Chain, kind: Kind, body: bytes, first: int, records: int) -> Segment:
    head = own.head
    return Segment(
        kind=kind, chain=head.chain, first=first or head.block, last=head.block, hash=head.hash,
        records=records, body=body,
    )  # fmt: skip
