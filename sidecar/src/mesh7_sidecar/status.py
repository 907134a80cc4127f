"""How a gateway is, for `mesh7 status`: values in, one JSON object out.

Pure: no clock, no network, no logging. The fields are documented in docs/reference/status.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from mesh7_core import names
from mesh7_core.policy import bundle, calls
from mesh7_core.policy.bundle import Effect, Grant
from mesh7_core.policy.definitions import State
from mesh7_sidecar.bundles.reload import Reload
from mesh7_sidecar.gate.gate import Counts
from mesh7_sidecar.homes import Home
from mesh7_sidecar.settings import Settings
from mesh7_sidecar.sources.registry import Registry, Served
from mesh7_sidecar.sources.stdio import StdioUpstream


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a gateway knows of itself.

    Attributes:
        listen: the data listener's address; empty when there is none.
        admin: the admin listener's; empty when it is off.
        overlay: grants and vetoes made by hand.
    """

    pid: int
    settings: Settings
    agent: calls.Agent
    listen: str
    admin: str
    started_at: datetime
    now: datetime
    bundle: bundle.Bundle | None
    reload: Reload
    registry: Registry
    counts: Counts
    home: Home
    overlay: Sequence[Grant]


def describe(facts: Facts) -> Mapping[str, object]:
    """The object that `/control/status` answers."""
    loaded, loaded_at = facts.bundle, facts.reload.loaded_at
    return {
        "pid": facts.pid,
        "version": names.RELEASE,
        "directory": str(facts.settings.directory),
        "namespace": facts.agent.namespace,
        "agent": facts.agent.service_account,
        "listen": facts.listen,
        "admin": facts.admin,
        "uptimeSeconds": int((facts.now - facts.started_at).total_seconds()),
        "bundle": {
            "digest": loaded.digest if loaded is not None else "",
            "loadedAt": loaded_at.isoformat() if loaded_at is not None else "",
            "policies": len(loaded.policies) if loaded is not None else 0,
            "sources": len(loaded.sources) if loaded is not None else 0,
        },
        "problems": list(facts.reload.problems),
        "warnings": list(facts.reload.warnings),
        "sources": [
            _source(served) for kind in calls.SourceKind for served in facts.registry.all_of(kind)
        ],
        "ledger": {"home": facts.home.kind, "trouble": facts.home.ledger.trouble()},
        "standing": _standing(facts),
        "calls": {
            "allowed": facts.counts.allowed,
            "denied": facts.counts.denied,
            "held": facts.counts.held,
            "refused": facts.counts.refused,
        },
    }


def _source(served: Served) -> Mapping[str, object]:
    source, catalog = served.source, served.catalog
    error = served.problem or catalog.error
    if source.kind is calls.SourceKind.HTTP:
        state = "failed" if served.problem else "ready"
    elif error:
        state = "failed"
    else:
        state = "ready" if catalog.was_read else "starting"
    found: dict[str, object] = {
        "name": source.name,
        "kind": source.kind.value,
        "state": state,
        "tools": len(catalog.definitions),
        "protocol": served.client.protocol,
        "error": error,
    }
    if catalog.pins.is_on:
        found["pinning"] = _pinning(served)
    if isinstance(served.way, StdioUpstream):
        child = served.way.status()
        found["child"] = {
            "running": child.is_running, "sessions": child.sessions, "ending": child.ending,
            "stderr": list(child.stderr),
        }  # fmt: skip
    return found


def _standing(facts: Facts) -> Mapping[str, int]:
    """How many there are, from files and by hand; expired ones count until they are revoked."""
    written = facts.bundle.grants if facts.bundle is not None else ()
    vetoes = sum(one.effect is Effect.DENY for one in (*written, *facts.overlay))
    return {"grants": len(written) + len(facts.overlay) - vetoes, "vetoes": vetoes}


def _pinning(served: Served) -> Mapping[str, object]:
    """How the source's definitions stand to what was accepted; names in the order listed."""
    catalog, accepted = served.catalog, served.source.accepted
    listed = catalog.definitions | catalog.hidden
    states = {name: catalog.pins.state(tool) for name, tool in listed.items()}
    return {
        "mode": served.source.pinning.value,
        "accepted": sum(state is State.ACCEPTED for state in states.values()),
        "changed": [name for name, state in states.items() if state is State.CHANGED],
        "new": [name for name, state in states.items() if state is State.NEW],
        # An accepted tool that is not there: renamed by its source, or misspelled by a person.
        "unlisted": [name for name in accepted if name not in listed] if catalog.was_read else [],
    }
