"""What is done again and again, whether anything was told or not: the net under every event."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final

from mesh7_core import errors
from mesh7_operator.controller.informer.board import Board
from mesh7_operator.controller.informer.listing import Ear
from mesh7_operator.metrics import ControllerMetrics

_LOG: Final = logging.getLogger(__name__)


async def every(
    period_s: float, name: str, do: Callable[[], Awaitable[None]], metrics: ControllerMetrics
) -> None:
    """Do it, wait for a period and up to a fifth of it, do it again; until cancelled."""
    while True:
        await once(name, do, metrics)
        await asyncio.sleep(period_s * random.uniform(1.0, 1.2))  # noqa: S311 - jitter


async def once(name: str, do: Callable[[], Awaitable[None]], metrics: ControllerMetrics) -> None:
    """One round; one that the API server does not let through is left to the next one.

    So is one that shows a defect: it must not cost the namespaces their leader.
    """
    try:
        await do()
    except errors.ClusterError as error:
        _LOG.warning("a round failed", extra={"round": name, "error": error.message})
        metrics.failed_rounds.labels(name, "failed").inc()
    except Exception:  # noqa: BLE001 - see above
        _LOG.exception("a round crashed", extra={"round": name})
        metrics.failed_rounds.labels(name, "crashed").inc()


async def resync(ear: Ear, board: Board, mark: Callable[[str], None]) -> None:
    """Reconcile everything, have it compared, and forget what is long gone."""
    board.prune()
    for name in board.names():
        mark(name)
    ear.look_everywhere()
