"""A running gateway: its parts put together, started in order and closed in reverse.

Nothing is judged, parsed or forwarded here; this is where the rooms meet.
"""

import asyncio
import gc
import logging
import os
import socket
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING

from mesh7_core import errors
from mesh7_core.compiling import compiler
from mesh7_core.policy import bundle, calls
from mesh7_core.telemetry import lines
from mesh7_sidecar import listening, status
from mesh7_sidecar.bundles.current import Current
from mesh7_sidecar.bundles.reload import Reload
from mesh7_sidecar.clock import Clock
from mesh7_sidecar.doors.aggregate import AggregateDoor
from mesh7_sidecar.doors.app import AnyDoor, App
from mesh7_sidecar.doors.control import Control, PeopleControl
from mesh7_sidecar.doors.definitions import DefinitionsDoor
from mesh7_sidecar.doors.guard import LOOPBACK_HOSTS, Guard
from mesh7_sidecar.doors.http import HttpDoor
from mesh7_sidecar.doors.mcp import McpDoor
from mesh7_sidecar.doors.state import McpState
from mesh7_sidecar.doors.v1 import CallDoor, DecideDoor, ToolsDoor
from mesh7_sidecar.doors.work import Work
from mesh7_sidecar.gate.audit import AuditFile
from mesh7_sidecar.gate.gate import Gate
from mesh7_sidecar.judging import Judging, open_judging
from mesh7_sidecar.net import identity, listener, origin, pool, upstream
from mesh7_sidecar.net.sweep import Sweep
from mesh7_sidecar.settings import Address, AuditShare, Settings
from mesh7_sidecar.sources.baselines import Baselines
from mesh7_sidecar.sources.credentials import Credentials, check_folder
from mesh7_sidecar.sources.registry import Registry, Ways
from mesh7_sidecar.sources.stdio import Children
from mesh7_sidecar.state import Held
from mesh7_sidecar.wire import paths

if TYPE_CHECKING:
    from mesh7_sidecar.net import admin

log = logging.getLogger("mesh7.gateway")

GRACE_S = 10.0
REARM_S = 1.0
_STREAM_BOUNDS = pool.PoolBounds(concurrency=256, waiting=0)
GARBAGE_THRESHOLD = 20_000
_IdentifyAs = Callable[[calls.Agent], listener.Identify]
"""Who calls on a listener, given who calls without saying more."""


