"""The gateway of one pod: its parts put together, started in order and closed in reverse.

Bundles are delivered and verified; there is no folder, no unix socket and nobody who approves here.
What people decide comes signed from the operator; what a store says of it counts for nothing
without that (`ledger.signed`). Nothing is judged or parsed here.
"""

import asyncio
import contextlib
import functools
import ipaddress
import logging
import secrets
import socket
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from mesh7_core import errors
from mesh7_core.audit import lines
from mesh7_core.delivery.envelopes import Kind
from mesh7_core.delivery.keys import KEY_BYTES, SigningKey
from mesh7_core.ledger import audit_writers, redis
from mesh7_core.ledger.absent import AbsentLedger
from mesh7_core.ledger.protocol import LOST, Lost
from mesh7_core.ledger.redis_url import RedisServer
from mesh7_core.ledger.signed import Desk, SignedLedger
from mesh7_core.policy import bundle, calls
from mesh7_core.policy.rules import Per
from mesh7_core.telemetry import sidecar_instruments
from mesh7_sidecar import listening, measuring, pod_settings, serving
from mesh7_sidecar.audit.appending import Appending
from mesh7_sidecar.audit.bundles import BundleRecords
from mesh7_sidecar.audit.collecting import Collecting
from mesh7_sidecar.audit.lines import AuditLines
from mesh7_sidecar.audit.opening import audit_stream
from mesh7_sidecar.audit.share import by_share
from mesh7_sidecar.bundles.delivered import Delivery
from mesh7_sidecar.bundles.freshness import GRANTS_LAST, Freshness
from mesh7_sidecar.bundles.mounted import Mounted
from mesh7_sidecar.bundles.pushed import Pushed
from mesh7_sidecar.bundles.refusals import Refusals
from mesh7_sidecar.bundles.remembered import Remembered
from mesh7_sidecar.clock import Clock
from mesh7_sidecar.gate.gate import Gate
from mesh7_sidecar.gate.journal import Journal
from mesh7_sidecar.gate.terms import HoldTerms
from mesh7_sidecar.homes import JOURNAL_FILE
from mesh7_sidecar.judging import definition_of
from mesh7_sidecar.net import identity, origin
from mesh7_sidecar.net.sweep import Sweep
from mesh7_sidecar.pod_settings import ExchangeSettings, GivenRedis, Network, PodSettings
from mesh7_sidecar.redis_access import Exchange, Keeping
from mesh7_sidecar.reporting import Reporting
from mesh7_sidecar.seeing import ending
from mesh7_sidecar.seeing.spans import Tracing
from mesh7_sidecar.settings import AuditShare
from mesh7_sidecar.sources.baselines import Baselines
from mesh7_sidecar.sources.credentials import Credentials
from mesh7_sidecar.state import Held

log = logging.getLogger("mesh7.pod")

STORE_S: Final = 3.0
"""How long the first calls wait for a store, so that their limits are not refused for nothing."""
MAXIMUM_WAITING_BYTES: Final = 8 * 1024 * 1024
"""Of audit lines, while nobody reads stdout."""
DELIVERED_FOLDER: Final = "delivered"


