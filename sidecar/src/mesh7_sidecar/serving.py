"""What every gateway serves calls with (sources, doors, listeners), however its bundle comes.

Nothing is judged, parsed or forwarded here; this is where the rooms meet.
"""

import asyncio
import gc
import socket
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Final

from mesh7_core import errors
from mesh7_core.otlp import metrics, settings
from mesh7_core.otlp.counts import Counts
from mesh7_core.policy import bundle, calls
from mesh7_core.policy.reasons import Reason
from mesh7_core.telemetry import sidecar_instruments
from mesh7_sidecar import measuring
from mesh7_sidecar.background import Background
from mesh7_sidecar.bundles.current import Current
from mesh7_sidecar.clock import Clock
from mesh7_sidecar.doors.aggregate import AggregateDoor
from mesh7_sidecar.doors.app import AnyDoor, App
from mesh7_sidecar.doors.guard import LOOPBACK_HOSTS, Guard
from mesh7_sidecar.doors.http import HttpDoor
from mesh7_sidecar.doors.mcp import McpDoor
from mesh7_sidecar.doors.state import McpState
from mesh7_sidecar.doors.v1 import CallDoor, DecideDoor, ToolsDoor
from mesh7_sidecar.doors.work import Work
from mesh7_sidecar.gate.gate import Gate
from mesh7_sidecar.net import listener, origin, pool, upstream
from mesh7_sidecar.net.lookups import Lookups
from mesh7_sidecar.net.sweep import Sweep
from mesh7_sidecar.seeing.labels import Labels
from mesh7_sidecar.seeing.lag import Lag
from mesh7_sidecar.seeing.metrics import Metrics
from mesh7_sidecar.settings import Address, Patience
from mesh7_sidecar.sources.baselines import Baselines
from mesh7_sidecar.sources.credentials import Credentials
from mesh7_sidecar.sources.registry import Registry, Ways
from mesh7_sidecar.telling import tell
from mesh7_sidecar.wire import paths

if TYPE_CHECKING:
    from mesh7_sidecar.net import admin

GRACE_S: Final = 10.0
TELEMETRY_S: Final = 2.0
"""For the last metrics, when the gateway ends."""
REARM_S: Final = 1.0
GARBAGE_THRESHOLD: Final = 20_000
_STREAM_BOUNDS: Final = pool.PoolBounds(concurrency=256, waiting=0)
IdentifyAs = Callable[[calls.Agent], listener.Identify]
"""Who calls on a listener, given who calls without saying more."""


