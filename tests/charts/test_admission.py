"""What the API server asks, and what it decides by itself, as the chart renders it."""

from typing import Any

import pytest

from mesh7_core import names
from tests.charts import rendered

_CONFIGURATIONS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")


def test_webhooks_lead_to_the_service() -> None:
    service = rendered.of_kind("Service")["mesh7-injector"]
    for kind in _CONFIGURATIONS:
        for hook in rendered.of_kind(kind)["mesh7"]["webhooks"]:
            reached = hook["clientConfig"]["service"]
            assert reached["name"] == service["metadata"]["name"]
            assert reached["namespace"] == service["metadata"]["namespace"]
            assert reached["port"] == service["spec"]["ports"][0]["port"]
            assert (hook["sideEffects"], hook["timeoutSeconds"]) == ("None", 5)
            assert hook["matchPolicy"] == "Equivalent"
            is_veto = hook["name"].startswith("vetoes.")
            assert hook["failurePolicy"] == ("Ignore" if is_veto else "Fail")


def test_every_admission_policy_is_bound_and_denies() -> None:
    policies = rendered.of_kind("ValidatingAdmissionPolicy")
    bindings = rendered.of_kind("ValidatingAdmissionPolicyBinding")
    assert {one["spec"]["policyName"] for one in bindings.values()} == set(policies)
    assert all(one["spec"]["validationActions"] == ["Deny"] for one in bindings.values())
    assert all(one["spec"]["failurePolicy"] == "Fail" for one in policies.values())


_OTHERS = {"kube-system", "kube-public", "kube-node-lease", names.RELEASE_NAMESPACE}


def _pod_hooks() -> dict[str, dict[str, Any]]:
    found = rendered.of_kind("MutatingWebhookConfiguration")["mesh7"]["webhooks"]
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


@pytest.mark.parametrize("kind", _CONFIGURATIONS)
def test_authorities_are_written_by_whoever_knows_them(kind: str) -> None:
    """An empty one would blank what the controller wrote, with each upgrade."""
    for name in rendered.SETS:
        found = rendered.of_kind(kind, name)["mesh7"]
        said = {"caBundle" in hook["clientConfig"] for hook in found["webhooks"]}
        assert said == {name == "external"}
        injected = found["metadata"].get("annotations", {}).get("cert-manager.io/inject-ca-from")
        expected = "mesh7-system/mesh7-injector" if name == "cert-manager" else None
        assert injected == expected


def test_cert_manager_writes_what_the_programs_mount() -> None:
    found = rendered.of_kind("Certificate", "cert-manager")
    assert {name: one["spec"]["secretName"] for name, one in found.items()} == {
        "mesh7-injector": "mesh7-injector-certificate",
        "mesh7-exchange": "mesh7-exchange-certificate",
    }
    assert found["mesh7-injector"]["spec"]["dnsNames"][0] == "mesh7-injector.mesh7-system.svc"
