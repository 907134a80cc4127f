"""A sidecar fed by a real controller, and everything around it going away or lying."""

import base64
import contextlib
import json
import secrets
import signal
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from e2e.api import controllers, sidecars
from e2e.api.controllers import Controller, Delivered, policy
from e2e.api.sidecars import Sidecar
from e2e.cluster import api_server as api_servers
from e2e.cluster.api_server import Settings
from e2e.cluster.clusters import Cluster
from e2e.cluster.fixtures import need
from mesh7_core import names
from mesh7_core.delivery import keys, stamps
from tests.peers import redis_servers

STAMPER = keys.SigningKey(b"s" * 32)
KILL_S = 1.0
HIGHEST = 10**15 - 1
"""A version that no clock comes to."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster with the kinds and a stamp key, for this module alone."""
    need("api")
    with api_servers.raised("sidecar-faults", Settings(has_controllers=False)) as server:
        controllers.install(server.cluster)
        public = base64.b64encode(STAMPER.public).decode()
        server.cluster.apply(f"""
apiVersion: v1
kind: ConfigMap
metadata: {{name: mesh7-stamp-public, namespace: {names.RELEASE_NAMESPACE}}}
data: {{current: "{public}"}}
""")
        yield server.cluster


@pytest.fixture(scope="module")
def tools() -> Iterator[str]:
    """A real MCP server; its URL."""
    with sidecars.serving_sums() as url:
        yield url


class Operator:
    """A controller that can be killed and started again, beside a store that can."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.store = redis_servers.Server(redis_servers.programs()["valkey"], folder / "store")
        self.url = f"redis://127.0.0.1:{self.store.port}"
        self._cluster = cluster
        self._folder = folder
        self._starts = 0
        self.controller: Controller

    def start(self) -> None:
        """Start a controller; the store runs already."""
        self._starts += 1
        log = self._folder / f"controller-{self._starts}.log"
        self.controller = Controller(self._cluster.admin, log, [f"--redis={self.url}"])
        # Of one that was killed the Lease has to run out first.
        self.controller.await_line("everything is listed", 60)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """It does nothing while the block runs: it would repair what a test has yet to see."""
        self.controller.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.controller.process.send_signal(signal.SIGCONT)

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the controller, if it runs."""
        if self.controller.process.poll() is None:
            self.controller.end(number)


@pytest.fixture
def operator(cluster: Cluster, tmp_path: Path) -> Iterator[Operator]:
    """A controller and its Valkey, for one test."""
    operator = Operator(cluster, tmp_path)
    operator.store.start()
    operator.start()
    yield operator
    operator.end()
    operator.store.kill()


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """A sidecar of an enrolled namespace, where `sums.add` is allowed."""

    cluster: Cluster
    operator: Operator
    namespace: str
    sidecar: Sidecar
    delivered: Delivered

    def adds(self) -> bool:
        """Whether a call for real is done."""
        return self.sidecar.call("sums.add", {"a": 2, "b": 3}) == "5"

    def until_adds(self, *, wanted: bool, timeout_s: float = 30.0) -> None:
        """Wait until it is done, or refused."""
        what = "calls are done" if wanted else "calls are refused"
        self.sidecar.until(lambda: self.adds() == wanted, what, timeout_s)

    def until(self, bundle: int, origin: str) -> None:
        """Wait until a version is in force that came this way."""
        self.sidecar.until(
            lambda: (
                self.sidecar.ready().get("bundle") == bundle
                and self.sidecar.ready().get("origin") == origin
            ),
            f"bundle {bundle} is in force ({origin})",
        )

    def report(self) -> dict[str, Any]:
        """What the sidecar reported last; empty when it has not."""
        text = self.operator.store.tell(
            "HGET", f"m7:{{{self.namespace}}}:reports", "uid-of-support-0"
        )
        found: dict[str, Any] = json.loads(text) if isinstance(text, bytes) else {}
        return found


@pytest.fixture
def guarded(cluster: Cluster, operator: Operator, tools: str, tmp_path: Path) -> Iterator[Guarded]:
    namespace = controllers.enrol(cluster, f"shop-{secrets.token_hex(4)}")
    cluster.apply(sidecars.sums(namespace, tools))
    cluster.apply(policy(namespace, "support", "sums.*"))
    delivered = Delivered(cluster, namespace)
    operator.controller.until(
        lambda: delivered.policies() == {f"{namespace}/support"}, "it is delivered"
    )
    operator.controller.until(lambda: len(users(operator, namespace)) == 3, "it has its users")
    environment = {
        **sidecars.of_pod(namespace, controllers.operator(cluster, "keys", "show").strip()),
        **sidecars.with_redis(cluster, namespace, operator.url, tmp_path / "given"),
        **sidecars.LOOPBACK,
    }
    folder = tmp_path / "pod"
    with contextlib.ExitStack() as stack:
        folder.mkdir()
        sidecar = Sidecar(folder, environment)
        stack.enter_context(sidecars.mounting(cluster, namespace, sidecar.bundle_directory))
        sidecar.start()
        stack.callback(lambda: sidecar.is_running and sidecar.end(signal.SIGKILL))
        sidecar.await_ready()
        found = Guarded(
            cluster=cluster,
            operator=operator,
            namespace=namespace,
            sidecar=sidecar,
            delivered=delivered,
        )
        found.until_adds(wanted=True)
        yield found


