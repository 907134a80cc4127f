"""Coroutines that answer exchanges, for the doors that are off the data path of MCP clients."""

import asyncio
import logging
from collections.abc import Coroutine

from mesh7_core.policy.reasons import Reason
from mesh7_sidecar.net.exchange import Exchange
from mesh7_sidecar.wire import answers

log = logging.getLogger("mesh7.doors")


class Work:
    """Keeps tasks alive until they are done; cancels one when its agent leaves."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def run(self, exchange: Exchange, work: Coroutine[None, None, None]) -> None:
        """Answer `exchange` by `work`."""
        self.follow(exchange, asyncio.ensure_future(work))

    def follow(self, exchange: Exchange, task: asyncio.Task[None]) -> None:
        """Keep `task`, which answers `exchange`; whoever else cancels it, it answers first."""
        self._running.add(task)
        exchange.on_gone = lambda: _cancel(task)
        task.add_done_callback(lambda done: self._done(exchange, done))

    def _done(self, exchange: Exchange, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if task.cancelled() or task.exception() is None:
            return
        # The edge of a door (style: errors): a defect of ours must answer, and must be seen.
        log.error("answering failed", exc_info=task.exception())
        fields, body = answers.plain_problem(
            500, Reason.SOURCE_UNAVAILABLE, "mesh7 failed to answer; its log says why"
        )
        exchange.respond(500, fields, body)


def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