class Pod:
    """One sidecar.

    Args:
        settings: what the pod was made with.
        held: its state folder.
        clock: the time.
    """

    def __init__(self, settings: PodSettings, held: Held, clock: Clock) -> None:
        self._settings = settings
        self._held = held
        self._clock = clock
        self._agent = calls.Agent(
            namespace=settings.namespace,
            service_account=settings.agent,
            pod=settings.pod,
            uid=settings.uid,
            labels=_labels(settings.labels_file),
        )
        self._sweep = Sweep()
        self._baselines = Baselines(held.directory / "definitions.json")
        self._serving = serving.Serving(
            clock, lambda: self._agent,
            sweep=self._sweep, baselines=self._baselines, dial=_dial(settings),
        )  # fmt: skip
        self._delivery = Delivery(
            self._serving.current,
            self._apply,
            remembered=Remembered(held.directory / DELIVERED_FOLDER, settings.trust),
            refusals=Refusals(clock.monotonic_s),
            freshness=Freshness(clock, None if settings.redis is None else GRANTS_LAST),
        )
        # A kill ends streams that it forbids, as a bundle does.
        self._delivery.on_change.append(self._serving.registry.tell_change)
        self._journal = Journal(held.directory / JOURNAL_FILE, lambda: clock.wall_ns() / 1e9)
        why = "no store is configured" if settings.redis is None else "no credentials for it yet"
        self._ledger = SignedLedger(AbsentLedger(why), self._desk())
        self._redis: redis.RedisLedger | None = None
        self._is_tried = asyncio.Event()
        self._data: socket.socket | None = None
        # Of this start alone, like its chain: in no file that another program could read.
        key = SigningKey(secrets.token_bytes(KEY_BYTES))
        self._audit = self._opened_audit(audit_writers.name_of(key.public))
        self._appending = Appending(key, settings.namespace, settings.uid, settings.pod)
        if self._audit is not None and settings.redis is not None:
            self._audit.followers.append(self._appending.add)
        self._bundles = BundleRecords(self._audit, clock.wall_ns)
        self._delivery.on_change.append(self._tell_bundle)
        self._collecting = Collecting(self._audit, settings.telemetry)
        self._tracing = Tracing(settings.telemetry, settings.trace_share, clock.monotonic_s)
        self._serving.exported |= {**self._tracing.counts, **self._collecting.counts}
        self._gate = self._made_gate()
        self._serving.judge_by(self._gate, settings.patience)
        if self._audit is not None:
            self._serving.measuring.add(
                measuring.audited(self._audit),
                measuring.number(
                    sidecar_instruments.AUDIT_WITHHELD, lambda: self._appending.withheld
                ),
            )
        self._serving.measuring.add(
            measuring.no_store if settings.redis is None else measuring.store(self._ledger.trouble),
            measuring.deliveries(
                self._delivery, self._delivery.refusals.counts, self._clock.wall_ns
            ),
        )

    async def start(self) -> None:
        """Open the listeners, take what is delivered; the data listener waits for a bundle.

        `close` it even when this fails or is cancelled.

        Raises:
            SettingsError: an address is taken, a file cannot be read.
        """
        given = self._settings.redis
        server = _given(given) if isinstance(given, GivenRedis) else None
        data = self._data = listening.bound("MESH7_LISTEN=", self._settings.listen)
        # The kubelet asks from the start.
        admin = listening.bound("MESH7_ADMIN=", self._settings.admin)
        await self._serving.serve_admin(self.ready, None, admin)
        await self._delivery.start()
        mounted = Mounted(self._settings.bundle_directory, self._delivery.take)
        background = self._serving.background
        background.watch("looks at the ConfigMap", mounted.watch)
        background.watch("lets grants lapse", self._delivery.watch)
        if server is not None:
            self.use(server)
        elif isinstance(given, ExchangeSettings):
            rule = _other_pods(self._settings)
            exchange = Exchange(
                given, self._held.directory, self._sweep, self._authorities, rule=rule
            )
            keeping = Keeping(exchange, self, self._clock.now)
            background.watch("gets Redis credentials", keeping.keep)
        await self._wait()
        guard = serving.guard_of(self._settings.listen, data.getsockname()[1], None, ())
        where = await self._serving.serve_calls(self._serving.doors(), guard, data, identity.always)
        self._serving.send_metrics(self._settings.telemetry)
        self._serving.keep_going()
        log.info("calls are served on %s", where)

    async def close(self) -> None:
        """Stop accepting, let calls in flight finish, then end everything.

        A pod has 30 s for it, so what waits for different others waits at the same time.
        """
        self._serving.stop_working()
        await self._serving.close()
        if self._data is not None:
            self._data.close()
        await asyncio.gather(self._baselines.close(), self._gate.close(), self._delivery.close())
        # No record comes any more.
        await asyncio.gather(self._close_audit(), ending.sent(self._tracing.close))
        self._held.release()

    async def _close_audit(self) -> None:
        if self._audit is not None:
            await self._audit.close()
        await asyncio.gather(self._close_ledger(), ending.sent(self._collecting.close))

    async def _close_ledger(self) -> None:
        await self._appending.close()
        await self._ledger.close()
        await self._journal.close()

    def ready(self) -> tuple[bool, Mapping[str, object]]:
        """What `/readyz` says; neither Redis nor the operator bears on it."""
        versions = self._delivery.versions
        is_ready = self._delivery.arrived.is_set() and not self._serving.is_ending
        return is_ready, {
            "bundle": versions[Kind.BUNDLE],
            "overlay": versions[Kind.OVERLAY],
            "origin": self._delivery.origin.value,
            "problems": [
                *self._delivery.problems.values(),
                *self._serving.background.problems.values(),
            ],
            "store": self._ledger.trouble(),
        }

    def _apply(self, fresh: bundle.Bundle) -> None:
        self._serving.apply(fresh, Credentials(self._settings.credentials, {}, {}))

    def _opened_audit(self, name: str) -> AuditLines | None:
        if self._settings.audit is AuditShare.OFF:
            return None
        # The state folder must not fill, and is gone with the pod; the kubelet keeps stdout.
        return audit_stream(
            lines.Lines(self._held.key).line,
            self._clock.wall_ns,
            name,
            maximum_waiting_bytes=MAXIMUM_WAITING_BYTES,
        )

    def _tell_bundle(self) -> None:
        version = self._delivery.versions[Kind.BUNDLE]
        self._bundles.tell(self._serving.current.digest, self._delivery.origin.value, version)

    def _authorities(self) -> tuple[str, ...]:
        """Those that the bundle in force brings: the pod's own may have been rotated away."""
        in_force = self._serving.current.bundle
        return () if in_force is None else in_force.authorities

    def _made_gate(self) -> Gate:
        share = self._settings.audit
        return Gate(
            self._serving.current,
            clock=self._clock,
            consumers=(
                self._serving.metrics.count,
                *self._tracing.consumers,
                *(by_share(self._audit.append, share) if self._audit is not None else ()),
            ),
            traces=self._tracing.traces,
            ledger=self._ledger,
            journal=self._journal,
            definition_of=definition_of(self._serving.registry),
            # Replicas have to count the same repeats as the same, so no key of our own.
            terms=HoldTerms(
                hold_s=self._settings.hold_s,
                caps=self._settings.caps,
                replicas=self._replicas,
                salt=self._held.salt,
            ),
            on_trip=self._serving.metrics.count_trip,
        )

    def _desk(self) -> Desk:
        return Desk(
            namespace=self._settings.namespace,
            uid=self._settings.uid,
            fetch=self._decision,
            verify=self._delivery.decision,
            doubted=self._delivery.refusals.add_decision,
        )

    async def _decision(self, request_id: str) -> bytes | Lost | None:
        """What lies in Redis as the signed decision about a request."""
        if self._redis is None:
            return LOST
        return await self._redis.deliveries.decision(request_id)

    def _replicas(self, per: Per) -> int:
        """How many sidecars count together, by the roster of the bundle in force."""
        loaded = self._serving.current.bundle
        roster = loaded.roster if loaded is not None else None
        match per:
            case Per.POD | Per.SESSION:
                return 1
            case Per.AGENT:
                return 0 if roster is None else roster.agents.get(self._agent.service_account, 0)
            case Per.NAMESPACE:
                return 0 if roster is None else roster.sidecars

    async def _wait(self) -> None:
        """For the first bundle; and, for a moment, for the store."""
        seconds = self._settings.first_bundle_s

        async def awaited(event: asyncio.Event, within_s: float) -> None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await event.wait()

        waiting = [awaited(self._delivery.arrived, seconds)]
        if self._settings.redis is not None:
            waiting.append(awaited(self._is_tried, min(STORE_S, seconds)))
        await asyncio.gather(*waiting)
        if not self._delivery.arrived.is_set():
            log.warning("no bundle came in %g s: every call is denied until one does", seconds)

    # The store, by `redis_access.Store`

    def use(self, server: RedisServer) -> None:
        """Be this user of this store from now on; the first time, begin to use one."""
        if self._redis is not None:
            self._redis.use(server)
            return
        self._redis = self._ledger.home = redis.RedisLedger(
            server,
            self._settings.namespace,
            load=False,
            known_epoch=self._journal.known_epoch(),
            on_epoch=self._journal.remember_epoch,
            delivers=True,
        )
        self._appending.use(self._redis.audit)
        begin = functools.partial(self._begin, self._redis)
        self._serving.background.watch("begins to use Redis", begin)

    def is_away(self) -> bool:
        """Whether the store cannot be used now."""
        return bool(self._ledger.trouble())

    async def _begin(self, ledger: redis.RedisLedger) -> None:
        await ledger.start()
        self._is_tried.set()
        pushed = Pushed(ledger.deliveries, self._delivery, self._clock.monotonic_s)
        reporting = Reporting(
            self._agent,
            self._settings.uid,
            delivery=self._delivery,
            registry=self._serving.registry,
            baselines=self._baselines,
            deliveries=ledger.deliveries,
            clock_s=self._clock.monotonic_s,
        )
        self._serving.background.watch("looks at Redis", pushed.watch)
        self._serving.background.watch("reports", reporting.watch)


