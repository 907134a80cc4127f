"""How late the event loop comes to what is due: every call waits at least as long."""

import asyncio
from collections.abc import Iterable
from typing import Final

from mesh7_core.telemetry import sidecar_instruments as table
from mesh7_core.telemetry.instruments import Reading
from mesh7_sidecar.seeing.histogram import Histogram

EVERY_S: Final = 1.0


class Lag:
    """One loop's."""

    def __init__(self) -> None:
        self._found = Histogram(table.LOOP_LAG)
        self._series = self._found.of(())

    def add(self, late_s: float) -> None:
        """It came this late; before its time it is not late at all."""
        self._found.add(self._series, round(late_s * 1e9))

    async def watch(self) -> None:
        """Look every second, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + EVERY_S
            await asyncio.sleep(EVERY_S)
            self.add(loop.time() - due_s)

    def readings(self) -> Iterable[Reading]:
        """All that was found."""
        yield self._found.reading()