def users(operator: Operator, namespace: str) -> list[bytes]:
    """The namespace's users of the store."""
    listed = operator.store.tell("ACL", "USERS")
    assert isinstance(listed, list)
    return [user for user in listed if user.startswith(f"m7-{namespace}-".encode())]


@pytest.mark.promise("K3")
def test_status_counts_the_sidecar_that_reported(guarded: Guarded) -> None:
    """Issue 5: `N of M`; docs/user: what `kubectl get agentpolicies` shows."""

    def shown() -> list[str]:
        table = guarded.cluster.kubectl(
            "get", "agentpolicies", "-n", guarded.namespace, "--no-headers"
        )
        return table.split()

    guarded.operator.controller.until(
        lambda: shown()[:5] == ["support", "True", "Enforce", "1", "1"], "one of one obeys"
    )


@pytest.mark.promise("K8")
def test_with_operator_and_store_killed_the_last_bundle_decides(guarded: Guarded) -> None:
    """docs/administrator/how-it-works.md; over a restart of the container, too."""
    operator, sidecar = guarded.operator, guarded.sidecar
    operator.end(signal.SIGKILL)
    operator.store.kill()
    assert all(guarded.adds() for _ in range(20))
    assert sidecar.decide("sums.fail") == "Allow allowed-by-rule"
    assert sidecar.end(signal.SIGKILL) == -signal.SIGKILL
    sidecar.start()
    sidecar.await_ready()
    guarded.until_adds(wanted=True)
    guarded.cluster.apply(policy(guarded.namespace, "support", "sums.*", "Deny"))
    assert all(guarded.adds() for _ in range(5))
    operator.store.start()
    operator.start()
    guarded.until_adds(wanted=False)


@pytest.mark.promise("A10")
def test_a_kill_is_in_force_within_a_second_and_lifted_when_it_is_deleted(
    guarded: Guarded,
) -> None:
    """Design 6.7: ≤ 1 s while Redis answers; most of them, for a busy machine stops at times."""
    took = []
    for number in range(5):
        guarded.cluster.apply(f"""
apiVersion: {names.API_VERSION}
kind: Grant
metadata: {{name: stop-{number}, namespace: {guarded.namespace}}}
spec: {{effect: Deny, subject: {{serviceAccount: support}}, reason: stop}}
""")
        begun = time.monotonic()
        guarded.until_adds(wanted=False)
        took.append(time.monotonic() - begun)
        guarded.cluster.kubectl("delete", "grant", f"stop-{number}", "-n", guarded.namespace)
        guarded.until_adds(wanted=True)
    assert statistics.median(took) <= KILL_S, took


def grant(guarded: Guarded, name: str) -> None:
    """Make a standing permission, stamped as the injector stamps it."""
    ends_at = datetime.now(UTC) + timedelta(minutes=20)
    written: dict[str, Any] = {
        "apiVersion": names.API_VERSION,
        "kind": "Grant",
        "metadata": {"name": name, "namespace": guarded.namespace},
        "spec": {
            "effect": "Allow",
            "subject": {"serviceAccount": "support"},
            "tools": ["sums.*"],
            "policyRef": {"namespace": guarded.namespace, "name": "support"},
            "expiresAt": f"{ends_at:%Y-%m-%dT%H:%M:%SZ}",
            "reason": "INC-4711",
            "grantedBy": {"username": "ada", "groups": ["finance"]},
        },
    }
    # What is stamped is what is stored, defaults of the schema filled in.
    dry = guarded.cluster.kubectl.json(
        "create", "-f", "-", "--dry-run=server", stdin=json.dumps(written)
    )
    written["spec"] = dry["spec"]
    written["spec"]["grantedBy"]["stamp"] = stamps.stamp(written, STAMPER)
    guarded.cluster.apply(json.dumps(written))


ASKING = """
apiVersion: mesh7.dev/v1alpha1
kind: AgentPolicy
metadata: {{name: support, namespace: {0}}}
spec:
  selector: {{}}
  rules:
  - name: only
    tools: ["sums.*"]
    action: RequireApproval
    approval: {{groups: [finance], hold: 0s, grantable: {{maxDuration: 1h}}}}
"""


@pytest.mark.promise("A9")
def test_a_revoked_permission_counts_no_more(guarded: Guarded) -> None:
    """Design 7: revocations travel first; asked again, people are."""
    guarded.cluster.apply(ASKING.format(guarded.namespace))
    guarded.until_adds(wanted=False)
    grant(guarded, "payments")
    guarded.until_adds(wanted=True)
    guarded.cluster.kubectl("delete", "grant", "payments", "-n", guarded.namespace)
    guarded.until_adds(wanted=False)
    assert guarded.sidecar.decide("sums.add") == "Hold approval-required"


