"""A pod's sealed blocks on their way into its namespace's audit in Redis.

They are on stdout already: nothing waits for Redis, and little memory is spent on its absence.
Blocks that find no room, or are too long, are named instead of sent, so that whoever verifies the
chain reads an honest gap. One segment is in flight at a time, so that they arrive in order, each
signed with the key that the chain is named by: other pods can append there, too.
"""

import asyncio
import contextlib
import logging
from collections import deque
from dataclasses import replace
from typing import Final, Protocol

from mesh7_core import awake
from mesh7_core.audit.heads import Head
from mesh7_core.delivery.keys import SigningKey
from mesh7_core.ledger import audit_entries, audit_writers
from mesh7_core.ledger.audit_entries import Kind, Segment
from mesh7_sidecar.audit import segments

log = logging.getLogger("mesh7.audit")

EVERY_S: Final = 0.5
"""Blocks that come within it go together, unless they are many."""
AT_ONCE_BYTES: Final = 64 * 1024
MOST_BYTES: Final = 4 * 1024 * 1024
MOST_WAITING: Final = 4096
"""Segments of the namespace that nobody has read yet; beyond, each pod sends one in a while."""
CROWDED_S: Final = 10.0
CLOSE_S: Final = 2.0
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 10.0


class Inbox(Protocol):
    """Where segments go."""

    trouble: str

    async def append(self, segment: Segment) -> int:
        """Append it; how many wait there with it, or less than 0: it was perhaps not taken."""


class Appending:
    """One chain's; used on one event loop alone.

    Args:
        key: that the chain is named by.
        namespace: whose audit it is for.
        uid, pod: whose chain it is.
        pause_s: between segments that are few, and after a failure at first.

    Attributes:
        withheld: records that were not sent, ever.
    """

    def __init__(
        self, key: SigningKey, namespace: str, uid: str, pod: str, *, pause_s: float = EVERY_S
    ) -> None:
        self.withheld = 0
        self._key = key
        self._namespace = namespace
        self._uid = audit_entries.uid_of(uid)
        self._pod = audit_entries.pod_of(pod)
        self._every_s = pause_s
        self._waiting: deque[Segment] = deque()
        self._bytes = 0
        self._head: Head | None = None
        self._first_pause_s = min(_FIRST_PAUSE_S, pause_s)
        self._is_tried = False
        self._is_closing = False
        self._turn = asyncio.Event()
        self._inbox: Inbox | None = None
        self._task: asyncio.Task[None] | None = None
        self._said = ""

    def add(self, segment: segments.Segment) -> None:
        """Take whole blocks that follow those before; returns at once."""
        content, last = segment.content, segment.last
        self._head = last
        sealed = Segment(
            kind=Kind.BLOCKS,
            chain=last.chain,
            first=segment.first.block,
            last=last.block,
            hash=last.hash,
            records=segment.records,
            uid=self._uid,
            pod=self._pod,
            body=content,
        )
        too_long = len(content) + audit_entries.LONGEST_LINE > audit_entries.LONGEST
        if too_long or self._bytes + len(content) > MOST_BYTES:
            self._withhold(sealed)
        else:
            self._keep(sealed)
        self._turn.set()

    def use(self, inbox: Inbox) -> None:
        """Begin to send; segments that came before go first. Later calls change where to."""
        self._inbox = inbox
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._send())

    async def close(self) -> None:
        """Send what waits and that nothing follows, for `CLOSE_S` at most."""
        self._is_closing = True
        self._turn.set()
        if self._task is None:
            return
        with contextlib.suppress(TimeoutError):
            async with awake.timeout(CLOSE_S):
                await asyncio.wait({self._task})
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        if self._waiting:
            records = sum(one.records for one in self._waiting)
            log.warning("%d audit records did not reach Redis; they are on stdout", records)

    # What waits

    def _keep(self, segment: Segment) -> None:
        self._bytes += len(segment.body)
        before = self._last(Kind.BLOCKS)
        if before is None or len(before.body) >= AT_ONCE_BYTES or _is_long(before, segment):
            self._waiting.append(segment)
        else:
            self._waiting[-1] = _joined(before, segment)

    def _withhold(self, segment: Segment) -> None:
        before = self._last(Kind.WITHHELD)
        bare = replace(segment, kind=Kind.WITHHELD, body=b"")
        self.withheld += segment.records
        if before is None:
            log.warning("audit records are not sent to Redis: no room; they are on stdout")
            self._waiting.append(bare)
        else:
            self._waiting[-1] = _joined(before, bare)

    def _last(self, kind: Kind) -> Segment | None:
        """What may still grow; one that was sent once has to be the very same if sent again."""
        if len(self._waiting) <= int(self._is_tried):
            return None
        return self._waiting[-1] if self._waiting[-1].kind is kind else None

    # Sending

    async def _send(self) -> None:
        pause_s = self._first_pause_s
        while True:
            await self._until_due()
            if not self._waiting:
                if self._is_closing:
                    await self._end()
                    return
                continue
            waiting = await self._send_first()
            if waiting < 0:
                self._say()
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            else:
                pause_s = self._first_pause_s
                if waiting > MOST_WAITING and not self._is_closing:
                    await self._rest(CROWDED_S)

    async def _send_first(self) -> int:
        segment, inbox, self._is_tried = self._waiting[0], self._inbox, True
        waiting = -1 if inbox is None else await inbox.append(self._signed(segment))
        if waiting >= 0:
            self._waiting.popleft()
            self._is_tried = False
            self._bytes -= len(segment.body)
        return waiting

    async def _end(self) -> None:
        head, inbox = self._head, self._inbox
        if head is not None and inbox is not None:
            end = Segment(
                kind=Kind.END, chain=head.chain, first=head.block, last=head.block, hash=head.hash,
                records=0, uid=self._uid, pod=self._pod,
            )  # fmt: skip
            await inbox.append(self._signed(end))

    def _signed(self, segment: Segment) -> Segment:
        """The same each time, for there is no chance in such a signature."""
        return audit_writers.signed(segment, self._key, self._namespace)

    async def _until_due(self) -> None:
        """Until something waits, and then a little longer for more of it."""
        while not self._waiting and not self._is_closing:
            self._turn.clear()
            await self._turn.wait()
        if self._bytes < AT_ONCE_BYTES and len(self._waiting) <= 1:
            await self._rest(self._every_s)

    async def _rest(self, seconds: float) -> None:
        """So long, or until there is much, or it is to end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._is_closing and (
                    self._bytes < AT_ONCE_BYTES or seconds == CROWDED_S
                ):
                    self._turn.clear()
                    await self._turn.wait()

    def _say(self) -> None:
        """Why, once until it is another reason."""
        why = self._inbox.trouble if self._inbox is not None else ""
        if why != self._said:
            self._said = why
            log.warning("audit records do not reach Redis: %s; they are on stdout, and wait", why)


def _joined(before: Segment, after: Segment) -> Segment:
    return replace(
        after,
        first=before.first,
        records=before.records + after.records,
        body=before.body + after.body,
    )


def _is_long(before: Segment, after: Segment) -> bool:
    return len(before.body) + len(after.body) + audit_entries.LONGEST_LINE > audit_entries.LONGEST
