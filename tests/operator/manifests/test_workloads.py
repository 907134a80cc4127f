"""Deployments that a hardened cluster takes, started with flags that exist."""

import re
from typing import Any

import click
import pytest

from mesh7_core import names
from mesh7_operator import main
from tests.operator.manifests import written

_IMAGE = f"mesh7-operator:{names.RELEASE}"


def _pods() -> dict[str, dict[str, Any]]:
    kinds = ("Deployment", "Job")
    found = [one for one in written.documents(*written.WORKLOADS) if one["kind"] in kinds]
    return {one["metadata"]["name"]: one["spec"]["template"]["spec"] for one in found}


@pytest.mark.parametrize("name", _pods())
def test_a_pod_is_restricted(name: str) -> None:
    """As the Pod Security Standard `restricted` of the release namespace wants it, and more."""
    pod = _pods()[name]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["image"] == _IMAGE
    assert container["resources"]["limits"]["memory"]
    assert pod["enableServiceLinks"] is False


@pytest.mark.parametrize("name", _pods())
def test_it_is_started_with_what_the_program_knows(name: str) -> None:
    (container,) = _pods()[name]["containers"]
    command: click.Command = main.main
    arguments = list(container["args"])
    while isinstance(command, click.Group):
        command = command.commands[arguments.pop(0)]
    with command.make_context(command.name, [], resilient_parsing=True) as context:
        known = {flag for one in command.get_params(context) for flag in one.opts}
        variables = {f"MESH7_{(one.name or '').upper()}" for one in command.get_params(context)}
    assert {one.partition("=")[0] for one in arguments} <= known
    assert {one["name"] for one in container.get("env", ())} <= variables


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
    ["controller", "injector", "exchange", "keys show", "keys rotate", "keys replace"],
)
def test_a_variable_is_named_for_its_flag(path: str) -> None:
    """Promised by docs/administrator/operator.md: `--redis-ca` as `MESH7_REDIS_CA`."""
    found = _variables(*path.split())
    assert found == {
        flag: "MESH7_" + flag.removeprefix("--").replace("-", "_").upper() for flag in found
    }


@pytest.mark.parametrize("name", ["controller", "exchange"])
def test_every_setting_is_a_variable_of_the_program(name: str) -> None:
    """Those that are commented out, too: people take the hash away."""
    text = (written.FOLDER / "namespace.yaml").read_text()
    settings = set(re.findall(r"(?m)^  (?:# )?(MESH7_[A-Z_]+): ", text))
    assert "MESH7_REDIS_MODE" in settings
    assert settings <= set(_variables(name).values())


def test_what_is_mounted_is_what_the_flags_name() -> None:
    for pod in _pods().values():
        (container,) = pod["containers"]
        mounts = [one["mountPath"] for one in container.get("volumeMounts", ())]
        paths = [one.partition("=")[2] for one in container["args"] if "=/" in one]
        assert all(any(f"{path}/".startswith(f"{one}/") for one in mounts) for path in paths)
        volumes = {one["name"] for one in pod.get("volumes", ())}
        assert volumes == {one["name"] for one in container.get("volumeMounts", ())}


@pytest.mark.parametrize("name", ["mesh7-controller", "mesh7-injector", "mesh7-exchange"])
def test_a_drain_leaves_one_that_serves(name: str) -> None:
    files = written.WORKLOADS
    deployment = written.of_kind("Deployment", *files)[name]
    budget = written.of_kind("PodDisruptionBudget", *files)[name]
    assert deployment["spec"]["replicas"] >= 2
    selected = deployment["spec"]["selector"]
    assert budget["spec"]["selector"] == selected
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert selected["matchLabels"].items() <= labels.items()
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert {"livenessProbe", "readinessProbe"} <= set(container)
    assert deployment["spec"]["template"]["spec"]["serviceAccountName"] == name


def test_webhooks_lead_to_the_service() -> None:
    service = written.of_kind("Service", "injector.yaml")["mesh7-injector"]
    for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
        for hook in written.of_kind(kind, "admission.yaml")["mesh7"]["webhooks"]:
            reached = hook["clientConfig"]["service"]
            assert reached["name"] == service["metadata"]["name"]
            assert reached["namespace"] == service["metadata"]["namespace"]
            assert reached["port"] == service["spec"]["ports"][0]["port"]
            assert (hook["sideEffects"], hook["timeoutSeconds"]) == ("None", 5)
            assert hook["matchPolicy"] == "Equivalent"
            is_veto = hook["name"].startswith("vetoes.")
            assert hook["failurePolicy"] == ("Ignore" if is_veto else "Fail")


def test_every_admission_policy_is_bound_and_denies() -> None:
    policies = written.of_kind("ValidatingAdmissionPolicy", "admission.yaml")
    bindings = written.of_kind("ValidatingAdmissionPolicyBinding", "admission.yaml")
    assert {one["spec"]["policyName"] for one in bindings.values()} == set(policies)
    assert all(one["spec"]["validationActions"] == ["Deny"] for one in bindings.values())
    assert all(one["spec"]["failurePolicy"] == "Fail" for one in policies.values())


_OTHERS = {"kube-system", "kube-public", "kube-node-lease", names.RELEASE_NAMESPACE}


def _pod_hooks() -> dict[str, dict[str, Any]]:
    found = written.of_kind("MutatingWebhookConfiguration", "admission.yaml")["mesh7"]["webhooks"]
    return {
        one["name"]: one for one in found if one["clientConfig"]["service"]["path"] == "/inject"
    }


@pytest.mark.parametrize("name", _pod_hooks())
def test_new_pods_of_enrolled_namespaces_alone_depend_on_the_injector(name: str) -> None:
    """Design 9: outside, nothing is ever called; nor for what the cluster needs to come back."""
    hook = _pod_hooks()[name]
    (rule,) = hook["rules"]
    assert (rule["resources"], rule["operations"]) == (["pods"], ["CREATE"])
    assert hook["reinvocationPolicy"] == "IfNeeded"
    selected = hook["namespaceSelector"]["matchExpressions"]
    by_label = [one for one in selected if one["key"] == names.INJECTION_LABEL]
    assert any(one["operator"] in {"In", "Exists"} for one in by_label)
    (apart,) = [one for one in selected if one["key"] == names.NAMESPACE_NAME_LABEL]
    assert (apart["operator"], set(apart["values"])) == ("NotIn", _OTHERS)


def test_every_value_of_the_label_is_asked_about_once() -> None:
    """A value that means nothing is refused by the injector, and so has to reach it."""
    by_name = {
        name: [one for one in hook["namespaceSelector"]["matchExpressions"]
               if one["key"] == names.INJECTION_LABEL]
        for name, hook in _pod_hooks().items()
    }  # fmt: skip
    label = {"key": names.INJECTION_LABEL}
    assert by_name == {
        "enabled-pods.mesh7.dev": [{**label, "operator": "In", "values": ["enabled"]}],
        "requested-pods.mesh7.dev": [{**label, "operator": "In", "values": ["on-request"]}],
        "mislabelled-pods.mesh7.dev": [
            {**label, "operator": "Exists"},
            {**label, "operator": "NotIn", "values": list(names.INJECTION_VALUES)},
        ],
    }
