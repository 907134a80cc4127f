"""What others would put into our containers, if nothing stood there: a token, another address."""

from dataclasses import replace
from typing import Any

from mesh7_core.injection import shapes
from mesh7_core.injection.inject import inject
from tests.core.injection import goldens, parts

_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a folder


def _ours(pod: object) -> list[Any]:
    found = shapes.entries(pod, "spec", "initContainers")
    return [one for one in found if one["name"] in {"mesh7", "mesh7-enforce"}]


def _address(api_server: str) -> str | None:
    cluster = replace(parts.CLUSTER, api_server=api_server)
    pod = parts.guarded(inject(parts.pod(), parts.namespace(), parts.RELEASE, cluster))
    (sidecar,) = _ours(pod)
    told = {one["name"]: one.get("value") for one in sidecar["env"]}
    return told.get("KUBERNETES_SERVICE_HOST")


def test_a_sidecar_is_told_who_vouches_for_the_collector_and_mounts_nothing_for_it() -> None:
    """docs/administrator/telemetry.md: no ConfigMap of a tenant's namespace has a say in it."""
    pem = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----"
    release = replace(parts.RELEASE, collector_authorities=pem)
    made = []
    for settings in (parts.RELEASE, release):
        pod = parts.guarded(inject(parts.pod(), parts.namespace(), settings, parts.CLUSTER))
        made.append(_ours(pod)[0])
    before, after = made

    assert after["env"] == [*before["env"], {"name": "MESH7_COLLECTOR_AUTHORITIES", "value": pem}]
    assert after["volumeMounts"] == before["volumeMounts"]


def test_the_api_server_finds_no_place_for_its_token_in_our_containers() -> None:
    """docs/reference/injection.md; it mounts one where nothing is mounted, after webhooks too."""
    pod = parts.guarded(goldens.case("enforced").outcome())
    enforcer, sidecar = _ours(pod)
    expected = {"name": "mesh7-podinfo", "mountPath": _TOKEN, "readOnly": True}
    for container in (enforcer, sidecar):
        assert [one for one in container["volumeMounts"] if one["mountPath"] == _TOKEN] == [
            expected
        ]


def test_a_tenants_service_named_kubernetes_does_not_move_the_ban_on_the_api_server() -> None:
    """The kubelet would tell its address; docs/reference/pod-environment.md."""
    assert _address("10.96.0.1") == "10.96.0.1"


def test_an_api_server_that_is_not_known_is_left_to_the_kubelet() -> None:
    assert _address("") is None
