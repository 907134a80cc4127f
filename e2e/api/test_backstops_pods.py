"""No pod without its sidecar, none with a false one, whoever asks: admission policies alone."""

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from e2e.api import backstops, controllers
from e2e.api.backstops import Ground, Object, refusal
from e2e.cluster.waiting import until
from mesh7_core import names
from mesh7_core.injection import settings

pytestmark = pytest.mark.promise("K15")
ROLES = ("edit", "admin")
Forge = Callable[[Object], object]
"""Changes a guarded pod in place."""


def _sidecar(**fields: object) -> Forge:
    return lambda pod: backstops.sidecar(pod).update(fields)


def _secure(**fields: object) -> Forge:
    return lambda pod: backstops.sidecar(pod)["securityContext"].update(fields)


def _variable(name: str, **entry: object) -> Forge:
    """One more variable, which comes last, and so counts."""
    return lambda pod: backstops.sidecar(pod)["env"].append({"name": name, **entry})


def _without_variable(name: str) -> Forge:
    def forge(pod: Object) -> None:
        sidecar = backstops.sidecar(pod)
        sidecar["env"] = [one for one in sidecar["env"] if one["name"] != name]

    return forge


def _volume(name: str, **source: object) -> Forge:
    def forge(pod: Object) -> None:
        others = [one for one in pod["spec"]["volumes"] if one["name"] != name]
        pod["spec"]["volumes"] = [*others, {"name": name, **source}]

    return forge


def _mounted(name: str, path: str, **more: object) -> Forge:
    """A volume of the tenant's own in the sidecar."""

    def forge(pod: Object) -> None:
        pod["spec"]["volumes"].append({"name": name, "configMap": {"name": "mine"}})
        mount = {"name": name, "mountPath": path, **more}
        backstops.sidecar(pod)["volumeMounts"].append(mount)

    return forge


def _moved(path: str) -> Forge:
    return lambda pod: backstops.sidecar(pod)["volumeMounts"][0].update(mountPath=path)


def _with_the_accounts_token(pod: Object) -> None:
    """The API server mounts it where nothing is mounted."""
    sidecar = backstops.sidecar(pod)
    sidecar["volumeMounts"] = [
        one for one in sidecar["volumeMounts"] if "kubernetes.io" not in one["mountPath"]
    ]


def _with_an_account_of_ones_own(pod: Object) -> None:
    _with_the_accounts_token(pod)
    _mounted("mine", "/var/run/secrets/kubernetes.io/serviceaccount")(pod)


def _spec(**fields: object) -> Forge:
    return lambda pod: pod["spec"].update(fields)


def _as_usual_container(pod: Object) -> None:
    sidecar = backstops.sidecar(pod)
    pod["spec"]["initContainers"] = []
    del sidecar["restartPolicy"]
    pod["spec"]["containers"].append(sidecar)


def _ends(pod: Object) -> None:
    """A usual init container, over before the agent starts."""
    sidecar = backstops.sidecar(pod)
    for field in ("restartPolicy", "startupProbe", "readinessProbe", "livenessProbe"):
        del sidecar[field]


def _label(value: str | None) -> Forge:
    def forge(pod: Object) -> None:
        pod["metadata"]["labels"] = {} if value is None else {names.INJECTED_LABEL: value}

    return forge


def _level(value: str) -> Forge:
    return lambda pod: pod["metadata"]["annotations"].update({names.ENFORCEMENT: value})


