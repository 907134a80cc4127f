"""What one source lists, remembered: which tool names exist, and what they look like.

A call to a name that is not in it is unknown and goes nowhere. It is read when the source is
first needed, again when the source says that its list changed or shows an agent another one, when
a definition is older than `STALE_S`, and when an unknown name is asked for and the list is older
than `RETRY_S`: a source that gains a tool serves it at once, and made-up names cannot make the
gateway list all day. What pinning hides is not in it either, so no door shows or calls it.
"""

import asyncio
import logging
from collections.abc import Callable

from mesh7_core import errors
from mesh7_core.policy import bundle
from mesh7_core.policy.decision import (
    DEFINITION_CHANGED,
    SOURCE_UNAVAILABLE,
    UNKNOWN_TOOL,
    Decision,
)
from mesh7_sidecar.sources.client import SourceClient
from mesh7_sidecar.sources.pins import Pins
from mesh7_sidecar.wire import lists

log = logging.getLogger("mesh7.catalog")

STALE_S = 300.0
RETRY_S = 5.0
MAXIMUM_RESTLESS_READS = 3
"""A list that changes each time it is read is taken as it is after so many."""


class Catalog:
    """The tools of one source.

    Args:
        pins: whose tools, and which definitions are accepted; the source's `include` and
            `exclude` are applied here.
        client: how to ask.
        clock_s: monotonic seconds.
        on_change: told whenever the list is another than before.

    Attributes:
        definitions: what is served, by upstream name, in the order listed; empty before the first
            list.
        hidden: what pinning does not let through, likewise.
        error: why the last attempt failed, empty when it did not.
    """

    def __init__(
        self,
        pins: Pins,
        client: SourceClient,
        clock_s: Callable[[], float],
        on_change: Callable[[], None],
    ) -> None:
        self.definitions: dict[str, lists.ToolDefinition] = {}
        self.hidden: dict[str, lists.ToolDefinition] = {}
        self.error = ""
        self.pins = pins
        self._listed: list[lists.ToolDefinition] = []
        self._client = client
        self._clock_s = clock_s
        self._on_change = on_change
        self._read_at_s: float | None = None
        self._tried_at_s = float("-inf")
        self._reading: asyncio.Task[None] | None = None
        self._began_at_s = 0.0
        self._invalidated = 0

    @property
    def was_read(self) -> bool:
        """Whether a list has ever been read; before that no name is known or unknown."""
        return self._read_at_s is not None

    @property
    def is_due(self) -> bool:
        """Whether to read the list before showing it."""
        return not self.was_read or (self.pins.is_on and self.needs_reading(""))

    @property
    def is_wanted(self) -> bool:
        """Whether what the source tells an agent cannot be held against pinning yet."""
        return self.pins.is_on and not self.was_read

    def invalidate(self) -> None:
        """The list changed: read it again at the next look, also when one is being read now."""
        self._invalidated += 1
        self._tried_at_s = float("-inf")
        self._read_at_s = float("-inf") if self.was_read else None

    def knows(self, name: str) -> bool:
        """Whether the source lists `name` and serves it, as far as is known now."""
        return name in self.definitions

    def refusal(self, name: str) -> Decision:
        """Why a call to a name that is not among `definitions` goes nowhere."""
        if not self.was_read:
            return SOURCE_UNAVAILABLE
        return DEFINITION_CHANGED if name in self.hidden else UNKNOWN_TOOL

    def showing(self) -> "Showing":
        """What one list says that the source sends to an agent in its own conversation."""
        return Showing(self, self._client.instructions)

    def saw(self, unlike: list[lists.ToolDefinition]) -> None:
        """The source shows an agent definitions that its list does not have."""
        if self.was_read:
            # Before that, what the server tells models may not be known.
            self.pins.learn(unlike)
        self.invalidate()

    def may_instruct(self, instructions: str) -> bool:
        """Whether an agent may get these instructions from the source in its own conversation.

        They are part of every definition, so others than before make all of them others.
        """
        if not self.pins.is_on:
            return True
        if instructions != self._client.instructions:
            self._client.instructions = instructions
            self.invalidate()
            self._take([tool.told(instructions) for tool in self._listed])
        return not instructions or not self.pins.is_enforced or bool(self.definitions)

    def repin(self, source: bundle.Source) -> None:
        """Go by another pinning of the same source; who applies it tells that lists changed."""
        self.pins.source = source
        self._sort(self._listed)

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
            self.error = f"source `{self.pins.source.name}` cannot be listed: a defect of mesh7"
            log.error("listing failed", exc_info=reading.exception())

    async def _read(self) -> None:
        try:
            listed = await self._list_as_it_is()
        except errors.Mesh7Error as error:
            self.error = error.message
            log.warning("tools cannot be listed: %s", error.message)
            if self.pins.is_enforced:
                # Whether it is still what was accepted is not known: that denies.
                self._read_at_s = None
                self._take([])
            return
        finally:
            self._tried_at_s = self._clock_s()
        self.error = ""
        self._read_at_s = self._clock_s()
        self._take(listed)

    async def _list_as_it_is(self) -> list[lists.ToolDefinition]:
        """The list; read again when it changed meanwhile, for it may be older than the news."""
        looks = 0
        while True:
            looks += 1
            invalidated = self._invalidated
            listed = await self._list()
            if invalidated == self._invalidated or looks >= MAXIMUM_RESTLESS_READS:
                return listed

    async def _list(self) -> list[lists.ToolDefinition]:
        if self.was_read:
            # Approvals hang on the whole definition, whatever is pinned.
            await self._client.renew()
        pages = await self._client.list_pages("tools/list")
        instructions = self._client.instructions
        return [
            definition
            for page in pages
            for definition in lists.tool_definitions(page.body, instructions)
        ]

    def _take(self, listed: list[lists.ToolDefinition]) -> None:
        before = [definition.raw for definition in self.definitions.values()]
        self._sort(listed)
        if before != [definition.raw for definition in self.definitions.values()]:
            self._on_change()

    def _sort(self, listed: list[lists.ToolDefinition]) -> None:
        """Serve of these what pinning lets through."""
        self._listed = [each for each in listed if self.serves(each.name)]
        self.pins.learn(self._listed)
        self.definitions = {each.name: each for each in self._listed if self.pins.serves(each)}
        self.hidden = {
            each.name: each for each in self._listed if each.name not in self.definitions
        }

    def serves(self, name: str) -> bool:
        """Whether the source's `include` and `exclude` leave `name` in."""
        source = self.pins.source
        if any(glob.matches(name) for glob in source.exclude):
            return False
        return not source.include or any(glob.matches(name) for glob in source.include)


class Showing:
    """One list on its way to an agent, held against the gateway's own.

    A source that shows the agent another definition than the gateway gets no further by it: the
    one that counts is the one in hand, and the gateway reads its own list again. Made by
    `Catalog.showing`.
    """

    def __init__(self, catalog: Catalog, instructions: str) -> None:
        self._catalog = catalog
        self._instructions = instructions
        self._unlike: list[lists.ToolDefinition] = []

    def may_show(self, entry: lists.Entry) -> bool:
        """Whether the agent may see this tool."""
        catalog = self._catalog
        if not catalog.serves(entry.name):
            return False
        if not catalog.pins.is_on:
            return True
        known = catalog.definitions.get(entry.name) or catalog.hidden.get(entry.name)
        if known is not None and known.raw == entry.raw:
            return known.name in catalog.definitions
        shown = lists.ToolDefinition(entry, self._instructions)
        if known is None or known.digest != shown.digest:
            self._unlike.append(shown)
        return catalog.pins.serves(shown)

    def end(self) -> None:
        """The list is over: take note of it, once for all of it."""
        if self._unlike:
            self._catalog.saw(self._unlike)
