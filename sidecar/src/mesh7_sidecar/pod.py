"""The gateway of one pod: its parts put together, started in order and closed in reverse.

Bundles are delivered and verified; there is no folder, no unix socket and nobody who approves here.
What people decide comes signed from the operator; until it does, what a store says of approvals
counts for nothing (`ledger.absent.CountingLedger`). Nothing is judged or parsed here.
"""

import asyncio
import ipaddress
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from mesh7_core import errors
from mesh7_core.delivery.envelopes import Kind
from mesh7_core.ledger import redis, redis_url
from mesh7_core.ledger.absent import AbsentLedger, CountingLedger
from mesh7_core.ledger.redis_url import RedisServer
from mesh7_core.policy import bundle, calls
from mesh7_core.policy.rules import Per
from mesh7_core.telemetry import lines
from mesh7_sidecar import listening, pod_settings, serving
from mesh7_sidecar.bundles.delivered import Delivery
from mesh7_sidecar.bundles.freshness import GRANTS_LAST, Freshness
from mesh7_sidecar.bundles.mounted import Mounted
from mesh7_sidecar.bundles.pushed import Pushed
from mesh7_sidecar.bundles.refusals import Refusals
from mesh7_sidecar.bundles.remembered import Remembered
from mesh7_sidecar.clock import Clock
from mesh7_sidecar.gate.audit import AuditFile
from mesh7_sidecar.gate.gate import Gate
from mesh7_sidecar.gate.journal import Journal
from mesh7_sidecar.gate.terms import HoldTerms
from mesh7_sidecar.homes import JOURNAL_FILE
from mesh7_sidecar.judging import definition_of
from mesh7_sidecar.net import identity, origin
from mesh7_sidecar.net.sweep import Sweep
from mesh7_sidecar.pod_settings import ExchangeSettings, GivenRedis, PodSettings
from mesh7_sidecar.redis_access import Exchange, keep_access
from mesh7_sidecar.reporting import Reporting
from mesh7_sidecar.settings import AuditShare
from mesh7_sidecar.sources.baselines import Baselines
from mesh7_sidecar.sources.credentials import Credentials
from mesh7_sidecar.state import Held

log = logging.getLogger("mesh7.pod")

PATIENCE_S: Final = 20.0
"""How long the data listener waits for a first bundle: clients list once, an error is retried."""
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
        self._ledger = CountingLedger(AbsentLedger(why))
        self._redis: redis.RedisLedger | None = None
        self._exchange: Exchange | None = None
        self._audit: AuditFile | None = None
        if settings.audit is not AuditShare.OFF:
            self._audit = AuditFile(held.directory / "audit.jsonl", lines.Lines(held.key).line)
        self._gate = self._made_gate()
        self._serving.judge_by(self._gate, settings.patience)

    async def start(self) -> None:
        """Open the listeners, take what is delivered; the data listener waits for a bundle.

        Raises:
            SettingsError: an address is taken, a file cannot be read.
        """
        data = listening.bound("MESH7_LISTEN", self._settings.listen)
        try:
            admin = listening.bound("MESH7_ADMIN", self._settings.admin)
        except errors.SettingsError:
            data.close()
            raise
        # The kubelet asks from the start.
        await self._serving.serve_admin(self.ready, self._settings.admin_hosts, admin)
        await self._delivery.start()
        self._serving.keep(Mounted(self._settings.bundle_directory, self._delivery.take).watch())
        self._serving.keep(self._delivery.watch())
        await self._open_redis()
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._delivery.arrived.wait()
        except TimeoutError:
            log.warning("no bundle came in %d s: every call is denied until one does", PATIENCE_S)
        guard = serving.guard_of(self._settings.listen, data.getsockname()[1], None, ())
        where = await self._serving.serve_calls(self._serving.doors(), guard, data, identity.always)
        self._serving.keep_going()
        log.info("calls are served on %s", where)

    async def close(self) -> None:
        """Stop accepting, let calls in flight finish, then end everything."""
        self._serving.stop_working()
        await self._serving.close()
        await self._baselines.close()
        await self._gate.close()
        await self._delivery.close()
        if self._exchange is not None:
            self._exchange.close()
        await self._ledger.close()
        await self._journal.close()
        if self._audit is not None:
            await self._audit.close()
        self._held.release()

    def ready(self) -> tuple[bool, Mapping[str, object]]:
        """What `/readyz` says; neither Redis nor the operator bears on it."""
        versions = self._delivery.versions
        is_ready = self._delivery.arrived.is_set() and not self._serving.is_ending
        return is_ready, {
            "bundle": versions[Kind.BUNDLE],
            "overlay": versions[Kind.OVERLAY],
            "origin": self._delivery.origin.value,
            "problems": list(self._delivery.problems.values()),
            "store": self._ledger.trouble(),
        }

    def _apply(self, fresh: bundle.Bundle) -> None:
        self._serving.apply(fresh, Credentials(self._settings.credentials, {}, {}))

    def _made_gate(self) -> Gate:
        return Gate(
            self._serving.current,
            clock=self._clock,
            append=self._audit.append if self._audit is not None else None,
            audit=self._settings.audit,
            ledger=self._ledger,
            journal=self._journal,
            definition_of=definition_of(self._serving.registry),
            # Replicas have to count the same repeats as the same, so no key of our own.
            terms=HoldTerms(
                hold_s=self._settings.hold_s, caps=self._settings.caps, replicas=self._replicas
            ),
        )

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

    async def _open_redis(self) -> None:
        match self._settings.redis:
            case ExchangeSettings() as exchange:
                self._exchange = Exchange(exchange, self._held.directory, self._sweep)
                self._serving.keep(keep_access(self._exchange, self._use, self._clock.now))
            case GivenRedis() as given:
                await self._use(_given(given))
            case None:
                pass

    async def _use(self, server: RedisServer) -> None:
        """Be this user of the store from now on; the first time, begin to use it."""
        if self._redis is not None:
            self._redis.use(server)
            return
        ledger = self._redis = redis.RedisLedger(
            server,
            self._settings.namespace,
            load=False,
            known_epoch=self._journal.known_epoch(),
            on_epoch=self._journal.remember_epoch,
            delivers=True,
        )
        self._ledger.home = ledger
        await ledger.start()
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
        self._serving.keep(pushed.watch())
        self._serving.keep(reporting.watch())


def _labels(file: Path | None) -> Mapping[str, str]:
    if file is None:
        return {}
    try:
        return pod_settings.read_labels(file.read_text())
    except (OSError, UnicodeDecodeError) as error:
        message = f"MESH7_LABELS_FILE: `{file}` cannot be read – mount the downward API there"
        raise errors.SettingsError(message) from error


def _dial(settings: PodSettings) -> origin.AddressRule:
    """Which addresses sources may have: not ours, not the node's, not the API server's."""
    rule = replace(origin.IN_CLUSTER, excepted=settings.dialled)
    try:
        api_server = ipaddress.ip_network(settings.api_server)
    except ValueError:
        return rule
    return replace(rule, refused=(*rule.refused, api_server))


def _given(given: GivenRedis) -> RedisServer:
    password = ""
    if given.password_file is not None:
        try:
            password = given.password_file.read_text().strip()
        except OSError as error:
            message = f"MESH7_REDIS_PASSWORD_FILE: `{given.password_file}`: {error.strerror}"
            raise errors.SettingsError(message) from error
    ca_file = str(given.ca) if given.ca is not None else None
    return redis_url.parse_url(given.url, password=password, ca_file=ca_file)
