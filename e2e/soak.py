"""`python -m e2e.soak`: 2,000 policies in 500 namespaces, on a real API server and a real Valkey.

Creates everything, waits until every namespace's bundle has all its policies in Redis, then makes
single changes and times how long each takes to get there. Prints one table; exits 1 beyond a bound.
"""

import argparse
import asyncio
import base64
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from e2e.api.controllers import Controller, controlling, install, operator
from e2e.cluster import api_server as api_servers
from mesh7_core import names
from mesh7_core.delivery import envelopes, payloads
from mesh7_operator import metrics, settings
from mesh7_operator.cluster import connection, resources
from mesh7_operator.cluster.api_server import ApiServer
from tests.peers import redis_servers

CONVERGED_S: Final = 30.0
RSS_MIB: Final = 400.0
CHANGE_S: Final = 1.0
CHANGES: Final = 100
_AT_ONCE: Final = 16
_STEP_S: Final = 0.005
_PATIENCE_S: Final = 300.0


def policy(namespace: str, number: int, most: int) -> dict[str, object]:
    """One of the size that people write: a few rules, a condition, a limit."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.AGENT_POLICY,
        "metadata": {"name": f"policy-{number}", "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": {"app": f"agent-{number}"}},
            "rules": [
                {"name": "read", "tools": ["billing.get_*", "billing.list_*"], "action": "Allow"},
                {
                    "name": "small", "tools": ["billing.create_refund"],
                    "when": f"args.amount < {most}", "action": "Allow", "limits": ["writes"],
                },
                {"name": "large", "tools": ["billing.create_refund"], "action": "RequireApproval"},
                {"name": "never", "tools": ["billing.delete_*"], "action": "Deny"},
            ],
            "limits": [{"name": "writes", "per": "Agent", "max": 30, "window": "1m"}],
        },
    }  # fmt: skip


class Soak:
    """One run.

    Args:
        api: as administrator.
        store: where bundles come to lie.
        trusted: keys that may have signed them.
        count: namespaces.
        each: policies in each.
    """

    def __init__(
        self, api: ApiServer, store: redis_servers.Server, trusted: tuple[bytes, ...],
        count: int, each: int,
    ) -> None:  # fmt: skip
        self._api = api
        self._store = store
        self._trusted = trusted
        self._namespaces = [f"soak-{number:04d}" for number in range(count)]
        self._each = each

    async def create(self) -> float:
        """Create all of it; how long that took."""
        begun = time.monotonic()
        await self._all(self._create_namespace)
        await self._all(self._create_policies)
        return time.monotonic() - begun

    async def converge(self) -> float:
        """Wait until Redis has every policy of every namespace; how long after now."""
        begun = time.monotonic()
        missing = set(self._namespaces)
        while missing:
            missing = {one for one in missing if len(self._delivered(one)) < self._each}
            if time.monotonic() - begun > _PATIENCE_S:
                raise SystemExit(
                    f"{len(missing)} namespaces did not converge: {sorted(missing)[:5]}"
                )
            await asyncio.sleep(_STEP_S)
        return time.monotonic() - begun

    async def change(self, number: int) -> float:
        """Change one policy; how long until Redis has it, from the API server's answer on."""
        namespace = self._namespaces[number * 7 % len(self._namespaces)]
        fresh = policy(namespace, 0, 10_000 + number)
        await self._api.apply(resources.AGENT_POLICIES, namespace, "policy-0", fresh)
        begun = time.monotonic()
        wanted = f"args.amount < {10_000 + number}"
        while wanted not in self._delivered(namespace).get("policy-0", ""):
            if time.monotonic() - begun > _PATIENCE_S:
                raise SystemExit(f"a change in {namespace} did not come")
            await asyncio.sleep(_STEP_S)
        return time.monotonic() - begun

    def _delivered(self, namespace: str) -> Mapping[str, str]:
        """The policies in Redis, as text by name."""
        sealed = self._store.tell("HGET", f"m7b:{{{namespace}}}:bundle", "t")
        if not isinstance(sealed, bytes):
            return {}
        opened = envelopes.unseal(sealed, envelopes.Kind.BUNDLE, namespace, self._trusted)
        if isinstance(opened, envelopes.Refused):
            raise SystemExit(f"{namespace}: {opened.message}")
        documents = payloads.read_bundle(opened.payload).documents
        return {one.name: str(one.value) for one in documents}

    async def _create_namespace(self, name: str) -> None:
        labels = {names.INJECTION_LABEL: "enabled"}
        await self._api.create(
            resources.NAMESPACES,
            "",
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}},
        )

    async def _create_policies(self, namespace: str) -> None:
        for number in range(self._each):
            await self._api.create(
                resources.AGENT_POLICIES, namespace, policy(namespace, number, 500)
            )

    async def _all(self, work: Callable[[str], Awaitable[None]]) -> None:
        waiting = list(self._namespaces)

        async def some() -> None:
            while waiting:
                await work(waiting.pop())

        await asyncio.gather(*(some() for _ in range(_AT_ONCE)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one run came to.

    Attributes:
        took_s: each change, shortest first.
        rss_mib: the most that the controller ever had.
    """

    created_s: float
    converged_s: float
    took_s: tuple[float, ...]
    rss_mib: float

    @property
    def slow_s(self) -> float:
        """What 99 of 100 changes took at most."""
        return self.took_s[max(len(self.took_s) * 99 // 100 - 1, 0)]

    @property
    def holds(self) -> bool:
        """Whether it is within the bounds of issue 5."""
        is_soon = self.converged_s <= CONVERGED_S and self.slow_s <= CHANGE_S
        return is_soon and self.rss_mib <= RSS_MIB

    def rows(self) -> tuple[tuple[str, str, str], ...]:
        """For people: what, how much, the bound."""
        middle_s = statistics.median(self.took_s)
        return (
            ("created in", f"{self.created_s:.1f} s", ""),
            (
                "converged after the last create",
                f"{self.converged_s:.1f} s",
                f"{CONVERGED_S:.0f} s",
            ),
            ("a change, median", f"{middle_s * 1000:.0f} ms", ""),
            ("a change, 99 of 100", f"{self.slow_s * 1000:.0f} ms", f"{CHANGE_S * 1000:.0f} ms"),
            ("largest RSS of the controller", f"{self.rss_mib:.0f} MiB", f"{RSS_MIB:.0f} MiB"),
        )


def run(namespaces: int, policies: int, changes: int, folder: Path) -> Found:
    """Raise all that is needed, measure, and end it.

    Args:
        namespaces: to be made.
        policies: in each.
        changes: single ones, one after another.
        folder: for logs and the store's files.
    """
    valkey = redis_servers.Server(redis_servers.programs()["valkey"], folder / "valkey")
    valkey.start()
    flags = ["--redis", f"redis://127.0.0.1:{valkey.port}"]
    try:
        with api_servers.raised(f"soak-{os.getpid()}") as server:
            install(server.cluster)
            with controlling(server.cluster, folder / "log", flags) as controller:
                controller.await_line("everything is listed")

                async def measured() -> Found:
                    key = base64.b64decode(operator(server.cluster, "keys", "show"))
                    joined = connection.connect(settings.Cluster(kubeconfig=server.cluster.admin))
                    async with ApiServer(joined, metrics.ApiMetrics(metrics.registry())) as api:
                        soak = Soak(api, valkey, (key,), namespaces, policies)
                        return await _measured(soak, changes, controller)

                return asyncio.run(measured())
    finally:
        valkey.stop()


def main() -> None:
    """Run it, print the table, exit 1 beyond a bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--namespaces", type=int, default=500)
    parser.add_argument("--policies", type=int, default=4, help="in each namespace")
    parser.add_argument("--changes", type=int, default=CHANGES)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="m7-soak-") as folder:
        found = run(chosen.namespaces, chosen.policies, chosen.changes, Path(folder))
    print(f"{chosen.namespaces * chosen.policies} policies in {chosen.namespaces} namespaces")
    for name, value, bound in found.rows():
        print(f"  {name:34} {value:>10}  {'at most ' + bound if bound else ''}")
    sys.exit(not found.holds)


async def _measured(soak: Soak, changes: int, controller: Controller) -> Found:
    created_s = await soak.create()
    converged_s = await soak.converge()
    took_s = sorted([await soak.change(number) for number in range(changes)])
    return Found(
        created_s=created_s,
        converged_s=converged_s,
        took_s=tuple(took_s),
        rss_mib=_rss_mib(controller.process.pid),
    )


def _rss_mib(pid: int) -> float:
    """The most that it ever had, by the kernel."""
    text = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in text.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