_EXEC = {"exec": {"command": ["cat", "/var/run/secrets/mesh7/token"]}}
FORGERIES: dict[str, tuple[Forge, str]] = {
    "own-image": (_sidecar(image="mine:1"), "is a native sidecar"),
    "image-of-another-tag": (_sidecar(image="mesh7-sidecar:0.0.9"), "is a native sidecar"),
    "ends-after-the-start": (_ends, "is a native sidecar"),
    "own-command": (_sidecar(command=["sleep", "1d"]), "runs its image as it is"),
    "own-args": (_sidecar(args=["-c", "x"]), "runs its image as it is"),
    "python-from-the-work-folder": (_sidecar(workingDir="/mine"), "runs its image as it is"),
    "code-hidden-by-a-last-message": (
        _sidecar(terminationMessagePath="/opt/mesh7/judge.py"), "runs its image as it is",
    ),
    "port-of-the-node": (
        _sidecar(ports=[{"containerPort": 7008, "hostPort": 7008}]), "runs its image as it is",
    ),
    "lifecycle": (_sidecar(lifecycle={"postStart": _EXEC}), "runs its image as it is"),
    "startup-probe": (_sidecar(startupProbe=_EXEC), "or exec probes"),
    "readiness-probe": (_sidecar(readinessProbe=_EXEC), "or exec probes"),
    "liveness-probe": (_sidecar(livenessProbe=_EXEC), "or exec probes"),
    "env-from": (
        _sidecar(envFrom=[{"configMapRef": {"name": "mine"}}]), "runs its image as it is",
    ),
    "root": (_secure(runAsUser=0, runAsNonRoot=False), "runs as 77007:77007"),
    "agents-user": (_secure(runAsUser=1000), "runs as 77007:77007"),
    "writable-root": (_secure(readOnlyRootFilesystem=False), "runs as 77007:77007"),
    "capability": (
        _secure(capabilities={"drop": ["ALL"], "add": ["SYS_PTRACE"]}), "runs as 77007:77007",
    ),
    "python-path": (_variable("PYTHONPATH", value="/mine"), "another variable, or value"),
    "python-startup": (_variable("PYTHONSTARTUP", value="/mine"), "another variable, or value"),
    "preload": (_variable("LD_PRELOAD", value="/mine.so"), "another variable, or value"),
    "bundle-folder": (_variable("MESH7_BUNDLE_DIR", value="/mine"), "another variable, or value"),
    "exchange": (_variable("MESH7_EXCHANGE_URL", value="https://m"), "another variable, or value"),
    "own-redis": (_variable("MESH7_REDIS_URL", value="redis://m"), "another variable, or value"),
    "dials-loopback": (_variable("MESH7_DIALLED", value="127.0.0.0/8"), "another variable, or"),
    "listens-for-all": (_variable("MESH7_LISTEN", value="0.0.0.0:7007"), "another variable, or"),
    "quiet": (_variable("MESH7_AUDIT", value="off"), "another variable, or value"),
    "another-namespace": (_variable("MESH7_NAMESPACE", value="rich"), "another variable, or"),
    "another-account": (
        _variable(
            "MESH7_SERVICE_ACCOUNT",
            valueFrom={"fieldRef": {"fieldPath": "metadata.annotations['x']"}},
        ),
        "another variable, or value",
    ),
    "no-exchange": (_without_variable("MESH7_EXCHANGE_URL"), "lacks a variable"),
    "own-key": (_variable("MESH7_TRUST_KEY", value="bWluZQ=="), "trusts a key that is none of"),
    "empty-key": (_variable("MESH7_TRUST_KEY", value=""), "trusts a key that is none of"),
    "key-from-elsewhere": (
        _variable(
            "MESH7_TRUST_KEY", valueFrom={"configMapKeyRef": {"name": "mine", "key": "k"}}
        ),
        "another variable, or value|trusts a key",
    ),
    "no-key": (_without_variable("MESH7_TRUST_KEY"), "lacks a variable"),
    "code-mounted": (
        _mounted("mine", "/usr/local/lib/python3.13"), "mounts its own volumes at their places",
    ),
    "moved-mount": (_moved("/opt"), "mounts its own volumes at their places"),
    "token-of-the-account": (_with_the_accounts_token, "mounts its own volumes at their places"),
    "account-of-ones-own": (
        _with_an_account_of_ones_own, "mounts its own volumes at their places",
    ),
    "own-bundle": (
        _volume("mesh7-bundle", configMap={"name": "mine"}), "names that begin with mesh7-",
    ),
    "other-key-of-the-bundle": (
        _volume(
            "mesh7-bundle",
            configMap={"name": "mesh7-bundle", "items": [{"key": "old", "path": "bundle"}]},
        ),
        "names that begin with mesh7-",
    ),
    "kept-state": (
        _volume("mesh7-state", persistentVolumeClaim={"claimName": "mine"}),
        "names that begin with mesh7-",
    ),
    "own-labels": (
        _volume(
            "mesh7-podinfo",
            downwardAPI={
                "items": [
                    {"path": "labels", "fieldRef": {"fieldPath": "metadata.annotations['x']"}}
                ]
            },
        ),
        "names that begin with mesh7-",
    ),
    "own-credentials": (
        _volume("mesh7-credentials", configMap={"name": "mine"}), "names that begin with mesh7-",
    ),
    "host-network": (_spec(hostNetwork=True), "leave hostNetwork, hostPID"),
    "host-processes": (_spec(hostPID=True), "leave hostNetwork, hostPID"),
    "host-ipc": (_spec(hostIPC=True), "leave hostNetwork, hostPID"),
    "shared-processes": (_spec(shareProcessNamespace=True), "leave hostNetwork, hostPID"),
    "usual-container": (_as_usual_container, "this pod is unguarded|is mesh7's init container"),
    "label-missing": (_label(None), 'the label mesh7.dev/injected: "true"'),
    "label-false": (_label("false"), 'the label mesh7.dev/injected: "true"'),
    "level-overstated": (_level("Enforced"), "mesh7.dev/enforcement: Cooperative"),
}  # fmt: skip


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_sidecar_is_refused(ground: Ground, name: str, role: str) -> None:
    """Design 9: what the injector would have made, or nothing."""
    forge, words = FORGERIES[name]
    shop = ground.shop()
    pod = backstops.guarded(shop)
    forge(pod)
    assert re.search(words, refusal(ground.attacker(role, shop), pod))


