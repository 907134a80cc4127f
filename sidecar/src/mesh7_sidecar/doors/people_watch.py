"""`GET /control/watch`: what changes about requests and grants, a JSON object a line.

Changes come from the ledger; what time alone changes is found by looking at every beat. A watcher
that reads slowly gets the newest state of what changed meanwhile, once, not every step of it.
"""

import asyncio
import contextlib
from typing import Final

from mesh7_core.ledger import protocol
from mesh7_core.ledger.asked import Request
from mesh7_sidecar.doors.people_answers import Ground, against, lost, refused
from mesh7_sidecar.doors.work import Work
from mesh7_sidecar.net.exchange import Exchange
from mesh7_sidecar.people import shown
from mesh7_sidecar.wire import headers

BEAT_S: Final = 15.0
MAXIMUM_WATCHERS: Final = 64


class Watching:
    """All who watch."""

    def __init__(self, ground: Ground, beat_s: float = BEAT_S) -> None:
        self._ground = ground
        self._beat_s = beat_s
        self._work = Work()
        self._watchers: dict[Exchange, asyncio.Task[None]] = {}

    def start(self, exchange: Exchange) -> None:
        """Tell this one until it leaves."""
        if len(self._watchers) >= MAXIMUM_WATCHERS:
            refused(503, f"{MAXIMUM_WATCHERS} are watching already – end one of them").send(
                exchange
            )
            return
        task = asyncio.ensure_future(_Watcher(exchange, self._ground, self._beat_s).tell())
        self._watchers[exchange] = task
        self._work.follow(exchange, task)
        task.add_done_callback(lambda _: self._watchers.pop(exchange, None))

    def dismiss(self) -> None:
        """The gateway ends: end every answer, for the listener would wait for them."""
        for exchange, task in tuple(self._watchers.items()):
            task.cancel()
            exchange.abandon()


class _Watcher:
    """One who watches; `_news` is set when there is something to tell."""

    def __init__(self, exchange: Exchange, ground: Ground, beat_s: float) -> None:
        self._exchange = exchange
        self._ground = ground
        self._beat_s = beat_s
        self._news = asyncio.Event()
        self._changed: set[str] = set()
        self._open: dict[str, int] = {}
        self._is_out_of_step = False

    async def tell(self) -> None:
        """Start the answer and write until cancelled."""
        forget = self._ground.ledger.subscribe(self._hear)
        try:
            found = await self._look()
            if found is None:
                lost(self._ground.ledger).send(self._exchange)
                return
            self._exchange.start(200, [headers.JSON])
            self._write_open(*found)
            while not self._exchange.is_gone:
                await self._next()
        finally:
            forget()

    def _hear(self, change: protocol.Changed) -> None:
        if change.request_id:
            self._changed.add(change.request_id)
        else:
            self._is_out_of_step = True
        self._news.set()

    async def _next(self) -> None:
        """Wait for news or the beat, then write what is due."""
        is_beat = False
        try:
            async with asyncio.timeout(self._beat_s):
                await self._news.wait()
        except TimeoutError:
            is_beat = True
        self._news.clear()
        if self._exchange.is_full:
            await self._drained()
        changed, self._changed = self._changed, set()
        is_out_of_step, self._is_out_of_step = self._is_out_of_step, False
        found = await self._look()
        if found is None:
            self._changed |= changed
            self._is_out_of_step = is_out_of_step or self._is_out_of_step
            self._line(lost(self._ground.ledger).body)
            return
        if is_out_of_step:
            # Standing grants, or all of it after a lost connection: one does not tell which.
            self._write_open(*found)
            self._line(b'{"standing":true}')
        else:
            self._write_changed(changed, *found)
        if is_beat:
            self._line(b"{}")

    async def _look(self) -> tuple[tuple[Request, ...], shown.Moment] | None:
        requests = await self._ground.ledger.requests()
        now_ms = await self._ground.ledger.now_ms()
        if isinstance(requests, protocol.Lost) or isinstance(now_ms, protocol.Lost):
            return None
        return requests, against(self._ground, now_ms, requests)

    def _write_open(self, requests: tuple[Request, ...], moment: shown.Moment) -> None:
        still = [each for each in requests if shown.is_open(each)]
        self._open = {each.id: each.version for each in still}
        self._line(shown.listed(still, moment))

    def _write_changed(
        self, changed: set[str], requests: tuple[Request, ...], moment: shown.Moment
    ) -> None:
        """What the ledger told of, and what time closed."""
        for each in requests:
            is_open = shown.is_open(each)
            if each.id in changed or (each.id in self._open and not is_open):
                self._line(shown.changed(each, moment))
            if is_open:
                self._open[each.id] = each.version
            else:
                self._open.pop(each.id, None)

    async def _drained(self) -> None:
        drained = asyncio.Event()
        self._exchange.on_drain = drained.set
        # A client that never reads again is cut by the listener's sweep, which cancels us.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._beat_s):
                await drained.wait()
        self._exchange.on_drain = None

    def _line(self, text: bytes) -> None:
        if not self._exchange.is_full:
            self._exchange.write(text + b"\n")
