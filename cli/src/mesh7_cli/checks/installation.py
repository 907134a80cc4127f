"""Checks of the installation: kinds, programs, leader, settings.

Pure: no clock, no network, no logging.
"""

import base64
import binascii
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from mesh7_cli import reading
from mesh7_cli.checks import installing
from mesh7_cli.checks.findings import Category, Check, Facts, Finding, fatal, ok, warn
from mesh7_core import errors, names
from mesh7_core.injection import settings

PROGRAMS: Final = ("mesh7-controller", "mesh7-injector", "mesh7-exchange")
EXCHANGE: Final = "mesh7-exchange"
REDIS: Final = "mesh7-redis"
"""Where the embedded one was chosen."""
LEASE: Final = "mesh7-controller"
SKEW: Final = timedelta(seconds=30)
"""Between the person's clock and the leader's."""
VERSION_LABEL: Final = "app.kubernetes.io/version"
_KEY_BYTES: Final = 32


def _kinds(facts: Facts) -> Finding:
    found = facts.named("crds")
    missing = [name for name in installing.CRDS if name not in found]
    if missing:
        return fatal("mesh7's kinds are missing – install the chart mesh7-crds", missing)
    wrong = [name for name, crd in found.items() if not _is_served(crd)]
    if wrong:
        return fatal(
            f"{names.VERSION} is not served of these – install the chart mesh7-crds", wrong
        )
    other = [
        f"{name}: {version}"
        for name, crd in found.items()
        if (version := reading.text(crd, "metadata", "labels", VERSION_LABEL))
        not in {"", names.RELEASE}
    ]
    if other:
        return warn(f"kinds are not those of {names.RELEASE}, which this program is", other)
    return ok()


def _is_served(crd: Mapping[str, object]) -> bool:
    served = {
        reading.text(one, "name")
        for one in reading.objects(crd, "spec", "versions")
        if reading.truth(one, "served")
    }
    established = any(
        reading.text(one, "type") == "Established" and reading.text(one, "status") == "True"
        for one in reading.objects(crd, "status", "conditions")
    )
    return names.VERSION in served and established


def _programs(facts: Facts) -> Finding:
    found = facts.named("deployments")
    wanted = [one for one in PROGRAMS if one != EXCHANGE or one in found or _has_exchange(facts)]
    wanted += [REDIS] if REDIS in found else []
    missing = [name for name in wanted if name not in found]
    if missing:
        return fatal(
            f"not in namespace `{facts.release}` – install the chart mesh7, or say where it is "
            "with --release-namespace",
            missing,
        )
    down, behind, single = [], [], []
    for name in wanted:
        replicas = reading.number(found[name], "spec", "replicas")
        available = reading.number(found[name], "status", "availableReplicas")
        shown = f"{name}: {available} of {replicas} available"
        if not available:
            down.append(shown)
        elif available < replicas:
            behind.append(shown)
        if replicas < 2 and name != REDIS:  # noqa: PLR2004 - one and another
            single.append(f"{name}: {replicas} replica")
    if down:
        return fatal("no pod of these is available – `kubectl describe` and `logs` say why", down)
    if behind:
        return warn("not all pods of these are available", behind)
    if single:
        return warn("these stop while their one pod restarts (values-ha.yaml has two)", single)
    return ok()


def _release(facts: Facts) -> Finding:
    other = [
        f"{name}: {version}"
        for name, one in facts.named("deployments").items()
        if name in PROGRAMS
        and (version := reading.text(one, "metadata", "labels", VERSION_LABEL))
        not in {"", names.RELEASE}
    ]
    if other:
        return warn(
            f"programs are not those of {names.RELEASE}, which this program is – install the "
            "kubectl-mesh7 of their version",
            other,
        )
    return ok(names.RELEASE)


