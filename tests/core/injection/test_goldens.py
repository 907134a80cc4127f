"""Pods that go in beside what comes out, and that a sidecar would start with what came out."""

import json
from collections.abc import Mapping

import pytest
import yaml

from mesh7_core import names
from mesh7_core.injection import containers, patches, shapes
from mesh7_core.injection.inject import inject
from mesh7_core.injection.outcomes import Injected, Level, Refusal, Skip
from mesh7_sidecar import pod_settings
from tests.core.injection import goldens

INJECTED = [name for name in goldens.CASES if goldens.committed(name)[0] == "out.yaml"]
_DOWNWARD = {
    "metadata.namespace": "shop",
    "metadata.name": "agent-0",
    "metadata.uid": "0b0f2a58-6c3e-4f3c-8a5c-9d7d8c1f0001",
    "spec.serviceAccountName": "default",
    "status.podIPs": "10.0.0.7,fd00::7",
}


def _out(name: str) -> Mapping[str, object]:
    return shapes.mapping(yaml.safe_load(goldens.committed(name)[1]))


def _sidecar(pod: Mapping[str, object]) -> Mapping[str, object]:
    found = shapes.entries(pod, "spec", "initContainers")
    (sidecar,) = [one for one in found if one["name"] == names.SIDECAR_CONTAINER]
    return sidecar


def _environment(container: Mapping[str, object]) -> dict[str, str]:
    """As the kubelet would make it."""
    return {
        shapes.text(one, "name"): shapes.text(one, "value")
        or _DOWNWARD.get(shapes.text(one, "valueFrom", "fieldRef", "fieldPath"), "")
        for one in shapes.entries(container, "env")
    }


@pytest.mark.promise("K5")
@pytest.mark.parametrize("name", goldens.CASES)
def test_a_pod_becomes_what_is_written_beside_it(name: str) -> None:
    """Issue 6; `python -m tests.core.injection.goldens` writes them anew."""
    assert goldens.answer(goldens.case(name).outcome()) == goldens.committed(name)


@pytest.mark.promise("K5")
@pytest.mark.parametrize("name", INJECTED)
def test_injecting_twice_is_once(name: str) -> None:
    case = goldens.case(name)
    once = case.outcome()
    assert isinstance(once, Injected)

    twice = inject(once.pod, case.namespace, case.settings, case.cluster)

    assert isinstance(twice, Injected)
    assert json.dumps(twice.pod) == json.dumps(once.pod)
    assert patches.difference(once.pod, twice.pod) == ()


@pytest.mark.parametrize("name", INJECTED)
def test_a_sidecar_starts_with_what_it_was_given(name: str) -> None:
    """docs/reference/pod-environment.md, read by the sidecar itself."""
    case = goldens.case(name)

    found = pod_settings.read(_environment(_sidecar(_out(name))))

    assert (found.namespace, found.agent) == ("shop", "default")
    assert (found.redis is None) == (case.settings.exchange is None)


@pytest.mark.parametrize("name", INJECTED)
def test_what_a_variable_names_is_mounted(name: str) -> None:
    sidecar = _sidecar(_out(name))
    mounted = [shapes.text(one, "mountPath") for one in shapes.entries(sidecar, "volumeMounts")]
    paths = [value for value in _environment(sidecar).values() if value.startswith("/")]

    assert len(paths) >= 4
    assert [path for path in paths if not path.startswith(tuple(mounted))] == []


@pytest.mark.promise("K5")
@pytest.mark.parametrize("name", INJECTED)
def test_ours_stand_first_and_nobody_else_has_our_volumes(name: str) -> None:
    pod = _out(name)
    first = [one["name"] for one in shapes.entries(pod, "spec", "initContainers")]
    is_enforced = goldens.case(name).namespace.labels.get(names.ENFORCEMENT) == Level.ENFORCED
    ours = list(containers.OURS) if is_enforced else [names.SIDECAR_CONTAINER]

    assert first[: len(ours)] == ours
    assert not set(containers.OURS) & set(first[len(ours) :])
    for other in containers.others(pod):
        mounted = [one["name"] for one in shapes.entries(other.value, "volumeMounts")]
        assert not [one for one in mounted if str(one).startswith(names.VOLUME_PREFIX)]
        assert _environment(other.value)["MESH7_URL"] == "http://127.0.0.1:7007"


def test_there_are_at_least_thirty_five_golden_pods() -> None:
    """Issue 6."""
    assert len(goldens.CASES) >= 35


def test_every_refusal_has_its_golden_pod() -> None:
    shown = {
        problem["reason"]
        for name in goldens.CASES
        for file, text in [goldens.committed(name)]
        if file == "refused.yaml"
        for problem in yaml.safe_load(text)
    }
    assert shown == {reason.value for reason in Refusal}


def test_every_skip_has_its_golden_pod() -> None:
    shown = {
        yaml.safe_load(text)["reason"]
        for name in goldens.CASES
        for file, text in [goldens.committed(name)]
        if file == "skipped.yaml"
    }
    assert shown == {reason.value for reason in Skip}
