"""Pods that slipped through, on a real API server: seen within a round, with the chart's rights."""

from pathlib import Path

import pytest

from e2e.api import controllers, installed
from e2e.api.controllers import Controller
from e2e.cluster import api_server as api_servers
from e2e.cluster.api_server import Settings
from e2e.cluster.clusters import Cluster
from e2e.cluster.fixtures import need
from mesh7_core import names

ROUND_S = 2


def _pod(namespace: str, name: str, init: str = "[]") -> str:
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: {namespace}, labels: {{{names.INJECTED_LABEL}: "true"}}}}
spec:
  initContainers: {init}
  containers: [{{name: agent, image: "registry.example/agent:1"}}]
"""


def _events(cluster: Cluster, namespace: str) -> list[tuple[str, str]]:
    found = cluster.kubectl.json(
        "get", "events", "-n", namespace, "--field-selector", "reason=Unguarded"
    )
    return [(one["involvedObject"]["name"], one["type"]) for one in found["items"]]


@pytest.mark.promise("K13")
def test_a_pod_that_is_older_than_the_enrolment_is_named(tmp_path: Path) -> None:
    """Issue 6: the controller's audit loop for pods that slipped through before enrolment."""
    need("api")
    with api_servers.raised("auditing", Settings()) as server:
        cluster = server.cluster
        installed.install(cluster)
        shop = cluster.new_namespace("shop")
        # A label of ours makes no guarded pod.
        cluster.apply(_pod(shop, "old"))
        sidecar = '[{name: mesh7, image: "registry.example/sidecar:1", restartPolicy: Always}]'
        cluster.apply(_pod(shop, "guarded", sidecar))
        kubeconfig = installed.account(cluster, "mesh7-controller", tmp_path)
        flags = [f"--audit-interval={ROUND_S}", "--sidecar-image=registry.example/sidecar:2"]
        controller = Controller(kubeconfig, tmp_path / "log", flags)
        try:
            controller.await_line("everything is listed")
            cluster.kubectl("label", "namespace", shop, f"{names.INJECTION_LABEL}=enabled")
            controller.until(lambda: bool(_events(cluster, shop)), "it is told", 5 * ROUND_S)
            line = controller.await_line("unguarded pods")
            assert (line["namespace"], line["count"], line["pods"]) == (shop, 1, ["old"])
            assert _counted(controller, shop) == {
                "guarded_pods": 1, "unguarded_pods": 1, "outdated_pods": 1, "unready_sidecars": 0,
            }  # fmt: skip
            cluster.kubectl("delete", "pod", "old", "-n", shop, "--force", "--grace-period=0")
            controller.until(
                lambda: _counted(controller, shop)["unguarded_pods"] == 0, "it is gone"
            )
            # Once a pod, however many rounds saw it.
            assert _events(cluster, shop) == [("old", "Warning")]
        finally:
            controller.process.kill()
            controller.process.wait(controllers.PATIENCE_S)


def _counted(controller: Controller, namespace: str) -> dict[str, float]:
    found = controller.metrics()
    kinds = ("guarded_pods", "unguarded_pods", "outdated_pods", "unready_sidecars")
    return {one: found[f'mesh7_{one}{{namespace="{namespace}"}}'] for one in kinds}
