"""Both ends of a delivery: an operator that signs, a mounted ConfigMap, a sidecar that obeys."""

import itertools
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mesh7_core import errors
from mesh7_core.delivery import envelopes, keys, payloads, trust
from mesh7_core.delivery.envelopes import Kind, Refusal
from mesh7_core.delivery.reports import Origin
from mesh7_core.policy import bundle, calls, judge, standing
from mesh7_core.policy.reasons import Reason
from mesh7_sidecar.bundles.believed import Work, worked
from mesh7_sidecar.bundles.current import Current
from mesh7_sidecar.bundles.delivered import Delivery
from mesh7_sidecar.bundles.freshness import GRANTS_LAST, Freshness
from mesh7_sidecar.bundles.mounted import Mounted
from mesh7_sidecar.bundles.pushed import Pushed
from mesh7_sidecar.bundles.refusals import Refusals
from mesh7_sidecar.bundles.remembered import Remembered
from mesh7_sidecar.clock import Clock
from tests.fakes.deliveries import MemoryDeliveries

NAMESPACE = "shop"
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
AGENT = calls.Agent(namespace=NAMESPACE, service_account="support", pod="support-1")
BUNDLE, OVERLAY = Kind.BUNDLE, Kind.OVERLAY
REDIS, CONFIG_MAP = Origin.REDIS, Origin.CONFIG_MAP
_Object = dict[str, object]


class StandingClock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self._passed = timedelta()

    def pass_by(self, span: timedelta) -> None:
        self._passed += span

    @property
    def clock(self) -> Clock:
        return Clock(
            wall_ns=lambda: int((NOON + self._passed).timestamp() * 1e9),
            monotonic_ns=lambda: int(self.monotonic_s() * 1e9),
            monotonic_s=self.monotonic_s,
        )

    def monotonic_s(self) -> float:
        return 1000.0 + self._passed.total_seconds()