@pytest.mark.promise("K6")
@pytest.mark.parametrize("role", ROLES)
def test_an_unguarded_pod_is_refused(ground: Ground, role: str) -> None:
    """Webhook configuration deleted."""
    shop = ground.shop()
    attacker = ground.attacker(role, shop)
    assert "this pod is unguarded" in refusal(attacker, backstops.plain(shop))
    opted_out = backstops.plain(shop)
    opted_out["metadata"]["annotations"][names.INJECT] = "false"
    assert "this pod is unguarded" in refusal(attacker, opted_out)


@pytest.mark.promise("K6")
@pytest.mark.parametrize(
    "kind", [("apps/v1", "Deployment"), ("apps/v1", "DaemonSet"), ("batch/v1", "Job")]
)
def test_a_workload_says_why_it_gets_no_pods(ground: Ground, kind: tuple[str, str]) -> None:
    """Webhook configuration deleted: refused where pods are made, and told as an Event."""
    shop = ground.shop()
    name = f"w-{kind[1].lower()}"
    ground.attacker("edit", shop).apply(yaml.safe_dump(_workload(*kind, shop, name)))

    def told() -> bool:
        events = ground.cluster.kubectl("get", "events", "-n", shop, "-o", "json")
        found = yaml.safe_load(events)["items"]
        return any(
            one["involvedObject"]["name"].startswith(name)
            and "this pod is unguarded" in one["message"]
            for one in found
        )

    until(told, "an Event says why", timeout_s=30)
    pods = ground.cluster.kubectl("get", "pods", "-n", shop, "-l", f"app={name}", "-o", "name")
    assert pods == ""


def _workload(version: str, kind: str, namespace: str, name: str) -> Object:
    pod = backstops.plain(namespace)
    template: dict[str, Any] = {"metadata": {"labels": {"app": name}}, "spec": pod["spec"]}
    if kind == "Job":
        template["spec"]["restartPolicy"] = "Never"
    selector = {} if kind == "Job" else {"selector": {"matchLabels": {"app": name}}}
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"template": template, **selector},
    }


@pytest.mark.parametrize("level", ["Cooperative", "Guarded", "Enforced"])
def test_what_the_injector_makes_is_stored(ground: Ground, level: str) -> None:
    """Also with the key before the newest one: the injector may not have heard of it yet."""
    shop = ground.shop(level)
    attacker = ground.attacker("edit", shop)
    pod = backstops.guarded(shop, level=level)
    assert refusal(attacker, pod) == ""
    backstops.trust(pod, backstops.EARLIER_KEY)
    assert refusal(attacker, pod) == ""


def test_a_pod_that_asks_is_guarded_or_refused(ground: Ground) -> None:
    """Design 9: `on-request`; by label or annotation, and others are left alone."""
    shop = ground.enrol("on-request")
    tenant = ground.tenant(shop, "edit")
    assert refusal(tenant, backstops.plain(shop)) == ""
    assert refusal(tenant, backstops.guarded(shop)) == ""
    for field in ("labels", "annotations"):
        pod = backstops.plain(shop)
        pod["metadata"][field][names.INJECT] = "true"
        assert "this pod is unguarded" in refusal(tenant, pod)
        pod["metadata"][field][names.INJECT] = "false"
        assert refusal(tenant, pod) == ""
        pod["metadata"][field][names.INJECT] = "yes"
        assert 'is "true" or "false"' in refusal(tenant, pod)
    for field, mark in (("labels", names.INJECTED_LABEL), ("annotations", names.ENFORCEMENT)):
        pod = backstops.plain(shop)
        pod["metadata"][field][mark] = "true"
        assert "this pod is unguarded" in refusal(tenant, pod)


