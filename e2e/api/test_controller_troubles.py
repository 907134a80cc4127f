"""A controller in a cluster that is in trouble: rights, backups, quotas, restarts."""

import contextlib
import itertools
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest
import yaml

from e2e.api import controllers, installed
from e2e.api.controllers import Controller, Delivered
from e2e.cluster.api_server import ApiServer, Settings
from e2e.cluster.clusters import Cluster
from e2e.cluster.fixtures import RaiseCluster
from e2e.cluster.kubectl import KubectlError
from e2e.cluster.waiting import until
from mesh7_core import names
from tests.peers import redis_servers
from tests.peers.redis_servers import Server

ACCOUNT = f"system:serviceaccount:{controllers.RELEASE}:mesh7-controller"
PATIENCE_S = 60.0
STORM_S = 20.0
HANDFUL = 8
"""Pauses double from half a second on: seven tries in twenty seconds."""


@pytest.fixture
def server(raise_cluster: RaiseCluster) -> ApiServer:
    """An API server of the test's own with one enrolled namespace."""
    server = raise_cluster(Settings(has_controllers=False))
    installed.install(server.cluster)
    controllers.enrol(server.cluster, "shop")
    server.cluster.apply(controllers.policy("shop", "first"))
    return server


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Server]:
    with redis_servers.running(redis_servers.programs()["valkey"], tmp_path) as server:
        yield server


class Deployment:
    """A controller that is started again when it ends."""

    def __init__(self, cluster: Cluster, folder: Path, *flags: str) -> None:
        self._cluster = cluster
        self._folder = folder
        self._flags = flags
        self.controllers: list[Controller] = []
        self._start()

    def kept(self) -> Controller:
        """The one that runs, from now on if need be."""
        if self.controllers[-1].process.poll() is not None:
            self._start()
        return self.controllers[-1]

    def versions(self) -> list[int]:
        """What all of them delivered, in turn."""
        lines = [line for one in self.controllers for line in one.lines("delivered")]
        return [line["bundle_version"] for line in lines]

    def until(self, claim: Callable[[], bool], what: str, timeout_s: float = PATIENCE_S) -> None:
        """Wait for what comes about as long as one runs; the API server may be away."""

        def holds() -> bool:
            self.kept()
            with contextlib.suppress(KubectlError):
                return claim()
            return False

        self.kept().until(holds, what, timeout_s)

    def end(self) -> None:
        """End the one that runs."""
        if self.controllers[-1].process.poll() is None:
            self.controllers[-1].end(signal.SIGKILL)

    def _start(self) -> None:
        log = self._folder / f"log-{len(self.controllers)}"
        self.controllers.append(Controller(self._cluster.admin, log, self._flags))


@contextlib.contextmanager
def _deployed(cluster: Cluster, folder: Path, *flags: str) -> Iterator[Deployment]:
    deployment = Deployment(cluster, folder, *flags)
    try:
        yield deployment
    finally:
        deployment.end()


def _held(redis: Server) -> int:
    """The version of the bundle in Redis."""
    found = redis.tell("HGET", "m7b:{shop}:bundle", "v")
    return int(found) if isinstance(found, bytes) else 0


def _forbid_watching_grants(cluster: Cluster) -> None:
    role = cluster.kubectl.json("get", "clusterrole", "mesh7-controller")
    (rule,) = [one for one in role["rules"] if "grants" in one["resources"]]
    rule["resources"].remove("grants")
    role["rules"].append({**rule, "resources": ["grants"], "verbs": ["list"]})
    cluster.kubectl("replace", "-f", "-", stdin=json.dumps(role))

    def is_forbidden() -> bool:
        asked = ("auth", "can-i", "watch", f"grants.{names.GROUP}", "-A", "--as", ACCOUNT)
        try:
            cluster.kubectl(*asked)
        except KubectlError:
            return True
        return False

    until(is_forbidden, "the right is gone", timeout_s=controllers.PATIENCE_S)


def test_a_controller_that_may_not_watch_ends_with_the_servers_words(
    server: ApiServer, tmp_path: Path
) -> None:
    """Found in review: it ran on, looked well, and never heard of a veto."""
    kubeconfig = installed.account(server.cluster, "mesh7-controller", tmp_path)
    _forbid_watching_grants(server.cluster)
    controller = Controller(kubeconfig, tmp_path / "log")
    try:
        assert controller.process.wait(controllers.PATIENCE_S) == 1
    finally:
        controller.process.kill()
    last = controller.lines()[-1]
    assert last["message"] == "stopped"
    assert last["error"].startswith("watch Grant: ")
    assert f'User "{ACCOUNT}" cannot watch resource "grants"' in last["error"]
    assert Delivered(server.cluster, "shop").object() is None