@pytest.mark.promise("K4")
def test_a_changed_policy_comes_by_config_map_while_the_store_is_down(guarded: Guarded) -> None:
    """Here the kubelet is quick; a real one takes up to two minutes."""
    before = guarded.delivered.version()
    guarded.operator.store.kill()
    guarded.cluster.apply(policy(guarded.namespace, "support", "sums.*", "Deny"))
    guarded.until_adds(wanted=False)
    assert guarded.delivered.version() > before
    guarded.until(guarded.delivered.version(), "configmap")


def put(guarded: Guarded, content: dict[str, bytes]) -> None:
    """Write into the ConfigMap what its editors may, and into Redis whatever version one likes."""
    written = {kind: base64.b64encode(each).decode() for kind, each in content.items()}
    guarded.cluster.kubectl(
        "patch", "configmap", names.BUNDLE_CONFIG_MAP, "-n", guarded.namespace, "--type=merge",
        "-p", json.dumps({"binaryData": written}),
    )  # fmt: skip
    prefix = f"m7b:{{{guarded.namespace}}}:"
    for kind, each in content.items():
        guarded.operator.store.tell("HSET", prefix + kind, "v", HIGHEST, "t", each)
    guarded.operator.store.tell("PUBLISH", f"{prefix}delivered", "x")


def until_refused(guarded: Guarded, why: str, count: int) -> None:
    """Wait until the sidecar has counted, and reported, as many."""
    guarded.sidecar.until(
        lambda: guarded.report().get("refused", {}).get(why, 0) >= count, f"{why} is counted"
    )


def until_repaired(guarded: Guarded, wrong: bytes | None) -> None:
    """Wait until both ways bring the same, and not that."""

    def is_repaired() -> bool:
        found = guarded.delivered.envelope()
        held = guarded.operator.store.tell("HGET", f"m7b:{{{guarded.namespace}}}:bundle", "t")
        return found is not None and found == held != wrong

    guarded.operator.controller.until(is_repaired, "both ways are repaired", 60)


@pytest.mark.promise("K9")
def test_what_is_tampered_with_on_both_ways_is_ignored_counted_and_repaired(
    guarded: Guarded,
) -> None:
    """An editor of the namespace, and whoever can write to Redis, at once."""
    before = guarded.delivered.version()
    with guarded.operator.stopped():
        put(guarded, {"bundle": b"forged", "overlay": b"forged"})
        # Both documents on both ways.
        until_refused(guarded, "malformed", 4)
        assert guarded.adds()
    until_repaired(guarded, b"forged")
    assert guarded.delivered.version() >= before
    guarded.cluster.apply(policy(guarded.namespace, "support", "sums.*", "Deny"))
    guarded.until_adds(wanted=False)


@pytest.mark.promise("K9")
def test_an_older_bundle_that_is_put_back_changes_nothing(guarded: Guarded) -> None:
    """Issue 5: replaced by a validly signed older one."""
    older = guarded.delivered.envelope()
    assert older is not None
    guarded.cluster.apply(policy(guarded.namespace, "support", "sums.*", "Deny"))
    guarded.until_adds(wanted=False)
    with guarded.operator.stopped():
        put(guarded, {"bundle": older})
        until_refused(guarded, "old", 1)
        assert not guarded.adds()
    until_repaired(guarded, older)
    assert not guarded.adds()


def test_a_policy_that_is_deleted_while_it_is_used_allows_no_more(guarded: Guarded) -> None:
    """Issue 5, faults."""
    guarded.cluster.kubectl("delete", "agentpolicy", "support", "-n", guarded.namespace)
    guarded.until_adds(wanted=False)
    # What no policy shows is told as what is not there.
    assert guarded.sidecar.decide("sums.add") == "Deny no-policy"
    guarded.cluster.apply(policy(guarded.namespace, "support", "sums.*"))
    guarded.until_adds(wanted=True)


def test_a_namespace_that_is_no_longer_enrolled_is_let_go(guarded: Guarded) -> None:
    """docs/administrator/redis.md: its users are gone; its pods keep what they had."""
    version = guarded.delivered.version()
    guarded.cluster.kubectl("label", "namespace", guarded.namespace, f"{names.INJECTION_LABEL}-")
    guarded.operator.controller.until(
        lambda: guarded.delivered.object() is None, "the ConfigMap is removed"
    )
    guarded.operator.controller.until(
        lambda: users(guarded.operator, guarded.namespace) == [], "its users are gone", 60
    )
    guarded.cluster.apply(policy(guarded.namespace, "support", "sums.*", "Deny"))
    guarded.sidecar.until(
        lambda: bool(guarded.sidecar.ready().get("store")), "the store is lost to it"
    )
    assert guarded.adds()
    assert guarded.sidecar.ready()["bundle"] == version
    assert guarded.sidecar.end() == 0
    guarded.sidecar.start()
    guarded.sidecar.await_ready()
    assert guarded.adds()
