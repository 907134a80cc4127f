"""The gate with all that it stands on, opened together and closed in reverse.

Ledger and journal (`homes`), grants and vetoes made by hand (`gate.standing`), people's doors.
"""

import os
import secrets
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Final

from mesh7_core import errors
from mesh7_core.audit import deeds
from mesh7_core.ledger.protocol import Lost
from mesh7_core.policy import calls
from mesh7_sidecar import homes
from mesh7_sidecar.audit.lines import AuditLines
from mesh7_sidecar.audit.share import by_share
from mesh7_sidecar.bundles.current import Current
from mesh7_sidecar.clock import Clock
from mesh7_sidecar.doors.people import People
from mesh7_sidecar.doors.people_answers import Ground
from mesh7_sidecar.gate.gate import Gate
from mesh7_sidecar.gate.notes import Notes
from mesh7_sidecar.gate.standing import StandingGrants
from mesh7_sidecar.gate.terms import HoldTerms
from mesh7_sidecar.net import processes
from mesh7_sidecar.people import shown
from mesh7_sidecar.people.clients import UNSEEN, Clients
from mesh7_sidecar.people.hurdles import Rules
from mesh7_sidecar.seeing.metrics import Metrics
from mesh7_sidecar.seeing.spans import Tracing
from mesh7_sidecar.settings import Settings
from mesh7_sidecar.sources.registry import Registry
from mesh7_sidecar.state import Held

_SUFFIX_BYTES: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Judging:
    """What judges calls, and what people decide by."""

    home: homes.Home
    gate: Gate
    standing: StandingGrants
    people: People
    clients: Clients

    async def open_requests(self) -> int | None:
        """How many wait for people or for their one use; None when the ledger does not say."""
        found = await self.home.ledger.requests()
        return None if isinstance(found, Lost) else sum(shown.is_open(one) for one in found)

    async def close(self) -> None:
        """Answer who waits, write what is not written; call it when no calls come any more."""
        await self.gate.close()
        self.standing.close()
        await self.home.close()


async def open_judging(  # noqa: PLR0913 - what the gateway is made of
    settings: Settings,
    held: Held,
    clock: Clock,
    current: Current,
    registry: Registry,
    audit: AuditLines | None,
    metrics: Metrics,
    tracing: Tracing,
    ports: Callable[[], Collection[int]],
) -> Judging:
    """Open all of it, for the namespace of the bundle in force.

    Args:
        metrics: where calls are counted.
        tracing: of calls.
        ports: that agents connect to.

    Raises:
        SettingsError: a file in the state folder is damaged, the Redis URL cannot be used, or
            what started this `mesh7 stdio` cannot be told.
    """
    clients = Clients()
    # `mesh7 stdio` that holds the folder is an MCP client's child, and joins nobody.
    own = processes.lineage(os.getpid()) if settings.listen is None else ()
    if settings.listen is None and not clients.join(os.getpid(), own):
        raise errors.SettingsError(UNSEEN)
    namespace = current.bundle.namespace if current.bundle is not None else "default"
    home = await homes.open_home(settings, held, namespace, clock)
    gate = Gate(
        current,
        clock=clock,
        consumers=(
            metrics.count,
            *tracing.consumers,
            *(by_share(audit.append, settings.audit) if audit is not None else ()),
        ),
        traces=tracing.traces,
        ledger=home.ledger,
        journal=home.journal,
        definition_of=definition_of(registry),
        terms=HoldTerms(
            hold_s=settings.hold_s,
            caps=settings.caps,
            replicas=lambda _per: settings.replicas,
            # Gateways that share a ledger have to count the same repeats as the same.
            key=held.key if settings.redis is None else b"",
            salt=held.salt,
        ),
        on_trip=metrics.count_trip,
    )
    notes = Notes(home.journal, namespace) if home.is_shared else None
    standing = StandingGrants(home.ledger, current, notes)
    await standing.start()
    ground = Ground(
        ledger=home.ledger,
        rules=Rules(
            own_uid=os.geteuid(),
            own_pid=os.getpid(),
            approvers=settings.approvers,
            allows_scripts=settings.allow_scripted_approval,
        ),
        clients=clients,
        agent=settings.agent,
        standing=standing,
        bundle=lambda: current.bundle,
        may_know=lambda name: name == settings.agent or current.may_have_seen(name),
        waiting=gate.waiting,
        note=_note(audit),
        clock=clock,
        ports=ports,
        new_suffix=lambda: secrets.token_hex(_SUFFIX_BYTES),
    )
    return Judging(home=home, gate=gate, standing=standing, people=People(ground), clients=clients)


def definition_of(registry: Registry) -> Callable[[calls.Call], Awaitable[str | None]]:
    """Lists a call's tool again; what is not a listed tool has no definition."""

    async def listed(call: calls.Call) -> str | None:
        served = registry.find(call.source, call.source_kind)
        if served is None:
            return None
        if call.family is not calls.Family.TOOLS or call.source_kind is not calls.SourceKind.MCP:
            return ""
        await served.catalog.read()
        found = served.catalog.definitions.get(call.name)
        return found.digest if found is not None and not served.catalog.error else None

    return listed


def _note(audit: AuditLines | None) -> Callable[[deeds.Deed], Awaitable[None]]:
    async def note(deed: deeds.Deed) -> None:
        if audit is not None:
            await audit.note(deed)

    return note
