"""What others do to a pod between two calls of one admission, and after a copy of a guarded pod."""

import copy
from dataclasses import replace
from typing import Any

import pytest

from mesh7_core import names
from mesh7_core.injection import shapes
from mesh7_core.injection.inject import Cluster, Source, inject
from mesh7_core.injection.outcomes import Level, Outcome
from tests.core.injection import parts


def _injected(pod: object, cluster: Cluster = parts.CLUSTER) -> Outcome:
    return inject(shapes.mapping(pod), parts.namespace(), parts.RELEASE, cluster)


def _changed(pod: object) -> dict[str, Any]:
    """A copy of what came out, to be changed as another injector would."""
    found = copy.deepcopy(pod)
    assert isinstance(found, dict)
    return found


def _names(pod: object, field: str) -> list[str]:
    return [shapes.text(one, "name") for one in shapes.entries(pod, "spec", field)]


@pytest.mark.promise("K5")
def test_containers_that_came_after_us_are_pointed_at_the_sidecar_too() -> None:
    """reference: reinvocationPolicy IfNeeded calls twice for one create."""
    between = _changed(parts.guarded(_injected(parts.pod())))
    between["spec"]["containers"].append({"name": "late", "image": "registry.example/late:1"})
    between["spec"]["initContainers"].insert(0, {"name": "early", "image": "e:1"})

    after = parts.guarded(_injected(between))

    assert _names(after, "initContainers") == ["mesh7", "early"]
    for field, index in (("containers", 1), ("initContainers", 1)):
        late = shapes.entries(after, "spec", field)[index]
        variables = [one["name"] for one in shapes.entries(late, "env")]
        assert variables == ["MESH7_URL", "MESH7_HTTP_BILLING_URL", "MESH7_MCP_GIT_HUB_URL"]


def test_what_the_api_server_put_into_the_sidecar_goes_again_but_for_a_limit_of_cpu() -> None:
    """A LimitRange with a maximum refuses what has none; an API token has no business there."""
    before = parts.guarded(_injected(parts.pod()))
    between = _changed(before)
    sidecar = between["spec"]["initContainers"][0]
    sidecar["resources"]["limits"]["cpu"] = "500m"
    sidecar["volumeMounts"].append({"name": "kube-api-access-x", "mountPath": "/token"})
    sidecar["env"].append({"name": "MESH7_TRUST_KEY", "value": "another"})

    after = parts.guarded(_injected(between))

    expected = _changed(before)
    expected["spec"]["initContainers"][0]["resources"]["limits"]["cpu"] = "500m"
    assert after == expected


@pytest.mark.parametrize("limit", ["49m", "0", "-1", "", "1e3", "9999999", 5, None, {}])
def test_a_limit_of_cpu_that_could_not_be_is_not_kept(limit: object) -> None:
    before = parts.guarded(_injected(parts.pod()))
    between = _changed(before)
    between["spec"]["initContainers"][0]["resources"]["limits"]["cpu"] = limit

    assert parts.guarded(_injected(between)) == before


def test_a_copy_of_a_guarded_pod_gets_what_is_new() -> None:
    copied = parts.guarded(_injected(parts.pod()))
    sources = (*parts.CLUSTER.sources, Source(name="new", kind="mcp"))

    after = parts.guarded(
        _injected(copied, replace(parts.CLUSTER, sources=sources, trust_key="bmV3"))
    )

    sidecar = shapes.entries(after, "spec", "initContainers")[0]
    assert {"name": "MESH7_TRUST_KEY", "value": "bmV3"} in shapes.entries(sidecar, "env")
    agent = shapes.entries(after, "spec", "containers")[0]
    assert {
        "name": "MESH7_MCP_NEW_URL",
        "value": "http://127.0.0.1:7007/mcp/new",
    } in shapes.entries(agent, "env")


@pytest.mark.promise("K13")
def test_a_copy_of_an_enforced_pod_is_what_its_new_namespace_asks() -> None:
    """Neither container nor level may be left of what it was."""
    secure = {
        "runAsUser": 1000,
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    pod = parts.pod({**parts.AGENT, "securityContext": secure})
    enforced = parts.guarded(
        inject(pod, parts.namespace(level=Level.ENFORCED), parts.RELEASE, parts.CLUSTER)
    )
    assert _names(enforced, "initContainers") == ["mesh7-enforce", "mesh7"]

    copied = parts.guarded(_injected(enforced))

    assert _names(copied, "initContainers") == ["mesh7"]
    assert shapes.text(copied, "metadata", "annotations", names.ENFORCEMENT) == "Cooperative"


def test_a_release_without_exchange_takes_the_token_away() -> None:
    copied = parts.guarded(_injected(parts.pod()))
    release = replace(parts.RELEASE, exchange=None)

    after = parts.guarded(inject(copied, parts.namespace(), release, parts.CLUSTER))

    assert "mesh7-token" not in _names(after, "volumes")
    assert "mesh7.dev/token" not in str(after)


def test_the_pod_that_came_is_not_changed() -> None:
    pod = parts.pod(volumes=[{"name": "mine", "emptyDir": {}}])
    before = copy.deepcopy(pod)

    _injected(pod)

    assert pod == before
