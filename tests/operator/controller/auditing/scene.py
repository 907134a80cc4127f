"""The audit of namespaces from Redis to signed anchors: real servers, and who leads there."""

import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from mesh7_core.delivery import keys
from mesh7_core.ledger import audit_entries, redis_layout
from mesh7_core.ledger.audit_entries import Entry, Segment
from mesh7_operator import metrics
from mesh7_operator.anchoring import writing
from mesh7_operator.anchoring.anchor import Anchor
from mesh7_operator.anchoring.trimming import Terms
from mesh7_operator.anchoring.verifying import Verified, Verifying
from mesh7_operator.clock import Clock
from mesh7_operator.cluster import resources, shapes
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.controller.auditing.anchoring import Auditing
from mesh7_operator.controller.auditing.anchors import Anchors
from mesh7_operator.controller.auditing.recording import Begun, Recorder
from mesh7_operator.controller.posting import Poster
from mesh7_operator.reconciling.world import Keys
from mesh7_operator.store.audit import Audit, Extent
from mesh7_operator.store.store import Store
from tests.fakes import api_server as fakes
from tests.operator.anchoring.streams import Writer
from tests.operator.store.parts import NOW, link_of, storing, until_well
from tests.peers import redis_servers

RELEASE = "mesh7-system"
NAMESPACES = ("shop", "bank")
PLACE = (resources.CONFIG_MAPS, RELEASE, "mesh7-audit-shop")
INBOX = "m7a:{shop}:inbox"
STREAM = "m7a:{shop}:audit"
BANK_PLACE = (resources.CONFIG_MAPS, RELEASE, "mesh7-audit-bank")
BANK_STREAM = "m7a:{bank}:audit"
DAY_S = 86_400.0
WEEK = Terms(retention=timedelta(days=7), most_bytes=32 * 1024 * 1024)
FIRST = keys.SigningKey(b"1" * 32)
SECOND = keys.SigningKey(b"2" * 32)


class Ring:
    def __init__(self, signer: keys.SigningKey, *links: keys.Link) -> None:
        self.keys = Keys(signer=signer, links=links, stamps=())


class Busy(Audit):
    """One to which the recorder of another term appends whenever its newest entry is asked for."""

    def __init__(self, audit: Audit) -> None:
        vars(self).update(vars(audit))
        self._other = Writer(None, "-", "-")

    async def read_back(
        self, namespace: str, *, before: str = "", limit: int = 1
    ) -> list[Entry] | None:
        assert await self.append(namespace, self._other.blocks(1))
        return await super().read_back(namespace, before=before, limit=limit)


class Torn(Audit):
    """One that takes nothing away, as often as that."""

    def __init__(self, audit: Audit) -> None:
        vars(self).update(vars(audit))
        self.failures = 0

    async def trim(self, namespace: str, up_to: str) -> bool:
        return not self._is_torn() and await super().trim(namespace, up_to)

    async def remove(self, namespace: str, ids: Sequence[str]) -> bool:
        return not (ids and self._is_torn()) and await super().remove(namespace, ids)

    def _is_torn(self) -> bool:
        self.failures -= 1
        return self.failures >= 0


class Overtaken(Audit):
    """One to which something comes once, in the middle of what its reader does.

    Attributes:
        after_extent: what comes once its extent is told.
        before_end: what comes when it is to be forgotten.
    """

    def __init__(self, audit: Audit) -> None:
        vars(self).update(vars(audit))
        self.after_extent: list[Callable[[], Awaitable[None]]] = []
        self.before_end: list[Callable[[], Awaitable[None]]] = []

    async def extent(self, namespace: str) -> Extent | None:
        found = await super().extent(namespace)
        while self.after_extent:
            await self.after_extent.pop()()
        return found

    async def forget_empty(self, namespace: str) -> bool:
        while self.before_end:
            await self.before_end.pop()()
        return await super().forget_empty(namespace)