def _labels(file: Path | None) -> Mapping[str, str]:
    if file is None:
        return {}
    try:
        return pod_settings.read_labels(file.read_text("ascii"))
    except (OSError, UnicodeDecodeError) as error:
        message = f"MESH7_LABELS_FILE: `{file}` cannot be read – mount the downward API there"
        raise errors.SettingsError(message) from error


def _dial(settings: PodSettings) -> origin.AddressRule:
    """Which addresses sources may have: not ours, not the node's, never the API server's."""
    try:
        api_server = ipaddress.ip_network(settings.api_server)
    except ValueError:
        if settings.api_server:
            log.warning("KUBERNETES_SERVICE_HOST is no address: sources may lead there")
        return replace(origin.IN_CLUSTER, excepted=settings.dialled)
    excepted = [part for network in settings.dialled for part in _without(network, api_server)]
    refused = (*origin.IN_CLUSTER.refused, api_server)
    return origin.AddressRule(refused=refused, excepted=tuple(excepted))


def _other_pods(settings: PodSettings) -> origin.AddressRule:
    """Which addresses the exchange may have: the agent listens on ours, and is told no token."""
    own = tuple(ipaddress.ip_network(text.strip("[]")) for text in settings.own_hosts)
    refused = (*origin.IN_CLUSTER.refused, *own)
    return origin.AddressRule(refused=refused, excepted=settings.dialled)


def _without(network: Network, part: Network) -> list[Network]:
    """A network but for a part of it."""
    match network, part:
        case ipaddress.IPv4Network(), ipaddress.IPv4Network() if part.subnet_of(network):
            return list(network.address_exclude(part))
        case ipaddress.IPv6Network(), ipaddress.IPv6Network() if part.subnet_of(network):
            return list(network.address_exclude(part))
        case _:
            return [network]


def _given(given: GivenRedis) -> RedisServer:
    if given.password_file is None:
        return given.server
    try:
        password = given.password_file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        message = f"MESH7_REDIS_PASSWORD_FILE: `{given.password_file}` cannot be read – mount it"
        raise errors.SettingsError(message) from error
    return replace(given.server, password=password)
