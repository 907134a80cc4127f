"""The last that is sent to collectors when a gateway ends, beside what else ends then."""

import asyncio
import logging
from collections.abc import Callable

log = logging.getLogger("mesh7.telemetry")


async def sent(close: Callable[[], None]) -> None:
    """Have it sent by a thread; that there is none ends nothing else."""
    try:
        await asyncio.to_thread(close)
    except RuntimeError as error:
        # The agent has a part in how many threads there may be.
        log.warning("what waits for a collector is not sent: %s", error)
