"""The sources in force: how to reach each, and what each lists.

A new bundle keeps what did not change: a source whose definition is the same keeps its
connections, its child process and its catalog.
"""

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from mesh7_core import errors
from mesh7_core.policy import bundle, calls, destination
from mesh7_sidecar.net import upstream
from mesh7_sidecar.net.exchange import Headers
from mesh7_sidecar.sources.baselines import Baselines
from mesh7_sidecar.sources.catalog import Catalog
from mesh7_sidecar.sources.client import SourceClient
from mesh7_sidecar.sources.credentials import Credentials
from mesh7_sidecar.sources.passed import Passed
from mesh7_sidecar.sources.pins import Pins
from mesh7_sidecar.telling import tell
from mesh7_sidecar.wire import lists

log = logging.getLogger("mesh7.sources")

ENDLESS_S = 24 * 3600.0
LIST_S = 10.0
"""How long one source may keep a list of all sources waiting."""
MAXIMUM_PASSED = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """How to reach one source.

    Attributes:
        calls: for what is answered; at most `bounds.maxConcurrency` at once.
        streams: for streams that may last for hours, so that they take no place from calls; may
            be the same.
    """

    calls: upstream.Upstream
    streams: upstream.Upstream


class Served:
    """One source and what is known of it.

    Attributes:
        source: its definition.
        digest: of where its calls go (`policy.destination`), what approvals are for.
        way: how to reach it with a call; `streams`: with a stream that may last.
        fixed: headers it gets each time, its credential among them.
        problem: why it cannot be used at all; empty when it can.
        client: the gateway's own conversation with it; of an `mcp` source only.
        catalog: what it lists; of an `mcp` source only.
        endless: terms of streams that may last, such as subscriptions.
    """

    __slots__ = (
        "_dropped",
        "_is_closed",
        "_passed",
        "base",
        "catalog",
        "client",
        "digest",
        "endless",
        "fixed",
        "problem",
        "source",
        "streams",
        "way",
    )

    def __init__(
        self,
        source: bundle.Source,
        ways: Ways,
        clock_s: Callable[[], float],
        on_change: Callable[[], None],
        baselines: Baselines,
    ) -> None:
        self.source = source
        self.digest = destination.source_digest(source)
        self.way = ways.calls
        self.streams = ways.streams
        self._dropped: dict[str, tuple[lists.Dropped, ...]] = {}
        self._is_closed = False
        self.problem = ""
        self.fixed: list[tuple[bytes, bytes]] = []
        self._passed: dict[int, Passed] = {}
        parts = urlsplit(source.url)
        query = f"?{parts.query}" if parts.query else ""
        self.base = (parts.path or "/") + query
        self.endless = upstream.Terms(
            answer_s=ENDLESS_S, idle_s=ENDLESS_S, stream_s=ENDLESS_S,
            maximum_bytes=source.bounds.maximum_response_bytes,
        )  # fmt: skip
        self.client = SourceClient(source, ways.calls, self.base, self.fixed)
        self.catalog = Catalog(Pins(source, baselines), self.client, clock_s, on_change)

    def repin(self, source: bundle.Source) -> None:
        """Serve it by another pinning; connections, sessions and children go on."""
        self.source = source
        self.catalog.repin(source)

    def target(self, path: str) -> str:
        """The request target of a path below an `http` source's URL; `path` starts with `/`."""
        return self.base.rstrip("/") + path

    def passed(self, fields: Headers) -> Passed:
        """What of an MCP answer's head reaches the agent; remembered, as the pool's heads are.

        Args:
            fields: of an answer of this source; read only.
        """
        known = self._passed.get(id(fields))
        # An id is given to another list once its owner is gone, so look whose it is.
        if known is None or known.fields is not fields:
            if len(self._passed) >= MAXIMUM_PASSED:
                self._passed.clear()
            known = self._passed[id(fields)] = Passed(fields)
        return known

    def tell_dropped(self, method: str, dropped: tuple[lists.Dropped, ...]) -> None:
        """Log what of a list is not served, once as long as it is the same; one line."""
        if not dropped or dropped == self._dropped.get(method):
            return
        self._dropped[method] = dropped
        first = dropped[0]
        log.warning(
            "source `%s`: %d entries of %s are not served, first `%s`: it %s",
            self.source.name, len(dropped), method, first.name, first.why,
        )  # fmt: skip

    def arm(self, credentials: Credentials) -> None:
        """Set the fixed headers anew; a credential that is missing becomes the problem."""
        fixed = [(name.encode(), value.encode()) for name, value in self.source.headers]
        problem = ""
        if self.source.credential is not None:
            try:
                fixed.append(credentials.header(self.source.credential, self.source.host))
            except errors.SettingsError as error:
                problem = f"source `{self.source.name}`: {error.message}"
        if problem and problem != self.problem:
            log.error("%s", problem)
        self.problem = problem
        # In place: the client holds the same list.
        self.fixed[:] = fixed

    def is_open(self) -> bool:
        """Whether it is in force: not removed, nor replaced by another of its name."""
        return not self._is_closed

    def close(self) -> None:
        """Let go of connections and children; calls under way finish, streams end."""
        self._is_closed = True
        self.catalog.close()
        if self.streams is not self.way:
            self.streams.abort()
        self.way.close()


