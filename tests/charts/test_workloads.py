"""Pods that a hardened cluster takes, started with flags that exist."""

from typing import Any

import click
import pytest

from mesh7_core import names
from mesh7_operator import main
from tests.charts import rendered

_IMAGE = f"mesh7-operator:{names.RELEASE}"
_PODS = [(name, pod) for name in rendered.SETS for pod in rendered.pods(name)]
_OURS = [(name, pod) for name, pod in _PODS if pod != "mesh7-redis"]
_WHOSE = {"MESH7_POD_NAME", "MESH7_POD_UID", "MESH7_NODE_NAME"}
"""What `OTEL_RESOURCE_ATTRIBUTES` is made of."""
_WITH_SETTINGS = [
    (name, program)
    for name in rendered.SETS
    for program in ("controller", "exchange")
    if f"mesh7-{program}" in rendered.pods(name)
]


@pytest.mark.parametrize(("name", "of"), _PODS)
def test_a_pod_is_restricted(name: str, of: str) -> None:
    """As the Pod Security Standard `restricted` of the release namespace wants it, and more."""
    pod = rendered.pods(name)[of]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"cpu", "memory"} <= set(container["resources"]["requests"])
    assert container["resources"]["limits"]["memory"]
    assert pod["enableServiceLinks"] is False
    assert pod["automountServiceAccountToken"] is False


@pytest.mark.parametrize(("name", "of"), _PODS)
def test_an_image_is_told_by_version_or_digest(name: str, of: str) -> None:
    (container,) = rendered.pods(name)[of]["containers"]
    image = container["image"]
    assert not image.endswith(":latest")
    if of != "mesh7-redis":
        digest = "registry.example.com/mesh7/mesh7-operator@sha256:" + "1".zfill(64)
        assert image == (digest if name == "managed" else _IMAGE)
    assert "@sha256:" in image or ":" in image


@pytest.mark.parametrize(("name", "of"), _OURS)
def test_it_is_started_with_what_the_program_knows(name: str, of: str) -> None:
    (container,) = rendered.pods(name)[of]["containers"]
    command: click.Command = main.main
    arguments = list(container["args"])
    while isinstance(command, click.Group):
        command = command.commands[arguments.pop(0)]
    with command.make_context(command.name, [], resilient_parsing=True) as context:
        known = {flag for one in command.get_params(context) for flag in one.opts}
        variables = {
            str(one.envvar or f"MESH7_{(one.name or '').upper()}")
            for one in command.get_params(context)
        }
    assert {one.partition("=")[0] for one in arguments} <= known
    named = {one["name"] for one in container.get("env", ())}
    assert {one for one in named - _WHOSE if not one.startswith("OTEL_")} <= variables


def _variables(*path: str) -> dict[str, str]:
    """Of a command: which variable each flag is read from."""
    command: click.Command = main.main
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    with command.make_context(command.name, [], resilient_parsing=True) as context:
        options = [one for one in command.get_params(context) if "--help" not in one.opts]
    return {
        flag: str(one.envvar or f"MESH7_{(one.name or '').upper()}")
        for one in options
        for flag in one.opts
        if flag.startswith("--")
    }


@pytest.mark.parametrize(
    "path",
    [
        "controller",
        "injector",
        "exchange",
        "sweep",
        "keys show",
        "keys rotate",
        "keys replace",
        "certificates show",
        "certificates rotate",
    ],
)
def test_a_variable_is_named_for_its_flag(path: str) -> None:
    """Promised by docs/administrator/operator.md: `--redis-ca` as `MESH7_REDIS_CA`."""
    found = _variables(*path.split())
    assert found == {
        flag: "MESH7_" + flag.removeprefix("--").replace("-", "_").upper() for flag in found
    }