def test_nobody_takes_the_sidecars_name_or_volumes_in_an_unguarded_pod(ground: Ground) -> None:
    """Design 9: whoever has something of ours has all of it."""
    shop = ground.enrol("on-request")
    tenant = ground.tenant(shop, "edit")
    named = backstops.plain(shop)
    named["spec"]["containers"][0]["name"] = names.SIDECAR_CONTAINER
    assert "is mesh7's init container" in refusal(tenant, named)
    holding = backstops.plain(shop)
    secret = {"secretName": names.CREDENTIALS_SECRET}
    holding["spec"]["volumes"] = [{"name": "mesh7-credentials", "secret": secret}]
    assert "this pod is unguarded" in refusal(tenant, holding)
    alike = copy.deepcopy(holding)
    alike["spec"]["initContainers"] = [{"name": names.SIDECAR_CONTAINER, "image": "mine:1"}]
    assert "leave both to the injector" in refusal(tenant, alike)


def test_a_mirror_pod_is_a_nodes_alone(ground: Ground) -> None:
    """What a node runs from its own files is there already; a tenant forges none."""
    shop = ground.shop()
    pod = backstops.plain(shop)
    pod["metadata"]["annotations"]["kubernetes.io/config.mirror"] = "0"
    pod["spec"]["nodeName"] = backstops.NODE
    assert "this pod is unguarded" in refusal(ground.attacker("edit", shop), pod)
    node = {"apiVersion": "v1", "kind": "Node", "name": backstops.NODE}
    uid = ground.cluster.kubectl.json("get", "node", backstops.NODE)["metadata"]["uid"]
    pod["metadata"]["ownerReferences"] = [{**node, "uid": uid, "controller": True}]
    assert refusal(ground.kubelet, pod) == ""


def test_where_no_key_is_said_yet_none_is_compared(ground: Ground) -> None:
    """docs/administrator/backstops.md: a pod that is applied together with its namespace."""
    labels = {names.INJECTION_LABEL: "enabled", names.ENFORCEMENT: "Cooperative"}
    shop = ground.cluster.new_namespace("fresh", labels)
    forge, _ = FORGERIES["own-key"]
    pod = backstops.guarded(shop)
    forge(pod)
    admin = ground.cluster.kubectl
    assert refusal(admin, pod) == ""
    user = f"system:serviceaccount:{controllers.RELEASE}:mesh7-controller"
    controller = ground.cluster.kubectl_of(user, ["system:masters"])
    controller("annotate", "namespace", shop, f"{names.TRUST_KEYS_ANNOTATION}={backstops.KEY}")
    until(lambda: "trusts a key" in refusal(admin, pod), "it is compared", timeout_s=20)
    assert refusal(admin, backstops.guarded(shop)) == ""


def test_pods_of_other_namespaces_need_nothing_of_ours(ground: Ground) -> None:
    """K6: they are untouched."""
    other = ground.cluster.new_namespace("other")
    mixed = ground.enrol("on-request")
    admin = ground.cluster.kubectl
    pod = backstops.guarded(other)
    pod["spec"]["containers"][0]["envFrom"] = [{"secretRef": {"name": names.CREDENTIALS_SECRET}}]
    assert refusal(admin, pod) == ""
    assert refusal(admin, backstops.plain(other)) == ""
    assert refusal(admin, backstops.plain(mixed)) == ""
    assert refusal(admin, backstops.plain(controllers.RELEASE)) == ""


def test_a_release_that_lets_pods_opt_out_lets_them(ground: Ground) -> None:
    """`injection.allowPodOptOut`."""
    shop = ground.shop()
    tenant = ground.attacker("edit", shop)
    pod = backstops.plain(shop)
    pod["metadata"]["labels"][names.INJECT] = "false"
    try:
        _apply(ground, "--set=injection.allowPodOptOut=true")
        until(lambda: not refusal(tenant, pod), "it may opt out", timeout_s=20)
        assert "unguarded" in refusal(tenant, backstops.plain(shop))
    finally:
        _apply(ground)
        until(lambda: refusal(tenant, pod) != "", "it may not", timeout_s=20)


def _apply(ground: Ground, *flags: str) -> None:
    found = backstops.rendered(*flags)
    only = [one for one in found if one["metadata"]["name"] == "mesh7-pods"]
    ground.cluster.apply(yaml.safe_dump_all(only))


def test_the_injector_is_told_the_same_as_the_policies() -> None:
    """One chart writes both; these tests inject with what it writes."""
    maps = [one for one in backstops.chart() if one["kind"] == "ConfigMap"]
    text = next(
        one["data"]["injection.yaml"]
        for one in maps
        if one["metadata"]["name"] == names.INJECTION_CONFIG_MAP
    )
    assert settings.read(text) == backstops.SETTINGS