class Registry:
    """All sources of the bundle in force, by name.

    Args:
        connect: a source → how to reach it.
        clock_s: monotonic seconds.
        baselines: what is known of earlier definitions.

    Attributes:
        on_change: told whenever lists of tools may be others than before.
    """

    def __init__(
        self,
        connect: Callable[[bundle.Source], Ways],
        clock_s: Callable[[], float],
        baselines: Baselines,
    ) -> None:
        self._connect = connect
        self._clock_s = clock_s
        self._baselines = baselines
        self._served: dict[str, Served] = {}
        self._credentials = Credentials(None, {}, {})
        self.on_change: list[Callable[[], None]] = []

    def find(self, name: str, kind: calls.SourceKind) -> Served | None:
        """The source of that name and kind; None is answered like one that does not exist."""
        served = self._served.get(name)
        return served if served is not None and served.source.kind is kind else None

    def all_of(self, kind: calls.SourceKind) -> list[Served]:
        """All sources of a kind, by name."""
        return [served for served in self._served.values() if served.source.kind is kind]

    def apply(self, sources: Mapping[str, bundle.Source], credentials: Credentials) -> None:
        """Serve these and no others; call `tell_change` when policy and sources fit again."""
        self._credentials = credentials
        before = self._served
        # All are made before any is put in force: an error leaves everything as it was.
        fresh = {
            name: before[name]
            if name in before and _differs_in_pinning_at_most(before[name].source, source)
            else self._serve(source)
            for name, source in sorted(sources.items())
        }
        self._served = fresh
        for name, source in sources.items():
            if fresh[name].source != source:
                fresh[name].repin(source)
        for name, served in before.items():
            if fresh.get(name) is not served:
                served.close()
        self.rearm()

    def _serve(self, source: bundle.Source) -> Served:
        return Served(
            source, self._connect(source), self._clock_s, self.tell_change, self._baselines
        )

    def rearm(self) -> None:
        """Read all credentials again; called regularly, so that a rotation needs no restart."""
        for served in self._served.values():
            served.arm(self._credentials)

    async def warm(self) -> None:
        """Read every catalog that was never read or may be outdated; failures stay where they are.

        A source that is slow to list goes on reading by itself, and keeps nobody waiting longer
        than `LIST_S` from when it began.
        """
        cold = [
            served.catalog.read_within(LIST_S)
            for served in self.all_of(calls.SourceKind.MCP)
            if served.catalog.is_due and not served.problem
        ]
        await asyncio.gather(*cold)

    def tell_change(self) -> None:
        """Tell whoever listens that lists, sources or what may be called are not what they were."""
        tell(self.on_change)

    def close(self) -> None:
        """Let go of everything."""
        for served in self._served.values():
            served.close()
        self._served = {}


def _differs_in_pinning_at_most(one: bundle.Source, other: bundle.Source) -> bool:
    return one == dataclasses.replace(other, pinning=one.pinning, accepted=one.accepted)