@pytest.mark.parametrize(("name", "program"), _WITH_SETTINGS)
def test_every_setting_is_a_variable_of_a_program(name: str, program: str) -> None:
    """One that a program does not know is the other's."""
    said = set(rendered.of_kind("ConfigMap", name)["mesh7-settings"]["data"])
    known = set(_variables("controller").values()) | set(_variables("exchange").values())
    assert "MESH7_REDIS_MODE" in said & set(_variables(program).values())
    assert {one for one in said if not one.startswith("OTEL_")} <= known


@pytest.mark.parametrize(("name", "of"), _PODS)
def test_what_is_mounted_is_what_the_flags_name(name: str, of: str) -> None:
    pod = rendered.pods(name)[of]
    (container,) = pod["containers"]
    mounts = [one["mountPath"] for one in container.get("volumeMounts", ())]
    paths = [one.partition("=")[2] for one in container["args"] if "=/" in one]
    if of == "mesh7-controller":
        said = rendered.of_kind("ConfigMap", name)["mesh7-settings"]["data"]
        paths += [value for value in said.values() if value.startswith("/")]
    assert all(any(f"{path}/".startswith(f"{one}/") for one in mounts) for path in paths)
    volumes = {one["name"] for one in pod.get("volumes", ())}
    assert volumes == {one["name"] for one in container.get("volumeMounts", ())}


@pytest.mark.parametrize("name", rendered.SETS)
def test_pods_are_told_who_vouches_for_the_exchange_by_the_exchanges_secret(name: str) -> None:
    """Promised by docs/administrator/certificates.md: `external` may have another authority for it.

    Its key alone is mounted, and the kubelet waits for it.
    """
    pod = rendered.pods(name)["mesh7-injector"]
    (container,) = pod["containers"]
    flags = [one for one in container["args"] if one.startswith("--authorities-file=")]
    secrets = [one["secret"] for one in pod["volumes"] if one["name"] == "exchange"]
    if "mesh7-exchange" not in rendered.pods(name):
        assert (flags, secrets) == ([], [])
        return
    assert flags == ["--authorities-file=/etc/mesh7/exchange/ca.crt"]
    assert secrets == [
        {
            "secretName": "mesh7-exchange-certificate",
            "items": [{"key": "ca.crt", "path": "ca.crt"}],
            "defaultMode": 0o440,
        }
    ]


@pytest.mark.parametrize("name", ["default", "ha", "cert-manager", "external", "managed"])
@pytest.mark.parametrize("of", ["mesh7-controller", "mesh7-injector", "mesh7-exchange"])
def test_a_drain_leaves_one_that_serves(name: str, of: str) -> None:
    deployment = rendered.of_kind("Deployment", name)[of]
    budget = rendered.of_kind("PodDisruptionBudget", name)[of]
    assert deployment["spec"]["replicas"] >= 2
    assert budget["spec"]["maxUnavailable"] == 1
    selected = deployment["spec"]["selector"]
    assert budget["spec"]["selector"] == selected
    labels: dict[str, Any] = deployment["spec"]["template"]["metadata"]["labels"]
    assert selected["matchLabels"].items() <= labels.items()
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert {"livenessProbe", "readinessProbe"} <= set(container)
    assert deployment["spec"]["template"]["spec"]["serviceAccountName"] == of


@pytest.mark.parametrize("name", ["default", "ha"])
def test_only_who_asks_for_it_gets_a_class_that_some_clusters_refuse(name: str) -> None:
    """docs/administrator/high-availability.md: there, no pod would be made."""
    found = {
        of: pod.get("priorityClassName")
        for of, pod in rendered.pods(name).items()
        if of in rendered.of_kind("Deployment", name) and of != "mesh7-redis"
    }
    wanted = "system-cluster-critical" if name == "ha" else None
    assert found == dict.fromkeys(("mesh7-controller", "mesh7-injector", "mesh7-exchange"), wanted)


def test_a_budget_never_keeps_a_node_from_being_drained() -> None:
    """With one replica it would, for ever."""
    assert not rendered.of_kind("PodDisruptionBudget", "minimal")
