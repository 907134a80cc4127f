"""The end of an installation: ours goes, what is others' stays, and what fails is named."""

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

import pytest

from mesh7_core import errors, names
from mesh7_operator import metrics, settings
from mesh7_operator.clock import Clock
from mesh7_operator.cluster import resources, shapes
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.cluster.resources import Resource
from mesh7_operator.sweeping import program
from mesh7_operator.sweeping.holding import Hold
from tests.fakes import api_server as fakes

RELEASE = names.RELEASE_NAMESPACE
LEASE = settings.DEFAULT_LEASE
CLOCK = Clock(wall_ns=lambda: 1_795_258_936_000_000_000, monotonic_s=lambda: 100.0)
_PLACE = ("namespace", "name")
OURS = {"app.kubernetes.io/managed-by": names.FIELD_MANAGER}
ALL = (
    resources.CONFIG_MAPS,
    resources.NETWORK_POLICIES,
    resources.SECRETS,
    resources.LEASES,
    resources.APPROVAL_REQUESTS,
    resources.AUDIT_QUERIES,
    *resources.WEBHOOKS,
)


class _Parts:
    def __init__(self, server: fakes.ApiServer, api: ApiServer) -> None:
        self.server = server
        self.api = api
        self.told: list[Mapping[str, object]] = []

    async def sweep(self, *, is_real: bool = True, keeps_keys: bool = False) -> None:
        """As the command does it; a leader that gives way is not waited for."""
        chosen = settings.Sweep(
            cluster=settings.Cluster(), identity="sweep-1", is_real=is_real, keeps_keys=keeps_keys
        )
        hold = Hold(self.api, RELEASE, LEASE, identity="sweep-1", clock=CLOCK, deadline_s=0.0)
        await program.sweep(self.api, chosen, hold, self.told.append)

    def put(self, resource: Resource, name: str, namespace: str = "", **rest: Any) -> None:
        """An object; ours where its labels do not say otherwise."""
        metadata = {"name": name, "labels": OURS, **rest.pop("metadata", {})}
        if namespace:
            metadata["namespace"] = namespace
        self.server.put(resource, {"metadata": metadata, **rest})

    async def left(self) -> list[str]:
        """All that is there but Namespaces."""
        return [
            "/".join(filter(None, (shapes.text(one, "metadata", key) for key in _PLACE)))
            for resource in ALL
            async for one in self.api.list(resource)
        ]

    def lines(self) -> list[str]:
        """What was told, without reasons."""
        keys = ("did", "kind", "namespace", "name")
        return [" ".join(str(one[key]) for key in keys if one.get(key)) for one in self.told]


@pytest.fixture
async def parts() -> AsyncIterator[_Parts]:
    measured = metrics.ApiMetrics(metrics.registry())
    async with fakes.serving() as server, ApiServer(server.connection, measured) as api:
        found = _Parts(server, api)
        for namespace in (RELEASE, "shop"):
            ours = {
                names.BUNDLE_FLOOR_ANNOTATION: "7",
                names.TRUST_KEYS_ANNOTATION: "a b",
                names.AUTHORITIES_ANNOTATION: "PEM",
            }
            annotations = {**ours, "owner": "jane"} if namespace == "shop" else {}
            metadata = {"annotations": annotations, "labels": {}}
            found.put(resources.NAMESPACES, namespace, metadata=metadata)
        for resource in resources.WEBHOOKS:
            found.put(resource, "mesh7")
        found.put(resources.CONFIG_MAPS, "mesh7-bundle", "shop")
        found.put(resources.NETWORK_POLICIES, "mesh7-guarded", "shop")
        for name in ("mesh7-signing-keys", "mesh7-stamp-key", "mesh7-authority"):
            found.put(resources.SECRETS, name, RELEASE)
        found.put(resources.CONFIG_MAPS, "mesh7-trust", RELEASE)
        found.put(resources.CONFIG_MAPS, "mesh7-stamp-public", RELEASE, data={"a": "b"})
        found.put(resources.APPROVAL_REQUESTS, f"r-{'0' * 26}", "shop")
        found.put(resources.AUDIT_QUERIES, "audit-bcdfg", "shop")
        found.put(resources.CONFIG_MAPS, "mine", "shop")
        found.put(resources.NETWORK_POLICIES, "mine", "shop")
        found.put(resources.SECRETS, "mesh7-tool-credentials", "shop")
        yield found


@pytest.mark.promise("K11")
async def test_everything_of_ours_goes_and_nothing_else(parts: _Parts) -> None:
    """Issue 6: uninstall leaves nothing."""
    await parts.sweep()
    assert await parts.left() == [
        f"{RELEASE}/mesh7-stamp-public", "shop/mine", "shop/mine", "shop/mesh7-tool-credentials"
    ]  # fmt: skip
    stamps = await parts.api.get(resources.CONFIG_MAPS, RELEASE, "mesh7-stamp-public")
    assert not stamps.get("data")
    shop = await parts.api.get(resources.NAMESPACES, "", "shop")
    assert shop["metadata"]["annotations"] == {"owner": "jane"}  # type: ignore[index]