class Leader:
    """All that one term of leadership has of the audit; time begins with that of Redis."""

    def __init__(
        self, audit: Audit, api: ApiServer, terms: Terms, ring: Ring, began_ns: int
    ) -> None:
        self.later_s = 0.0
        self._stopped_s = 0.0
        self.measured = metrics.ControllerMetrics(metrics.registry())
        self.ring = ring
        self.clock = clock = Clock(
            wall_ns=lambda: began_ns + int(self.later_s * 1e9),
            monotonic_s=self._monotonic_s,
        )
        begun = Begun(audit, lambda: self.auditing)
        self.recorder = Recorder(begun, secrets.token_bytes, clock)
        self.enrolled = ["shop"]
        self.auditing = Auditing(
            audit=audit,
            anchors=Anchors(
                api, RELEASE, ring, Poster(api, clock), clock=clock, may_write=lambda: True
            ),
            enrolled=lambda: self.enrolled,
            recorder=self.recorder,
            metrics=self.measured,
            clock=clock,
            terms=terms,
        )

    def _monotonic_s(self) -> float:
        if self._stopped_s:
            self.later_s += 6.0
        return (self._stopped_s or time.monotonic()) + self.later_s

    def hurry(self) -> None:
        """From now on a round has one turn, however fast or slow this machine is."""
        self._stopped_s = time.monotonic()

    async def recorded(self, namespace: str, line: bytes) -> bool:
        """Whether our own record is in the stream."""
        self.recorder.note(namespace, line)
        return await self.recorder.flush()

    async def look(self) -> None:
        """The next round, long after the one before."""
        self.later_s += 61.0
        await self.auditing.look()

    def found(self, namespace: str = "shop") -> dict[str, float]:
        """What was counted."""
        (family,) = self.measured.audit_findings.collect()
        return {
            one.labels["kind"]: one.value
            for one in family.samples
            if one.name.endswith("_total") and one.labels["namespace"] == namespace
        }


class Scene:
    """A Redis, an API server, and the users of two namespaces.

    Attributes:
        leader: the first.
    """

    def __init__(
        self,
        server: redis_servers.Server,
        store: Store,
        kept: fakes.ApiServer,
        api: ApiServer,
        terms: Terms,
    ) -> None:
        self.server = server
        self.kept = kept
        self.store = store
        self.api = api
        self._terms = terms
        self.leader = self.lead()

    async def revive(self) -> None:
        """That Redis again, with all its users."""
        self.server.start()
        await until_well(self.store, NAMESPACES, NOW)

    def lead(self, ring: Ring | None = None, audit: Audit | None = None) -> Leader:
        """A new term."""
        told = self.server.tell("TIME")
        assert isinstance(told, list)
        began_ns = int(told[0]) * 1_000_000_000
        return Leader(
            audit or self.store.audit, self.api, self._terms, ring or Ring(FIRST), began_ns
        )

    def send(self, *segments: Segment, namespace: str = "shop") -> None:
        """As a sidecar of that namespace does."""
        key = redis_layout.Layout(namespace).audit_inbox
        with link_of(self.server, namespace) as link:
            for one in segments:
                assert isinstance(link.ask("RPUSH", key, audit_entries.written(one)), int)

    def put(self, *segments: Segment, days_ago: int) -> None:
        """The operator's, as they lie there after some days."""
        told = self.server.tell("TIME")
        assert isinstance(told, list)
        at_ms = (int(told[0]) - days_ago * 86_400) * 1000
        for number, one in enumerate(segments):
            fields = audit_entries.fields(one)
            self.server.tell("XADD", STREAM, f"{at_ms}-{number + 1}", *fields)

    def refuse_anchors(self, times: int) -> None:
        """The API server takes none, so many times."""
        self.kept.troubled_method, self.kept.troubled_path = "PUT", PLACE[2]
        self.kept.troubles = [(403, {})] * times

    async def config_map(self, namespace: str = "shop") -> dict[str, object]:
        return dict(await self.api.get(resources.CONFIG_MAPS, RELEASE, f"mesh7-audit-{namespace}"))

    async def anchor(self, *roots: bytes, namespace: str = "shop") -> Anchor:
        """As somebody reads it who has the keys."""
        data = shapes.mapping(await self.config_map(namespace), "data")
        found = writing.read(data, namespace, roots or (FIRST.public,))
        assert found is not None
        return found

    def ids(self) -> list[bytes]:
        """Of all that lies in the stream."""
        found = self.server.tell("XRANGE", STREAM, "-", "+")
        assert isinstance(found, list)
        return [one[0] for one in found]


async def verified(scene: Scene, leader: Leader) -> Verified:
    """What comes of walking over all that lies there."""
    async with leader.auditing.walk("shop") as anchor:
        assert anchor is not None
        walk, after = Verifying(anchor), ""
        while page := await scene.store.audit.read("shop", after=after):
            walk.take(page)
            after = page[-1].id
        return walk.end()


@asynccontextmanager
async def opened(program: Path, folder: Path, terms: Terms) -> AsyncIterator[Scene]:
    """One whose leader has looked once."""
    measured = metrics.ApiMetrics(metrics.registry())
    with redis_servers.running(program, folder) as server:
        async with (
            storing(server) as store,
            fakes.serving() as kept,
            ApiServer(kept.connection, measured) as api,
        ):
            await until_well(store, NAMESPACES, NOW)
            kept.put(resources.NAMESPACES, {"metadata": {"name": RELEASE}})
            scene = Scene(server, store, kept, api, terms)
            await scene.leader.look()
            yield scene