def _object(kind: str, name: str, spec: _Object, namespace: str) -> _Object:
    return {
        "apiVersion": "mesh7.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def policy(name: str, action: str = "Allow", tools: str = "*") -> _Object:
    """An AgentPolicy for everybody with one rule; what asks may be relaxed by grants."""
    rule: _Object = {"name": "all", "tools": [tools], "action": action}
    if action == "RequireApproval":
        grantable = {"maxDuration": "24h"}
        rule["approval"] = {"groups": ["finance"], "grantable": grantable}
    spec: _Object = {"selector": {}, "defaultAction": "Deny", "rules": [rule]}
    return _object("AgentPolicy", name, spec, NAMESPACE)


def grant(name: str, policy_name: str) -> _Object:
    """A standing permission for the agent."""
    spec: _Object = {
        "effect": "Allow",
        "subject": {"serviceAccount": AGENT.service_account},
        "tools": ["*"],
        "policyRef": {"namespace": NAMESPACE, "name": policy_name},
        "expiresAt": "2026-11-21T18:00:00Z",
        "reason": "INC-4711",
        "grantedBy": {"username": "jane", "groups": ["finance"]},
    }
    return _object("Grant", name, spec, NAMESPACE)


def kill(name: str) -> _Object:
    """A veto of everything, for the agent."""
    subject = {"serviceAccount": AGENT.service_account}
    return _object("Grant", name, {"effect": "Deny", "subject": subject}, NAMESPACE)


class Operator:
    """Signs what it delivers; its keys can be rotated."""

    def __init__(self, number: int = 1) -> None:
        self._numbers = itertools.count(number)
        self.signer = self._fresh()
        self.root = self.signer.public
        self.links: list[keys.Link] = []

    def _fresh(self) -> keys.SigningKey:
        return keys.SigningKey(bytes([next(self._numbers)]) * 32)

    def rotate(self) -> None:
        """Sign with a new key from now on, endorsed by the one before."""
        following = self._fresh()
        self.links.append(keys.endorse(self.signer, following.public))
        self.signer = following

    def bundle(self, version: int, *policies: _Object, namespace: str = NAMESPACE) -> bytes:
        content = payloads.BundleContent(
            namespace=namespace,
            labels={},
            documents=tuple(payloads.document_of(one) for one in policies),
        )
        return self.seal(BUNDLE, version, payloads.write_bundle(content), namespace)

    def overlay(self, version: int, *grants: _Object, namespace: str = NAMESPACE) -> bytes:
        content = payloads.OverlayContent(
            namespace=namespace, documents=tuple(payloads.document_of(one) for one in grants)
        )
        return self.seal(OVERLAY, version, payloads.write_overlay(content), namespace)

    def seal(self, kind: Kind, version: int, payload: bytes, namespace: str = NAMESPACE) -> bytes:
        return envelopes.seal(kind, namespace, version, payload, self.signer, self.links)


class ConfigMap:
    """A mounted ConfigMap, swapped as the kubelet does it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._numbers = itertools.count(1)

    def write(self, **files: bytes) -> None:
        """Replace the whole content."""
        self.directory.mkdir(exist_ok=True)
        fresh = self.directory / f"..2026_11_21_12_00_00.{next(self._numbers)}"
        fresh.mkdir()
        for name, content in files.items():
            (fresh / name).write_bytes(content)
        link, aside = self.directory / "..data", self.directory / "..data_tmp"
        before = link.readlink() if link.is_symlink() else None
        aside.symlink_to(fresh.name)
        aside.rename(link)
        for name in files:
            if not (self.directory / name).is_symlink():
                (self.directory / name).symlink_to(f"..data/{name}")
        if before is not None:
            shutil.rmtree(self.directory / before)


class Sidecar:
    """One container of a pod; another one on the same folder is the same pod, restarted.

    Attributes:
        refuses: why no bundle can be put in force; empty = each can.
        after_swap: comes when a bundle was put in force; may fail.
        applied: versions of the policies that were put in force, in order.
    """

    def __init__(
        self,
        folder: Path,
        operator: Operator,
        *,
        time: StandingClock | None = None,
        lasts: timedelta | None = GRANTS_LAST,
        floors: dict[Kind, int] | None = None,
        work: Work = worked,
    ) -> None:
        self.time = time or StandingClock()
        self.folder = folder
        self.refuses = ""
        self.after_swap: Callable[[], None] = lambda: None
        self.applied: list[str] = []
        self.current = Current()
        start = trust.Trust(namespace=NAMESPACE, keys=(operator.root,), floors=floors or {})
        self.delivery = Delivery(
            self.current,
            self._apply,
            remembered=Remembered(folder / "state", start),
            refusals=Refusals(self.time.monotonic_s),
            freshness=Freshness(self.time.clock, lasts),
            work=work,
        )
        self.config_map = ConfigMap(folder / "mounted")
        self.mounted = Mounted(self.config_map.directory, self.delivery.take)
        self.deliveries = MemoryDeliveries()
        self.pushed = Pushed(self.deliveries, self.delivery, self.time.monotonic_s)

    def _apply(self, fresh: bundle.Bundle) -> None:
        if self.refuses:
            raise errors.SettingsError(self.refuses)
        self.current.swap(fresh)
        self.applied += [one.id for one in fresh.policies]
        self.after_swap()

    async def take(self, kind: Kind, data: bytes, origin: Origin = REDIS) -> bool:
        """Take it, and wait until it is in force or of no use."""
        is_taken = await self.delivery.take(kind, data, origin)
        await self.delivery.settled()
        return is_taken

    async def take_both(self, overlay: bytes, fresh: bytes, origin: Origin = REDIS) -> None:
        await self.take(OVERLAY, overlay, origin)
        await self.take(BUNDLE, fresh, origin)

    async def look(self) -> None:
        """Look both ways once."""
        await self.mounted.look()
        await self.pushed.look()
        await self.delivery.settled()

    def says(self, tool: str = "billing.refund") -> str:
        """What a call comes to: its reason."""
        view = self.current.view(AGENT)
        if view is None:
            return Reason.NO_BUNDLE.value
        source, _, name = tool.partition(".")
        call = calls.Call(AGENT, calls.Family.TOOLS, source, name, {})
        found = judge.needs(view, call, self.time.clock.now())
        stand_ins = standing.covering(found.asked, found.grants, call, self.time.clock.now())
        return "granted" if stand_ins and all(stand_ins) else found.decision.reason.value

    @property
    def versions(self) -> tuple[int, int]:
        """Of bundle and overlay in force."""
        found = self.delivery.versions
        return found[BUNDLE], found[OVERLAY]

    @property
    def refused(self) -> dict[Refusal, int]:
        """What was ignored, as far as anything was."""
        return {why: count for why, count in self.delivery.refusals.counts.items() if count}

    async def restarted(self, operator: Operator) -> "Sidecar":
        """The same pod with another container; what Redis holds stays there."""
        await self.delivery.close()
        after = Sidecar(self.folder, operator, time=self.time)
        after.deliveries.entries = self.deliveries.entries
        await after.delivery.start()
        return after
