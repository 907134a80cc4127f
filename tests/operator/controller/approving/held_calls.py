"""A controller's approvals on a real Redis and the fake API server, and who asks and answers."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import yaml

from mesh7_core import names
from mesh7_core.delivery import decisions
from mesh7_core.ledger.asked import Request, State
from mesh7_core.ledger.protocol import Caps, Opened
from mesh7_core.ledger.redis import RedisLedger
from mesh7_operator import metrics
from mesh7_operator.approving.ground import Ground
from mesh7_operator.approving.plan import plan
from mesh7_operator.approving.steps import Steps
from mesh7_operator.clock import Clock
from mesh7_operator.cluster import resources, shapes
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.controller.approving.approvals import Approvals
from mesh7_operator.controller.approving.compiled import CompiledPolicies
from mesh7_operator.controller.approving.grounding import Grounds
from mesh7_operator.controller.approving.living import Pods
from mesh7_operator.controller.approving.settling import Settler
from mesh7_operator.controller.approving.weighing import Weights
from mesh7_operator.controller.informer import seen
from mesh7_operator.controller.informer.board import Board
from mesh7_operator.controller.posting import Poster
from mesh7_operator.controller.seams import Store
from mesh7_operator.reconciling.compilation import Compilation, compilation_of
from mesh7_operator.reconciling.world import Keys, Release, StoreState, World, Written
from tests.fakes import api_server as fakes
from tests.operator.approving import worlds
from tests.operator.store.held import ledger_of, patiently_opened
from tests.operator.store.parts import NOW, storing
from tests.peers import redis_servers

SHOP = worlds.SHOP
CAPS = Caps(per_pod=500, per_namespace=500)
PATIENCE_S = 30.0
VALKEY = redis_servers.programs()["valkey"]


class FixedKeys:
    """Keys that nobody rotates."""

    keys = Keys(signer=worlds.SIGNER, links=(), stamps=(worlds.STAMPER.public,))


class Time:
    """A clock that tests move; its wall goes with the Redis's."""

    def __init__(self) -> None:
        self.ahead_s = 0.0
        self.clock = Clock(wall_ns=self._wall_ns, monotonic_s=self._monotonic_s)

    def _monotonic_s(self) -> float:
        return asyncio.get_running_loop().time() + self.ahead_s

    def _wall_ns(self) -> int:
        # The store tells its own time; this one only has to go on.
        return worlds.NOON_MS * 10**6 + int(self._monotonic_s() * 1e9)


def compiled(
    files: Mapping[str, str] = worlds.POLICIES, source: str = worlds.SOURCE
) -> Compilation:
    """What these policies, and its one source, come to in the shop."""
    written = [_written(yaml.safe_load(text)) for text in files.values()]
    return compilation_of(
        World(
            namespace=SHOP, release_namespace=names.RELEASE_NAMESPACE, labels={}, annotations={},
            is_enrolled=True, sources=(_written(yaml.safe_load(source)),), grants=(),
            delivered=None, store=StoreState.CONNECTED,
            policies=tuple(one for one in written if one.namespace == SHOP),
            baseline=tuple(one for one in written if one.namespace != SHOP),
            published=None, keys=FixedKeys.keys, now=worlds.NOON, release=Release(),
        )
    )  # fmt: skip


def _written(value: dict[str, object]) -> Written:
    metadata = {"namespace": names.RELEASE_NAMESPACE, **shapes.mapping(value, "metadata")}
    return seen.object_of({**value, "metadata": metadata}).written