async def test_webhooks_go_before_anything_else(parts: _Parts) -> None:
    """Else nothing could be stored once the injector is gone."""
    await parts.sweep()
    assert parts.lines()[:3] == [
        "removed MutatingWebhookConfiguration mesh7",
        "removed ValidatingWebhookConfiguration mesh7",
        f"held Lease {RELEASE} {LEASE}",
    ]


async def test_without_yes_it_only_lists(parts: _Parts) -> None:
    before = await parts.left()
    await parts.sweep(is_real=False)
    assert await parts.left() == before
    assert parts.lines()[-1] == "removed nothing: say --yes"
    assert f"would remove Secret {RELEASE} mesh7-authority" in parts.lines()
    assert not any(method != "GET" for method, _ in parts.server.asked)


async def test_sweeping_again_finds_nothing(parts: _Parts) -> None:
    await parts.sweep()
    parts.told.clear()
    await parts.sweep()
    assert parts.lines() == [f"held Lease {RELEASE} {LEASE}", f"removed Lease {RELEASE} {LEASE}"]


async def test_keys_stay_for_a_new_release(parts: _Parts) -> None:
    """With the keys also what Namespaces say: an old bundle would be believed again."""
    await parts.sweep(keeps_keys=True)
    left = await parts.left()
    for name in ("mesh7-signing-keys", "mesh7-stamp-key", "mesh7-trust"):
        assert f"{RELEASE}/{name}" in left
    assert f"{RELEASE}/mesh7-authority" not in left
    shop = await parts.api.get(resources.NAMESPACES, "", "shop")
    kept = {
        names.BUNDLE_FLOOR_ANNOTATION,
        names.TRUST_KEYS_ANNOTATION,
        names.AUTHORITIES_ANNOTATION,
    }
    assert kept < set(shop["metadata"]["annotations"])  # type: ignore[index]


async def test_what_an_administrator_made_stays(parts: _Parts) -> None:
    """Certificates of one's own, a Redis password of one's own."""
    name = "mesh7-exchange-certificate"
    parts.put(resources.SECRETS, name, RELEASE, metadata={"labels": {"team": "platform"}})
    await parts.sweep()
    assert f"{RELEASE}/{name}" in await parts.left()
    (line,) = [one for one in parts.told if one.get("name") == name]
    assert (line["did"], line["why"]) == ("kept", "somebody else made it")


async def test_what_fails_is_named_and_the_rest_goes_on(parts: _Parts) -> None:
    parts.server.troubles = [(403, {})]
    parts.server.troubled_path = "/configmaps/mesh7-bundle"
    with pytest.raises(errors.ClusterError, match="not swept: 1, "):
        await parts.sweep()
    (failed,) = [one for one in parts.told if one["did"] == "failed"]
    assert failed == {
        "did": "failed", "kind": "ConfigMap", "namespace": "shop", "name": "mesh7-bundle",
        "why": "delete ConfigMap `shop/mesh7-bundle`: in trouble",
    }  # fmt: skip
    assert "shop/mesh7-guarded" not in await parts.left()


async def test_a_kind_that_may_not_be_listed_is_named_too(parts: _Parts) -> None:
    parts.server.troubles = [(403, {})]
    parts.server.troubled_path = "/api/v1/namespaces"
    with pytest.raises(errors.ClusterError, match="not swept: 1, "):
        await parts.sweep()
    assert {"did": "failed", "why": "list Namespace: in trouble"} in parts.told


def _lease(holder: str) -> dict[str, object]:
    return {"spec": {"holderIdentity": holder, "leaseDurationSeconds": 15}}


async def _spec(parts: _Parts) -> Mapping[str, object]:
    found = await parts.api.get(resources.LEASES, RELEASE, LEASE)
    spec = found["spec"]
    assert isinstance(spec, dict)
    return spec


async def test_a_leader_that_nobody_can_stop_waits_for_an_hour(parts: _Parts) -> None:
    """It would make everything anew as soon as it leads again."""
    parts.put(resources.LEASES, LEASE, RELEASE, **_lease("somebody"))
    await parts.sweep()
    spec = await _spec(parts)
    held = timedelta(hours=1).total_seconds()
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"]) == ("sweep-1", held)
    assert parts.lines()[-1] == f"kept for an hour Lease {RELEASE} {LEASE}"


async def test_the_controllers_deployment_is_scaled_to_nothing(parts: _Parts) -> None:
    """Then nobody is left who could lead, and the Lease goes."""
    parts.put(resources.LEASES, LEASE, RELEASE, **_lease("somebody"))
    parts.put(resources.DEPLOYMENTS, "mesh7-controller", RELEASE, spec={"replicas": 2})
    await parts.sweep()
    found = await parts.api.get(resources.DEPLOYMENTS, RELEASE, "mesh7-controller")
    assert found["spec"] == {"replicas": 0}
    assert parts.lines()[-1] == f"removed Lease {RELEASE} {LEASE}"


async def test_one_sweep_does_not_wait_for_the_one_before_it(parts: _Parts) -> None:
    parts.put(resources.LEASES, LEASE, RELEASE, **_lease("sweep-0"))
    await parts.sweep()
    assert parts.lines()[-1] == f"removed Lease {RELEASE} {LEASE}"
