"""A running gateway: its parts put together, started in order and closed in reverse.

Nothing is judged, parsed or forwarded here; this is where the rooms meet.
"""

import asyncio
import os
from collections.abc import Mapping

from mesh7_core import errors
from mesh7_core.audit import lines
from mesh7_core.compiling import compiler
from mesh7_core.policy import calls
from mesh7_sidecar import listening, measuring, serving, status
from mesh7_sidecar.audit.bundles import BundleRecords
from mesh7_sidecar.audit.collecting import Collecting
from mesh7_sidecar.audit.lines import AuditLines
from mesh7_sidecar.audit.opening import audit_file
from mesh7_sidecar.bundles.reload import Reload
from mesh7_sidecar.clock import Clock
from mesh7_sidecar.doors.app import AnyDoor, App
from mesh7_sidecar.doors.control import Control, PeopleControl
from mesh7_sidecar.doors.definitions import DefinitionsDoor
from mesh7_sidecar.doors.guard import LOOPBACK_HOSTS, Guard
from mesh7_sidecar.doors.work import Work
from mesh7_sidecar.judging import Judging, open_judging
from mesh7_sidecar.net import identity
from mesh7_sidecar.net.sweep import Sweep
from mesh7_sidecar.seeing import ending
from mesh7_sidecar.seeing.spans import Tracing
from mesh7_sidecar.settings import AuditShare, Settings
from mesh7_sidecar.sources.baselines import Baselines
from mesh7_sidecar.sources.credentials import Credentials, check_folder
from mesh7_sidecar.sources.stdio import Children
from mesh7_sidecar.state import Held


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
        sweep = Sweep()
        self._children = Children(settings.environment, sweep)
        self._baselines = Baselines(held.directory / "definitions.json")
        self._serving = serving.Serving(
            clock, self._agent,
            sweep=sweep, baselines=self._baselines, stdio=self._children.upstream,
        )  # fmt: skip
        self._reload = Reload(
            settings.directory,
            namespace=settings.namespace,
            environment=settings.environment,
            apply=self._apply,
            now=clock.now,
        )
        self._audit: AuditLines | None = None
        if settings.audit is not AuditShare.OFF:
            path = held.directory / "audit.jsonl"
            self._audit = audit_file(
                path,
                lines.Lines(held.key).line,
                clock.wall_ns,
                maximum_bytes=settings.audit_file_bytes,
                kept=settings.audit_files,
            )
        self._bundles = BundleRecords(self._audit, clock.wall_ns)
        self._collecting = Collecting(self._audit, settings.telemetry)
        self._tracing = Tracing(settings.telemetry, settings.trace_share, clock.monotonic_s)
        self._serving.exported |= {**self._tracing.counts, **self._collecting.counts}
        self._judging: Judging | None = None
        self._judged_by: Judging
        self._listen = ""
        self._joined = 0
        self._everybody_left = asyncio.Event()
        self._control: Control | None = None

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
        doors = self._serving.doors()
        if data is not None:
            guard = serving.guard_of(
                self._settings.listen, data.getsockname()[1], token, self._settings.allowed_origins
            )
            self._listen = await self._serving.serve_calls(doors, guard, data, identity.always)
        await self._open_unix_sockets(doors, judging)
        if admin_socket is not None:
            address = self._settings.admin
            hosts = [address.authority] if address is not None else []
            await self._serving.serve_admin(self.ready, hosts, admin_socket)
        self._serving.background.watch("looks at the folder", self._reload.watch)
        self._serving.background.watch("looks at standing grants", judging.standing.watch)
        self._serving.send_metrics(self._settings.telemetry)
        self._serving.keep_going()

    async def close(self) -> None:
        """Stop accepting, let calls in flight finish, then end everything."""
        self._serving.stop_working()
        if self._control is not None:
            self._control.dismiss()
        await self._serving.close()
        await self._children.close()
        await self._baselines.close()
        if self._judging is not None:
            await self._judging.close()
        # The audit first: its last records go to the collector, too.
        if self._audit is not None:
            await self._audit.close()
        await asyncio.gather(ending.sent(self._tracing.close), ending.sent(self._collecting.close))
        self._held.release()

    def stop_holding(self) -> None:
        """Answer all calls that wait for people: they are pending, whoever decides later."""
        self._serving.stop_holding()

    async def wait_until_left(self) -> None:
        """Return once no stdio process is joined any more; at once when none is."""
        while self._joined:
            self._everybody_left.clear()
            await self._everybody_left.wait()

    def ready(self) -> tuple[bool, Mapping[str, object]]:
        """What `/readyz` says: ready with a bundle in force, even when a later edit is broken."""
        return self._serving.current.bundle is not None and not self._serving.is_ending, {
            "bundle": self._serving.current.digest,
            "problems": [*self._reload.problems, *self._serving.background.problems.values()],
        }

    def status(self) -> Mapping[str, object]:
        """How it is, but for what the ledger has to be asked for; of a gateway that was started."""
        facts = status.Facts(
            pid=os.getpid(),
            settings=self._settings,
            agent=self._agent(),
            listen=self._listen,
            admin=self._serving.admin_address,
            started_at=self._started_at,
            now=self._clock.now(),
            bundle=self._serving.current.bundle,
            reload=self._reload,
            registry=self._serving.registry,
            counts=self._serving.gate.counts,
            home=self._judged_by.home,
            overlay=self._serving.current.overlay,
        )
        return status.describe(facts)

    async def whole_status(self) -> Mapping[str, object]:
        """What `mesh7 status` shows."""
        waiting = await self._judged_by.open_requests()
        return {**self.status(), "requests": {"open": waiting}}

    async def _open_judging(self) -> Judging:
        judging = self._judged_by = self._judging = await open_judging(
            self._settings, self._held, self._clock, self._serving.current,
            self._serving.registry, self._audit, self._serving.metrics, self._tracing,
            lambda: self._serving.ports,
        )  # fmt: skip
        self._serving.judge_by(judging.gate, self._settings.patience)
        if self._audit is not None:
            self._serving.measuring.add(measuring.audited(self._audit))
        self._serving.measuring.add(
            measuring.store(judging.home.ledger.trouble), measuring.folder(self._age_s)
        )
        return judging

    def _load(self) -> None:
        if not self._reload.load():
            raise errors.ManifestError("\n".join(self._reload.problems))

    def _age_s(self) -> float | None:
        """How long ago the set in force was loaded; None before the first."""
        loaded_at = self._reload.loaded_at
        return None if loaded_at is None else (self._clock.now() - loaded_at).total_seconds()

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
        self._serving.apply(compiled.bundle, credentials)
        self._bundles.tell(compiled.bundle.digest, "folder")
        return ()

    def _agent(self) -> calls.Agent:
        loaded = self._serving.current.bundle
        return calls.Agent(
            namespace=loaded.namespace if loaded is not None else "default",
            service_account=self._settings.agent,
            pod=self._held.identifier,
            labels=self._settings.labels,
        )

    async def _open_unix_sockets(self, doors: dict[type, AnyDoor], judging: Judging) -> None:
        # The socket's mode keeps others out, so no token is asked for here.
        none: frozenset[bytes] = frozenset()
        guard = Guard(hosts=LOOPBACK_HOSTS, origins=none, own_origins=none, token=None)
        self._control = control = Control(
            App(guard, doors, self._serving.count_refused),
            self.whole_status,
            self._count_joined,
            people=judging.people,
            clients=judging.clients,
            tools=DefinitionsDoor(self._serving.mcp, Work()).open,
        )
        await self._serving.serve(
            control, listening.unix_socket(self._held.socket), identity.joined
        )
        if self._settings.approvers is not None:
            bound = listening.people_socket(self._held.people_socket, self._settings.approvers)
            await self._serving.serve(
                PeopleControl(judging.people, self.whole_status), bound, identity.joined
            )

    def _count_joined(self, change: int) -> None:
        self._joined += change
        if not self._joined:
            self._everybody_left.set()