class Leader:
    """One controller's approvals; what the API server has reaches its board when it is told.

    Attributes:
        may_write: whether it leads.
        compilation: what its namespace's objects come to; None = nothing yet.
        plan: what it plans by.
    """

    def __init__(self, api: ApiServer, store: Store, time: Time) -> None:
        self.may_write = True
        self.compilation: Compilation | None = compiled()
        self.plan: Callable[[Ground], Steps] = plan
        self.metrics = metrics.ControllerMetrics(metrics.registry())
        self.marked: list[str] = []
        self.regained: list[bool] = []
        self.board = Board(names.RELEASE_NAMESPACE, self.marked.append, self._asked)
        self._api = api
        self._last: seen.Snapshot | None = None
        self.policies = CompiledPolicies(lambda _: self.compilation)
        weights = Weights(self.metrics, time.clock)
        self.approvals = Approvals(
            board=self.board,
            store=store,
            grounds=Grounds(
                board=self.board, store=store, keyrings=FixedKeys(),
                pods=Pods(api, time.clock), policies=self.policies, clock=time.clock,
            ),
            settler=Settler(
                api=api, store=store, board=self.board, poster=Poster(api, time.clock),
                weights=weights, clock=time.clock, may_write=lambda: self.may_write,
            ),
            weights=weights,
            clock=time.clock,
            plan=self._planned,
            regained=lambda: self.regained.append(True),
        )  # fmt: skip

    def _planned(self, ground: Ground) -> Steps:
        return self.plan(ground)

    def _asked(self, namespace: str) -> None:
        self.approvals.mark(namespace)

    async def tell(self) -> None:
        """What the watch would."""
        there = seen.Namespace(
            revision=1, uid="n", labels={names.INJECTION_LABEL: "enabled"}, annotations={}
        )
        grants = [one async for one in self._api.list(resources.GRANTS, SHOP)]
        requests = [one async for one in self._api.list(resources.APPROVAL_REQUESTS, SHOP)]
        snapshot = seen.Snapshot(
            name=SHOP,
            namespaces=(there,),
            grants=tuple(seen.object_of({"kind": names.GRANT, **one}) for one in grants),
            requests=tuple(
                seen.request_of({"kind": names.APPROVAL_REQUEST, **one}) for one in requests
            ),
        )
        if snapshot != self._last:
            self._last = snapshot
            self.board.tell(snapshot)

    def count(self, name: str, **labels: str) -> float:
        """What a metric says; 0 = nothing."""
        collected = (
            self.metrics.decisions, self.metrics.forged_requests, self.metrics.doubted_requests,
            self.metrics.refused_answers, self.metrics.open_requests, self.metrics.decision_seconds,
        )  # fmt: skip
        return sum(
            sample.value
            for metric in collected
            for one in metric.collect()
            for sample in one.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


class Place:
    """A namespace with a pod that asks.

    Attributes:
        redis: its server, with the namespace's users.
        server: the API server.
    """

    def __init__(
        self, redis: redis_servers.Server, server: fakes.ApiServer, api: ApiServer, store: Store
    ) -> None:
        self.redis = redis
        self.server = server
        self.api = api
        self.store = store
        self.time = Time()
        self.leaders = [Leader(api, store, self.time)]
        self._working: list[asyncio.Future[None]] = []

    @property
    def leader(self) -> Leader:
        return self.leaders[0]

    async def crash(self) -> None:
        """The leader ends at any step, and the next one knows nothing of it."""
        await self.stop()
        gone = self.leaders.pop(0)
        gone.policies.close()
        self.leaders.insert(0, Leader(self.api, self.store, self.time))

    def another(self, store: Store) -> Leader:
        """A second one that believes to lead, too."""
        self.leaders.append(Leader(self.api, store, self.time))
        return self.leaders[-1]

    def pod(self, name: str = worlds.POD, uid: str = worlds.UID, **metadata: str) -> None:
        """It is there."""
        metadata = {"name": name, "namespace": SHOP, "uid": uid, **metadata}
        self.server.put(resources.PODS, {"metadata": metadata, "spec": {}})

    def work(self) -> None:
        """All leaders begin."""
        for leader in self.leaders[len(self._working) :]:
            self._working.append(asyncio.ensure_future(leader.approvals.run()))

    async def stop(self) -> None:
        """They end as a process does: at any step."""
        for task in self._working:
            task.cancel()
        await asyncio.gather(*self._working, return_exceptions=True)
        self._working.clear()

    async def until(self, claim: Callable[[], bool]) -> None:
        """The watch tells, until this is so."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for leader in self.leaders:
                    await leader.tell()
                if claim():
                    return
                await asyncio.sleep(0.02)

    async def until_read(self, ledger: RedisLedger, request_id: str, state: State) -> Request:
        """The sidecar reads this state."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for leader in self.leaders:
                    await leader.tell()
                found = await ledger.request(request_id)
                if isinstance(found, Request) and found.state is state:
                    return found
                await asyncio.sleep(0.02)

    async def opens(self, ledger: RedisLedger, number: int = 1, **changes: object) -> Request:
        """A sidecar asks."""
        asked = worlds.request(number, **changes)  # type: ignore[arg-type]
        opened = await patiently_opened(ledger, asked, CAPS)
        assert opened == Opened(asked.id), opened
        return asked

    def mirrors(self) -> dict[str, str]:
        """States by name, as the leader knows them."""
        known = self.leader.board.known(SHOP).requests
        return {one.name: str(one.status.get("state", "")) for one in known}

    def grant(self, name: str = "yes", **spec: object) -> None:
        """Somebody answers; admission has stamped it."""
        known = self.leader.board.known(SHOP).requests
        found = worlds.World(mirrors=known, now=self.time.clock.now())
        written = worlds.grant(found, name, **spec)  # type: ignore[arg-type]
        self.server.put(resources.GRANTS, written.value)

    def heard(self, name: str = "yes") -> str:
        """A Grant's phase and reason."""
        found = next(one for one in self.leader.board.known(SHOP).grants if one.name == name)
        given = shapes.sequence(found.status, "conditions")
        reason = shapes.text(given[0], "reason") if given else ""
        return f"{found.status.get('phase', '')} {reason}".strip()

    def decision(self, request_id: str) -> decisions.Decision | None:
        """What a sidecar reads there, if it believes it."""
        written = self.redis.tell("GET", f"m7b:{{{SHOP}}}:v:{request_id}")
        if not isinstance(written, bytes):
            return None
        read = decisions.unseal(written, [worlds.SIGNER.public])
        return read if isinstance(read, decisions.Decision) else None


@asynccontextmanager
async def placed(folder: Path) -> AsyncIterator[Place]:
    """A shop with a pod, and nobody who works yet."""
    measured = metrics.ApiMetrics(metrics.registry())
    with redis_servers.running(VALKEY, folder / "redis") as redis:
        async with (
            fakes.serving() as server,
            ApiServer(server.connection, measured) as api,
            storing(redis) as store,
        ):
            server.put(resources.NAMESPACES, {"metadata": {"name": SHOP}})
            await store.tend([SHOP], NOW)
            await store.follow([SHOP])
            place = Place(redis, server, api, store)
            place.pod()
            await place.leader.tell()
            try:
                yield place
            finally:
                await place.stop()
                for leader in place.leaders:
                    leader.policies.close()


@asynccontextmanager
async def asking(place: Place) -> AsyncIterator[RedisLedger]:
    """The pod's ledger."""
    async with ledger_of(place.redis, SHOP) as ledger:
        yield ledger


def replaced(request: Request, **changes: object) -> Request:
    """Another one, with the digest of what it says."""
    return worlds.digested(replace(request, **changes))  # type: ignore[arg-type]
