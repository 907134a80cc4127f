"""What one source lists, remembered: which tool names exist, and what they look like.

A call to a name that is not in it is unknown and goes nowhere. It is read when the source is
first needed, again when the source says that its list changed, when a definition is older than
`STALE_S`, and when an unknown name is asked for and the list is older than `RETRY_S`: a source
that gains a tool serves it at once, and made-up names cannot make the gateway list all day.
"""

import asyncio
import logging
from collections.abc import Callable

from mesh7_core import errors
from mesh7_core.policy import bundle
from mesh7_sidecar.sources.client import SourceClient
from mesh7_sidecar.wire import lists

log = logging.getLogger("mesh7.catalog")

STALE_S = 300.0
RETRY_S = 5.0


class Catalog:
    """The tools of one source.

    Args:
        source: whose tools; its `include` and `exclude` are applied here.
        client: how to ask.
        clock_s: monotonic seconds.
        on_change: told whenever the list is another than before.

    Attributes:
        definitions: by upstream name, in the order listed; empty before the first list.
        error: why the last attempt failed, empty when it did not.
    """

    def __init__(
        self,
        source: bundle.Source,
        client: SourceClient,
        clock_s: Callable[[], float],
        on_change: Callable[[], None],
    ) -> None:
        self.definitions: dict[str, lists.ToolDefinition] = {}
        self.error = ""
        self._source = source
        self._client = client
        self._clock_s = clock_s
        self._on_change = on_change
        self._read_at_s: float | None = None
        self._tried_at_s = float("-inf")
        self._reading: asyncio.Task[None] | None = None
        self._began_at_s = 0.0

    @property
    def was_read(self) -> bool:
        """Whether a list has ever been read; before that no name is known or unknown."""
        return self._read_at_s is not None

    def invalidate(self) -> None:
        """The source said that its list changed: read it again at the next look."""
        self._tried_at_s = float("-inf")
        self._read_at_s = float("-inf") if self.was_read else None

    def knows(self, name: str) -> bool:
        """Whether the source lists `name` and serves it, as far as is known now."""
        return name in self.definitions

    def needs_reading(self, name: str) -> bool:
        """Whether to read the list before judging a call to `name`."""
        if self._read_at_s is None:
            return True
        now_s = self._clock_s()
        if name in self.definitions:
            return now_s - self._read_at_s > STALE_S and now_s - self._tried_at_s > RETRY_S
        return now_s - self._tried_at_s > RETRY_S

    async def read(self) -> None:
        """Read the list; callers at the same time share one reading. Errors are kept, not raised.

        An older list stays in force when reading fails.
        """
        # Not awaited itself: neither its end by `close` nor a waiter's may end the other.
        await asyncio.wait([self._start()])

    async def read_within(self, patience_s: float) -> bool:
        """Like `read`, waiting at most `patience_s` from when the reading began.

        So a source that never lists keeps the first who asks waiting, not everybody each time.
        Returns whether the reading is over.
        """
        reading = self._start()
        left_s = self._began_at_s + patience_s - self._clock_s()
        done, _ = await asyncio.wait([reading], timeout=max(0.0, left_s))
        return bool(done)

    def _start(self) -> "asyncio.Task[None]":
        if self._reading is None:
            self._began_at_s = self._clock_s()
            self._reading = asyncio.create_task(self._read())
            self._reading.add_done_callback(self._finished)
        return self._reading

    def close(self) -> None:
        """Stop reading."""
        if self._reading is not None:
            self._reading.cancel()

    def _finished(self, reading: asyncio.Task[None]) -> None:
        self._reading = None
        if not reading.cancelled() and reading.exception() is not None:
            self.error = f"source `{self._source.name}` cannot be listed: a defect of mesh7"
            log.error("listing failed", exc_info=reading.exception())

    async def _read(self) -> None:
        try:
            pages = await self._client.list_pages("tools/list")
            instructions = self._client.instructions
            definitions = [
                definition
                for page in pages
                for definition in lists.tool_definitions(page.body, instructions)
            ]
        except errors.Mesh7Error as error:
            self.error = error.message
            log.warning("tools cannot be listed: %s", error.message)
            return
        finally:
            self._tried_at_s = self._clock_s()
        self.error = ""
        self._read_at_s = self._clock_s()
        before = [definition.raw for definition in self.definitions.values()]
        self.definitions = {each.name: each for each in definitions if self.serves(each.name)}
        if before != [definition.raw for definition in self.definitions.values()]:
            self._on_change()

    def serves(self, name: str) -> bool:
        """Whether the source's `include` and `exclude` leave `name` in."""
        source = self._source
        if any(glob.matches(name) for glob in source.exclude):
            return False
        return not source.include or any(glob.matches(name) for glob in source.include)