@pytest.mark.promise("K9")
def test_after_an_etcd_restore_the_restored_objects_come_under_higher_versions(
    server: ApiServer, redis: Server, tmp_path: Path
) -> None:
    """Found in review: watches went on from versions yet to come, and told nothing more."""
    cluster = server.cluster
    flag = f"--redis=redis://127.0.0.1:{redis.port}"
    with _deployed(cluster, tmp_path, flag) as deployment:
        deployment.kept().await_line("delivered")
        delivered = Delivered(cluster, "shop")
        deployment.until(lambda: delivered.policies() == {"shop/first"}, "it is delivered")
        server.save(tmp_path / "backup")
        # Versions go on far enough that the restored server does not catch up with them.
        cluster.apply("\n---\n".join(_plain_map(number) for number in range(80)))
        cluster.apply(controllers.policy("shop", "second"))
        cluster.kubectl("delete", "agentpolicy", "first", "-n", "shop")
        deployment.until(lambda: delivered.policies() == {"shop/second"}, "it is delivered")
        deployment.until(lambda: _held(redis) == delivered.version(), "and in Redis")
        before = delivered.version()
        server.restore(tmp_path / "backup")
        deployment.until(
            lambda: delivered.policies() == {"shop/first"} and delivered.version() > before,
            "the restored policy under a higher version",
        )
        cluster.apply(controllers.policy("shop", "third"))
        wanted = {"shop/first", "shop/third"}
        deployment.until(lambda: delivered.policies() == wanted, "what comes later is noticed")
        deployment.until(lambda: _held(redis) == delivered.version(), "and in Redis")
        ended = [one for one in deployment.controllers if one.process.poll() is not None]
        assert all("starting anew" in one.lines()[-1]["error"] for one in ended)
        versions = deployment.versions()
        assert versions == sorted(set(versions))


def _plain_map(number: int) -> str:
    return yaml.safe_dump(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"plain-{number}"}}
    )


def _forbid_config_maps(cluster: Cluster) -> None:
    """A quota as its controller would set it."""
    hard = {"count/configmaps": "0"}
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none", "namespace": "shop"},
        "spec": {"hard": hard},
        "status": {"hard": hard, "used": hard},
    }
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(quota))
    cluster.kubectl("replace", "--subresource=status", "-f", "-", stdin=json.dumps(quota))

    def is_refused() -> bool:
        try:
            cluster.kubectl("create", "configmap", "one", "-n", "shop", "--dry-run=server")
        except KubectlError as error:
            return "exceeded quota" in error.stderr
        return False

    until(is_refused, "the quota is in force", timeout_s=controllers.PATIENCE_S)


@pytest.mark.promise("K9")
def test_a_config_map_that_cannot_be_written_makes_no_storm(
    server: ApiServer, redis: Server, tmp_path: Path
) -> None:
    """Found in review: each failed try published a version, and marked the namespace anew."""
    cluster = server.cluster
    flag = f"--redis=redis://127.0.0.1:{redis.port}"
    with controllers.controlling(cluster, tmp_path / "log", [flag]) as controller:
        controller.await_line("delivered")
        delivered = Delivered(cluster, "shop")
        controller.until(lambda: 0 < delivered.version() == _held(redis), "it is delivered")
        _forbid_config_maps(cluster)
        before = delivered.version()
        cluster.kubectl("delete", "configmap", names.BUNDLE_CONFIG_MAP, "-n", "shop")
        controller.await_line("not converged")
        versions: set[int] = set()
        end_s = time.monotonic() + STORM_S

        def is_over() -> bool:
            versions.add(_held(redis))
            return time.monotonic() > end_s

        until(is_over, "the time is over", timeout_s=STORM_S + 5)
        tries = controller.lines("not converged")
        assert delivered.object() is None
        assert "exceeded quota" in tries[-1]["errors"][0]
        assert len(tries) <= HANDFUL
        assert len(versions) <= HANDFUL
        cluster.kubectl("delete", "resourcequota", "none", "-n", "shop")
        # The namespace's own backing off may have come to half a minute.
        controller.until(
            lambda: before <= delivered.version() == _held(redis), "all is well", PATIENCE_S
        )
        assert delivered.policies() == {"shop/first"}


class _Changes:
    """One change after the other, each until the API server takes it."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._go_on)
        self.made = 0
        self.wanted: set[str] = {"shop/first"}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def _go_on(self) -> None:
        for number in itertools.count():
            if self._ending.is_set():
                return
            self._until_taken(self._cluster.apply, controllers.policy("shop", f"p{number}"))
            self.wanted.add(f"shop/p{number}")
            if number % 3 == 2:
                gone = ("delete", "agentpolicy", "-n", "shop", "--ignore-not-found")
                self._until_taken(self._cluster.kubectl, *gone, f"p{number - 1}")
                self.wanted.discard(f"shop/p{number - 1}")
            self.made += 1

    def _until_taken(self, do: Callable[..., str], *arguments: str) -> None:
        def is_taken() -> bool:
            try:
                do(*arguments)
            except KubectlError:
                return False
            return True

        until(is_taken, "a change is taken", timeout_s=PATIENCE_S)


@pytest.mark.promise("K8")
def test_changes_go_on_while_the_api_server_is_restarted_and_none_is_lost(
    server: ApiServer, tmp_path: Path
) -> None:
    """Issue 5: API server restarted under load."""
    cluster = server.cluster
    with _deployed(cluster, tmp_path) as deployment:
        deployment.kept().await_line("delivered")
        delivered = Delivered(cluster, "shop")
        deployment.until(lambda: delivered.version() > 0, "it is delivered")
        with _Changes(cluster) as changes:
            for end in (server.stop, server.kill):
                made = changes.made
                deployment.until(lambda: changes.made > made + 5, "changes are made")  # noqa: B023
                end()
                server.start()
            made = changes.made
            deployment.until(lambda: changes.made > made + 5, "changes are made")
        seen: list[int] = []

        def is_all_there() -> bool:
            seen.append(delivered.version())
            return delivered.policies() == changes.wanted

        deployment.until(is_all_there, "all changes are delivered, and nothing else")
        versions = deployment.versions()
        assert versions == sorted(set(versions))
        assert seen == sorted(seen)
