"""The end of an installation on a real API server, with the Job's rights, though somebody leads."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from e2e.api import controllers, installed
from e2e.api.controllers import Controller, Delivered
from e2e.cluster import api_server as api_servers
from e2e.cluster.api_server import Settings
from e2e.cluster.clusters import Cluster
from e2e.cluster.fixtures import need
from mesh7_core import names

RELEASE = controllers.RELEASE
KINDS = (
    "configmaps",
    "networkpolicies",
    "mutatingwebhookconfigurations",
    "validatingwebhookconfigurations",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class There:
    """A cluster with our manifests, and kubeconfigs of our accounts."""

    cluster: Cluster
    folder: Path

    def controller(self, log: str) -> Controller:
        """A controller, with its own rights."""
        kubeconfig = installed.account(self.cluster, "mesh7-controller", self.folder)
        return Controller(kubeconfig, self.folder / log)

    def sweep(self, *flags: str, account: str = "mesh7-sweep") -> tuple[int, list[dict[str, Any]]]:
        """`mesh7-operator sweep` with the rights of the Job: its status, and what it told."""
        kubeconfig = installed.account(self.cluster, account, self.folder)
        done = subprocess.run(
            [*installed.PROGRAM, "sweep", f"--kubeconfig={kubeconfig}", "--output=json", *flags],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]

    def ours(self) -> set[str]:
        """What is there of our programs' making."""
        listed = [
            line
            for kind in KINDS
            for line in self.cluster.kubectl(
                "get", kind, "-A", "--no-headers", "--ignore-not-found",
                "-o=custom-columns=N:.metadata.name",
            ).split()
        ]  # fmt: skip
        secrets = self.cluster.kubectl("get", "secrets", "-n", RELEASE, "-o=name").split()
        wanted = {names.BUNDLE_CONFIG_MAP, names.NETWORK_POLICY, names.WEBHOOKS}
        return (wanted & set(listed)) | set(secrets)

    def floors(self) -> set[str]:
        """Namespaces with floors."""
        return {
            one["metadata"]["name"]
            for one in self.cluster.kubectl.json("get", "namespaces")["items"]
            if names.BUNDLE_FLOOR_ANNOTATION in one["metadata"].get("annotations", {})
        }


@pytest.fixture
def there(tmp_path: Path) -> Iterator[There]:
    need("api")
    with api_servers.raised("sweep", Settings()) as server:
        installed.install(server.cluster)
        server.cluster.apply(installed.admission(kinds=installed.POLICIES))
        server.cluster.apply(
            installed.admission(kinds=installed.WEBHOOKS, url="https://127.0.0.1:1")
        )
        yield There(cluster=server.cluster, folder=tmp_path)


def _served(there: There, controller: Controller) -> str:
    """A guarded namespace with all that the controller makes."""
    labels = {names.INJECTION_LABEL: "enabled", names.ENFORCEMENT: "Guarded"}
    shop = there.cluster.new_namespace("shop", labels)
    delivered = Delivered(there.cluster, shop)
    controller.until(lambda: delivered.version() > 0, "it is delivered")
    controller.until(lambda: names.NETWORK_POLICY in there.ours(), "it is walled")
    controller.until(lambda: shop in there.floors(), "its floors are noted")
    return shop


@pytest.mark.promise("K11")
def test_nothing_is_left_though_a_controller_runs(there: There) -> None:
    """Issue 6: `mesh7-operator sweep` removes all that the programs made, with the Job's rights."""
    controller = there.controller("log")
    controller.await_line("everything is listed")
    _served(there, controller)
    assert "secret/mesh7-signing-keys" in there.ours()
    status, told = there.sweep("--yes")
    assert (status, [one for one in told if one["did"] == "failed"]) == (0, [])
    # Webhooks first, so that nothing is refused for want of an injector.
    assert [one["did"] + " " + one["name"] for one in told[:3]] == [
        "removed mesh7", "removed mesh7", "held mesh7-controller",
    ]  # fmt: skip
    assert (there.ours(), there.floors()) == (set(), set())
    # It gave way by itself; another one that starts waits.
    assert controller.process.wait(controllers.PATIENCE_S) == 1
    other = there.controller("other")
    other.await_line("probes and metrics are served")
    status, told = there.sweep("--yes")
    assert (status, told[-1]["did"], told[-1]["name"]) == (0, "removed", "mesh7-controller")
    other.end()


def test_without_yes_nothing_is_removed_and_all_of_it_is_named(there: There) -> None:
    controller = there.controller("log")
    controller.await_line("everything is listed")
    shop = _served(there, controller)
    before = there.ours()
    status, told = there.sweep()
    assert (status, there.ours(), there.floors()) == (0, before, {shop})
    assert {"did": "would remove", "kind": "ConfigMap", "namespace": shop,
            "name": names.BUNDLE_CONFIG_MAP} in told  # fmt: skip
    assert controller.process.poll() is None
    controller.end()


def test_whoever_may_not_is_told_what_is_left(there: There) -> None:
    """Missing rights: a clear list, and status 1."""
    status, told = there.sweep("--yes", account="mesh7-injector")
    assert status == 1
    assert {one["did"] for one in told} == {"failed"}
    assert any("cannot list resource" in one["why"] for one in told)