def _store(facts: Facts) -> Finding:
    said = [
        (reading.text(one, "metadata", "namespace"), condition)
        for one in facts.items("agentpolicies")
        for condition in reading.objects(one, "status", "conditions")
        if reading.text(condition, "type") == "StoreConnected"
    ]
    lost = [place for place, one in said if reading.text(one, "status") == "False"]
    if lost:
        return fatal(
            "the controller does not reach Redis: nothing can be approved, and limits do what "
            "their `onStoreLoss` says – see its log, and the log of the exchange",
            list(dict.fromkeys(lost)),
        )
    if any(reading.text(one, "reason") == "NoStore" for _, one in said):
        return warn("no Redis is configured: nothing can be approved (chart value `redis.mode`)")
    return ok("" if said else "no policy says yet")


def _disruption(facts: Facts) -> Finding:
    there = set(facts.named("budgets"))
    bare = [
        name
        for name, one in facts.named("deployments").items()
        if name in PROGRAMS and reading.number(one, "spec", "replicas") > 1 and name not in there
    ]
    if bare:
        return warn("no PodDisruptionBudget keeps one of these while nodes are drained", bare)
    return ok()


def _leader(facts: Facts) -> Finding:
    lease = facts.value("lease")
    holder = reading.text(lease, "spec", "holderIdentity")
    renewed = reading.moment(lease, "spec", "renewTime")
    if not holder or renewed is None:
        return fatal(f"nobody holds Lease `{LEASE}` – see the log of deployment/mesh7-controller")
    duration = timedelta(seconds=reading.number(lease, "spec", "leaseDurationSeconds"))
    age = facts.now - renewed
    if age > duration + SKEW:
        return fatal(
            f"Lease `{LEASE}` was renewed {age.total_seconds():.0f} s ago – see the log of "
            "deployment/mesh7-controller, and that your clock is right"
        )
    return ok(holder)


def _settings(facts: Facts) -> Finding:
    text = reading.text(facts.value("settings"), "data", settings.KEY)
    if not text:
        return fatal(
            f"no ConfigMap `{names.INJECTION_CONFIG_MAP}` with key `{settings.KEY}` in namespace "
            f"`{facts.release}` – the chart mesh7 makes it"
        )
    try:
        found = settings.read(text)
    except errors.SettingsError as error:
        return fatal(f"ConfigMap `{names.INJECTION_CONFIG_MAP}`: {error.message}")
    return ok(found.image)


def _trust(facts: Facts) -> Finding:
    config_map = facts.value("trust")
    key = reading.text(config_map, "data", "key").strip()
    if not key:
        return fatal(
            f"no ConfigMap `{names.TRUST_CONFIG_MAP}` with `key` in namespace `{facts.release}` – "
            "the controller writes it; see its log"
        )
    if not _is_key(key):
        return fatal(
            f"ConfigMap `{names.TRUST_CONFIG_MAP}` is not as the controller writes it: `key` is no "
            "Ed25519 key – delete it, and the controller writes it again"
        )
    return ok()


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == _KEY_BYTES
    except binascii.Error:
        return False


def _has_exchange(facts: Facts) -> bool:
    found = facts.gathered.settings if facts.gathered is not None else None
    return found is not None and found.exchange is not None


CATEGORY: Final = Category(
    name="installation",
    checks=(
        Check(name="kinds", title="the kinds are installed", judge=_kinds, needs=("crds",)),
        Check(
            name="programs",
            title="the programs run",
            judge=_programs,
            needs=("deployments",),
        ),
        Check(
            name="release-version",
            title="the programs are of this program's version",
            after="programs",
            judge=_release,
            needs=("deployments",),
        ),
        Check(
            name="disruption-budgets",
            title="draining nodes leaves one of each",
            after="programs",
            judge=_disruption,
            needs=("deployments", "budgets"),
        ),
        Check(
            name="leader",
            title="a controller leads",
            after="programs",
            judge=_leader,
            needs=("lease",),
        ),
        Check(
            name="store",
            title="the controller reaches Redis",
            after="leader",
            judge=_store,
            needs=("agentpolicies",),
        ),
        Check(
            name="settings",
            title="the settings of injection can be read",
            judge=_settings,
            needs=("settings",),
        ),
        Check(
            name="trust-key",
            title="the key that bundles are signed with is known",
            judge=_trust,
            needs=("trust",),
        ),
    ),
)