class Serving:
    """One gateway's doors and sources.

    Args:
        clock: the time.
        agent: who calls without saying more; asked again after each bundle.
        baselines: of pinned definitions.
        sweep: deadlines of everything that is connected.
        dial: which addresses sources may have.
        stdio: makes the way to a `Stdio` source; None where there are none.

    Attributes:
        current: what calls are judged by.
        registry: the sources of the bundle in force.
        background: what runs beside the calls.
        ports: that agents connect to.
        metrics: what calls are counted in; gates feed it.
        measuring: what there is to read of all this.
        exported: what became of telemetry that is sent, by signal (`traces`).
        mcp: what the MCP doors share; there once `judge_by` was called, as is `gate`.
    """

    mcp: McpState
    gate: Gate

    def __init__(
        self,
        clock: Clock,
        agent: Callable[[], calls.Agent],
        *,
        sweep: Sweep,
        baselines: Baselines,
        dial: origin.AddressRule = origin.EVERYWHERE,
        stdio: Callable[[bundle.Source], upstream.Upstream] | None = None,
    ) -> None:
        self.current = Current()
        self.registry = Registry(self._connect, clock.monotonic_s, baselines)
        self.background = Background()
        self.ports: list[int] = []
        self.metrics = Metrics(Labels(self.current, measuring.listed_by(self.registry)))
        self.measuring = measuring.Measuring()
        self.exported: dict[str, Counts] = {}
        self._lag = Lag()
        self._sending: metrics.MetricExporter | None = None
        self.is_ending = False
        self._clock = clock
        self._agent = agent
        self._dial = dial
        self._sweep = sweep
        self._stdio = stdio
        self._identified: calls.Agent | None = None
        self._listeners: list[tuple[listener.Listener, IdentifyAs]] = []
        self._admin: admin.Admin | None = None
        self._is_judging = False
        self._lookups = Lookups(clock.monotonic_s)
        self._measure()

    @property
    def admin_address(self) -> str:
        """Where the admin listener is; empty when there is none."""
        addresses = self._admin.addresses if self._admin is not None else []
        return "".join(str(Address(*each)) for each in addresses[:1])

    def apply(self, fresh: bundle.Bundle, credentials: Credentials) -> None:
        """Put a bundle in force, with the sources that it names.

        Raises:
            SettingsError: a source cannot be made; what was in force stays.
        """
        # The sources first: if one cannot be made, the old policy stays with the old sources.
        self.registry.apply(fresh.sources, credentials)
        self.current.swap(fresh)
        # It is in force: nothing that fails from here on may look like a refusal.
        tell((self.registry.tell_change, self._identify_callers, self._warm))

    def judge_by(self, gate: Gate, patience: Patience) -> None:
        """Let this gate judge what the doors are asked."""
        self.gate = gate
        self.mcp = McpState(
            gate=gate,
            registry=self.registry,
            clock_s=self._clock.monotonic_s,
            patience=patience,
        )
        self._is_judging = True
        self.registry.on_change.append(self.mcp.end_forbidden_streams)

    def count_refused(self, reason: Reason) -> None:
        """A request was refused before it was a call; for the apps of this gateway."""
        self.gate.count_refused(reason)
        self.metrics.count_refused(reason)

    def doors(self) -> dict[type, AnyDoor]:
        """One door for each kind of path; of a gateway that judges."""
        work = Work()
        return {
            paths.McpRoute: McpDoor(self.mcp),
            paths.AggregateRoute: AggregateDoor(self.mcp, work),
            paths.HttpRoute: HttpDoor(self.gate, self.registry),
            paths.ToolsRoute: ToolsDoor(self.mcp, work),
            paths.ToolRoute: CallDoor(self.mcp, work),
            paths.DecideRoute: DecideDoor(self.mcp, work),
        }

    async def serve(
        self, app: listener.App, bound: socket.socket, identify: IdentifyAs
    ) -> listener.Listener:
        """Listen on a bound socket."""
        agent = self._identified = self._agent()
        server = await listener.serve(app, [bound], identify(agent), sweep=self._sweep)
        self._listeners.append((server, identify))
        return server

    async def serve_calls(
        self, doors: dict[type, AnyDoor], guard: Guard, bound: socket.socket, identify: IdentifyAs
    ) -> str:
        """Open the data listener; its address."""
        server = await self.serve(App(guard, doors, self.count_refused), bound, identify)
        self.ports = [port for _, port in server.addresses]
        return str(Address(*server.addresses[0]))

    async def serve_admin(
        self, ready: "admin.Ready", hosts: Collection[str] | None, bound: socket.socket
    ) -> None:
        """Open the admin listener."""
        # Imported here: aiohttp weighs 12 MB, which `mesh7 stdio` and `--admin off` do without.
        from mesh7_sidecar.net import admin  # noqa: PLC0415

        app = admin.admin_app(ready, lambda: bool(self.ports), hosts, self.measuring.scrape)
        self._admin = await admin.serve_admin(app, [bound])

    def send_metrics(self, telemetry: settings.Settings) -> None:
        """Send all that is measured over OTLP too, where the settings say so."""
        sending = self._sending = metrics.of(telemetry)
        if sending is None:
            return
        self.exported["metrics"] = sending.counts
        read, now_ns = self.measuring.readings, self._clock.wall_ns
        self.background.watch("sends metrics", lambda: metrics.keep(sending, read, now_ns))

    def keep_going(self) -> None:
        """Begin what runs in the background, once everything is loaded."""
        self.background.watch("reads credentials again", self._rearm)
        self.background.watch("measures the event loop", self._lag.watch)
        self.background.keep(self.registry.warm())
        # What is loaded stays: the collector need not walk it again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(GARBAGE_THRESHOLD, 20, 50)

    def stop_holding(self) -> None:
        """Answer all calls that wait for people: they are pending, whoever decides later."""
        if self._is_judging:
            self.gate.stop_holding()

    def stop_working(self) -> None:
        """End what runs in the background; the first step of closing."""
        self.is_ending = True
        self.background.stop()

    async def close(self) -> None:
        """Stop accepting, let calls in flight finish for `GRACE_S`, then let the sources go."""
        self.stop_holding()
        if self._is_judging:
            self.mcp.end_streams()
        await asyncio.gather(*(each.close_gracefully(GRACE_S) for each, _ in self._listeners))
        if self._admin is not None:
            await self._admin.close()
        self.registry.close()
        if self._sending is not None:
            await asyncio.to_thread(self._sending.close, TELEMETRY_S)

    def _measure(self) -> None:
        self.measuring.add(
            measuring.build,
            measuring.exported(self.exported),
            self.metrics.readings,
            measuring.number(
                sidecar_instruments.PENDING_CALLERS,
                lambda: self.gate.callers if self._is_judging else 0,
            ),
            measuring.number(
                sidecar_instruments.CONNECTIONS,
                lambda: sum(each.connections for each, _ in self._listeners),
            ),
            measuring.sources(self.registry),
            self._lag.readings,
        )

    def _warm(self) -> None:
        if self._listeners:
            # A new source is listed at once; at the start that waits until somebody listens.
            self.background.keep(self.registry.warm())

    def _identify_callers(self) -> None:
        """Another namespace makes every caller another agent."""
        agent = self._agent()
        if agent != self._identified:
            self._identified = agent
            for server, identify in self._listeners:
                server.identify_by(identify(agent))

    def _connect(self, source: bundle.Source) -> Ways:
        if source.transport is bundle.Transport.STDIO:
            if self._stdio is None:
                raise errors.SettingsError(f"source `{source.name}` is not served here")
            child = self._stdio(source)
            return Ways(calls=child, streams=child)
        bounds = source.bounds
        terms = upstream.Terms(
            answer_s=bounds.timeout.total_seconds(),
            maximum_bytes=bounds.maximum_response_bytes,
            allows_encoding=source.kind is calls.SourceKind.HTTP,
        )
        limits = pool.PoolBounds(
            concurrency=bounds.maximum_concurrency, waiting=bounds.maximum_concurrency
        )
        place = origin.origin_of(source.url)
        return Ways(
            calls=self._pool(place, terms, limits),
            streams=self._pool(place, terms, _STREAM_BOUNDS),
        )

    def _pool(
        self, place: origin.Origin, terms: upstream.Terms, bounds: pool.PoolBounds
    ) -> pool.Pool:
        return pool.Pool(place, self._sweep, terms, bounds, rule=self._dial, lookups=self._lookups)

    async def _rearm(self) -> None:
        """Take up rotated credentials, until cancelled."""
        while True:
            await asyncio.sleep(REARM_S)
            self.registry.rearm()
            self.mcp.sessions.expire(self._clock.monotonic_s())


def guard_of(
    address: Address | None, port: int, token: bytes | None, origins: Collection[str]
) -> Guard:
    """Which requests the data listener looks at."""
    hosts = set(LOOPBACK_HOSTS)
    if address is not None:
        hosts.add(address.authority.lower().encode())
    return Guard(
        hosts=frozenset(hosts),
        origins=frozenset(each.encode() for each in origins),
        own_origins=frozenset(b"http://%b:%d" % (host, port) for host in hosts),
        token=token,
    )
