"""The golden pods (tests/golden/injection) as a real API server has them."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.cluster.clusters import Cluster
from mesh7_core.injection import patches
from mesh7_core.injection.inject import inject
from mesh7_core.injection.outcomes import Injected
from tests.core.injection import goldens

INJECTED = [name for name in goldens.CASES if goldens.committed(name)[0] == "out.yaml"]
_NOT_AT_CREATE = {"ephemeral"}
"""The API server takes ephemeral containers by their own subresource alone."""


@pytest.fixture(scope="module")
def anywhere(cluster: Cluster) -> str:
    """A namespace with the account that a golden pod names."""
    namespace = cluster.new_namespace("golden")
    for account in ("agent", "nightly", "default"):
        cluster.kubectl("apply", "-f", "-", "-n", namespace, stdin=yaml.safe_dump({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account},
        }))  # fmt: skip
    return namespace


def _stored(cluster: Cluster, namespace: str, pod: dict[str, Any]) -> dict[str, Any]:
    """The pod with all that the API server fills in; it is not kept."""
    document = {"apiVersion": "v1", "kind": "Pod", **pod}
    return cluster.kubectl.json(
        "create", "--dry-run=server", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(document)
    )


@pytest.mark.promise("K5")
@pytest.mark.parametrize("name", [name for name in INJECTED if name not in _NOT_AT_CREATE])
def test_what_comes_out_is_a_pod_and_a_second_call_leaves_it(
    cluster: Cluster, anywhere: str, name: str
) -> None:
    """With `reinvocationPolicy: IfNeeded` the injector sees what it wrote, filled in."""
    case = goldens.case(name)
    out = yaml.safe_load((Path(goldens.FOLDER) / name / "out.yaml").read_text("utf-8"))

    stored = _stored(cluster, anywhere, out)

    again = inject(stored, case.namespace, case.settings, case.cluster)
    assert isinstance(again, Injected)
    assert patches.difference(stored, again.pod) == ()