class Gateway:
    """One gateway on a laptop.

    Args:
        settings: how it was asked to be.
        held: its state folder.
        clock: the time.
    """

    def __init__(self, settings: Settings, held: Held, clock: Clock) -> None:
        self._settings = settings
        self._held = held
        self._clock = clock
        self._started_at = clock.now()
        self._current = Current()
        self._sweep = Sweep()
        self._children = Children(settings.environment, self._sweep)
        self._baselines = Baselines(held.directory / "definitions.json")
        self._registry = Registry(self._connect, clock.monotonic_s, self._baselines)
        self._reload = Reload(
            settings.directory,
            namespace=settings.namespace,
            environment=settings.environment,
            apply=self._apply,
            now=clock.now,
        )
        self._audit: AuditFile | None = None
        if settings.audit is not AuditShare.OFF:
            path = held.directory / "audit.jsonl"
            self._audit = AuditFile(path, lines.Lines(held.key).line)
        self._judging: Judging | None = None
        self._gate: Gate
        self._mcp: McpState
        self._judged_by: Judging
        self._listeners: list[tuple[listener.Listener, _IdentifyAs]] = []
        self._identified = self._agent()
        self._is_ending = False
        self._listen = ""
        self._ports: list[int] = []
        self._admin: admin.Admin | None = None
        self._joined = 0
        self._everybody_left = asyncio.Event()
        self._control: Control | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Load the folder, open the listeners, begin to watch.

        Raises:
            ManifestError: the folder does not compile; every mistake is in the message.
            SettingsError: an address is taken or may not be used, a file cannot be read.
        """
        # Sockets first: whoever finds a port taken should not wait for a compiler run.
        data, admin_socket = listening.data_socket(self._settings), None
        try:
            admin_socket = listening.admin_socket(self._settings)
            token = listening.read_token(self._settings.token_file)
            check_folder(self._settings.credentials)
            self._load()
            judging = await self._open_judging()
        except errors.Mesh7Error:
            for each in (data, admin_socket):
                if each is not None:
                    each.close()
            raise
        doors = self._doors()
        if data is not None:
            app = App(self._guard(token, data.getsockname()[1]), doors, self._gate.count_refused)
            server = await self._serve(app, data, identity.always)
            self._listen = str(Address(*server.addresses[0]))
            self._ports = [port for _, port in server.addresses]
        await self._open_unix_sockets(doors, judging)
        if admin_socket is not None:
            self._admin = await self._serve_admin(admin_socket)
        for work in (self._reload.watch(), self._rearm(), self._registry.warm()):
            self._keep(work)
        self._keep(judging.standing.watch())
        # What is loaded stays: the collector need not walk it again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(GARBAGE_THRESHOLD, 20, 50)

    async def close(self) -> None:
        """Stop accepting, let calls in flight finish for `GRACE_S`, then end everything."""
        self._is_ending = True
        for task in tuple(self._tasks):
            task.cancel()
        if self._control is not None:
            self._control.dismiss()
        self.stop_holding()
        if self._judging is not None:
            self._mcp.end_streams()
        await asyncio.gather(*(each.close_gracefully(GRACE_S) for each, _ in self._listeners))
        if self._admin is not None:
            await self._admin.close()
        self._registry.close()
        await self._children.close()
        await self._baselines.close()
        if self._judging is not None:
            await self._judging.close()
        if self._audit is not None:
            await self._audit.close()
        self._held.release()

    def stop_holding(self) -> None:
        """Answer all calls that wait for people: they are pending, whoever decides later."""
        if self._judging is not None:
            self._judging.gate.stop_holding()

    async def wait_until_left(self) -> None:
        """Return once no stdio process is joined any more; at once when none is."""
        while self._joined:
            self._everybody_left.clear()
            await self._everybody_left.wait()

    def ready(self) -> tuple[bool, Mapping[str, object]]:
        """What `/readyz` says: ready with a bundle in force, even when a later edit is broken."""
        return self._current.bundle is not None and not self._is_ending, {
            "bundle": self._current.digest,
            "problems": list(self._reload.problems),
        }

    def status(self) -> Mapping[str, object]:
        """How it is, but for what the ledger has to be asked for; of a gateway that was started."""
        addresses = self._admin.addresses if self._admin is not None else []
        facts = status.Facts(
            pid=os.getpid(),
            settings=self._settings,
            agent=self._agent(),
            listen=self._listen,
            admin="".join(str(Address(*each)) for each in addresses[:1]),
            started_at=self._started_at,
            now=self._clock.now(),
            bundle=self._current.bundle,
            reload=self._reload,
            registry=self._registry,
            counts=self._gate.counts,
            home=self._judged_by.home,
            overlay=self._current.overlay,
        )
        return status.describe(facts)

    async def whole_status(self) -> Mapping[str, object]:
        """What `mesh7 status` shows."""
        waiting = await self._judged_by.open_requests()
        return {**self.status(), "requests": {"open": waiting}}

    async def _serve_admin(self, bound: socket.socket) -> "admin.Admin":
        # Imported here: aiohttp weighs 12 MB, which `mesh7 stdio` and `--admin off` do without.
        from mesh7_sidecar.net import admin  # noqa: PLC0415

        address = self._settings.admin
        hosts = [address.authority] if address is not None else []
        return await admin.serve_admin(admin.admin_app(self.ready, hosts), [bound])

    async def _open_judging(self) -> Judging:
        judging = self._judging = await open_judging(
            self._settings, self._held, self._clock, self._current, self._registry, self._audit,
            lambda: self._ports,
        )  # fmt: skip
        self._judged_by = judging
        self._gate = judging.gate
        self._mcp = McpState(
            gate=judging.gate,
            registry=self._registry,
            clock_s=self._clock.monotonic_s,
            patience=self._settings.patience,
        )
        self._registry.on_change.append(self._mcp.end_forbidden_streams)
        return judging

    def _load(self) -> None:
        if not self._reload.load():
            raise errors.ManifestError("\n".join(self._reload.problems))

    def _apply(self, compiled: compiler.Compiled) -> tuple[str, ...]:
        if compiled.bundle is None:
            return ()
        home = self._judging.home if self._judging is not None else None
        if home is not None and home.is_shared and home.namespace != compiled.bundle.namespace:
            why = (
                f"the folder's namespace is `{compiled.bundle.namespace}` now, and the ledger in "
                f"Redis is `{home.namespace}`'s – start the gateway anew"
            )
            return (why,)
        settings = self._settings
        credentials = Credentials(settings.credentials, settings.environment, compiled.credentials)
        # The sources first: if one cannot be made, the old policy stays with the old sources.
        self._registry.apply(compiled.bundle.sources, credentials)
        self._current.swap(compiled.bundle)
        self._registry.tell_change()
        self._identify_callers()
        if self._listeners:
            # A new source is listed at once; at the start that waits until somebody listens.
            self._keep(self._registry.warm())
        return ()

    def _identify_callers(self) -> None:
        """Another namespace makes every caller another agent."""
        agent = self._agent()
        if agent != self._identified:
            self._identified = agent
            for server, identify in self._listeners:
                server.identify_by(identify(agent))

    def _connect(self, source: bundle.Source) -> Ways:
        if source.transport is bundle.Transport.STDIO:
            child = self._children.upstream(source)
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
            calls=pool.Pool(place, self._sweep, terms, limits),
            streams=pool.Pool(place, self._sweep, terms, _STREAM_BOUNDS),
        )

    def _agent(self) -> calls.Agent:
        loaded = self._current.bundle
        return calls.Agent(
            namespace=loaded.namespace if loaded is not None else "default",
            service_account=self._settings.agent,
            pod=self._held.identifier,
            labels=self._settings.labels,
        )

    def _guard(self, token: bytes | None, port: int) -> Guard:
        hosts = set(LOOPBACK_HOSTS)
        if self._settings.listen is not None:
            hosts.add(self._settings.listen.authority.lower().encode())
        return Guard(
            hosts=frozenset(hosts),
            origins=frozenset(each.encode() for each in self._settings.allowed_origins),
            own_origins=frozenset(b"http://%b:%d" % (host, port) for host in hosts),
            token=token,
        )

    def _doors(self) -> dict[type, AnyDoor]:
        work = Work()
        return {
            paths.McpRoute: McpDoor(self._mcp),
            paths.AggregateRoute: AggregateDoor(self._mcp, work),
            paths.HttpRoute: HttpDoor(self._gate, self._registry),
            paths.ToolsRoute: ToolsDoor(self._mcp, work),
            paths.ToolRoute: CallDoor(self._mcp, work),
            paths.DecideRoute: DecideDoor(self._mcp, work),
        }

    async def _open_unix_sockets(self, doors: dict[type, AnyDoor], judging: Judging) -> None:
        # The socket's mode keeps others out, so no token is asked for here.
        none: frozenset[bytes] = frozenset()
        guard = Guard(hosts=LOOPBACK_HOSTS, origins=none, own_origins=none, token=None)
        self._control = control = Control(
            App(guard, doors, judging.gate.count_refused),
            self.whole_status,
            self._count_joined,
            people=judging.people,
            clients=judging.clients,
            tools=DefinitionsDoor(self._mcp, Work()).open,
        )
        await self._serve(control, listening.unix_socket(self._held.socket), identity.joined)
        if self._settings.approvers is not None:
            bound = listening.people_socket(self._held.people_socket, self._settings.approvers)
            await self._serve(
                PeopleControl(judging.people, self.whole_status), bound, identity.joined
            )

    async def _serve(
        self, app: listener.App, bound: socket.socket, identify: _IdentifyAs
    ) -> listener.Listener:
        server = await listener.serve(app, [bound], identify(self._agent()), sweep=self._sweep)
        self._listeners.append((server, identify))
        return server

    def _count_joined(self, change: int) -> None:
        self._joined += change
        if not self._joined:
            self._everybody_left.set()

    async def _rearm(self) -> None:
        """Take up rotated credentials, until cancelled."""
        while True:
            await asyncio.sleep(REARM_S)
            self._registry.rearm()
            self._mcp.sessions.expire(self._clock.monotonic_s())

    def _keep(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            # A defect of ours must be seen; calls go on by what is in force.
            log.error("a task in the background failed", exc_info=task.exception())
