"""Whether a pod that exists is guarded: one answer for all who count."""

from typing import Any

import pytest

from mesh7_core import names
from mesh7_core.injection import existing, volumes
from mesh7_core.injection.existing import Guard
from mesh7_core.injection.inject import inject
from mesh7_core.injection.known import Namespace
from tests.core.injection import parts

_SIDECAR = {"name": "mesh7", "image": "sidecar:1", "restartPolicy": "Always"}
_MARKS: dict[str, Any] = {"labels": {names.INJECTED_LABEL: "true"}}


def _guard(
    sidecar: object = None, *, injection: str = "enabled", phase: str = "Running", **metadata: Any
) -> Guard:
    pod = {
        "metadata": {"name": "agent", **metadata},
        "spec": {"containers": [{"name": "agent"}], "initContainers": [sidecar]},
        "status": {"phase": phase},
    }
    labels = {names.INJECTION_LABEL: injection} if injection else {}
    place = Namespace(name="shop", labels=labels, annotations={})
    return existing.guard_of(pod, place, "mesh7-system", may_opt_out=False)


def test_the_sidecar_makes_a_guarded_pod_and_no_mark_does() -> None:
    """Docs: backstops.md#forged; labels are anybody's."""
    assert _guard(_SIDECAR) is Guard.THERE
    assert _guard(_SIDECAR, injection="") is Guard.THERE
    assert _guard(**_MARKS) is Guard.MISSING
    assert _guard({**_SIDECAR, "restartPolicy": None}, **_MARKS) is Guard.MISSING
    assert _guard({**_SIDECAR, "name": "mesh8"}) is Guard.MISSING


_THIEF = {"name": "agent", "volumeMounts": [{"name": volumes.TOKEN, "mountPath": "/token"}]}
_PROJECTED = {"sources": [{"serviceAccountToken": {"audience": names.TOKEN_AUDIENCE}}]}
_READ = {"valueFrom": {"secretKeyRef": {"name": names.CREDENTIALS_SECRET, "key": "github"}}}
_MOUNTING = {"name": volumes.CREDENTIALS, "mountPath": "/credentials"}


@pytest.mark.parametrize(
    "forged",
    [
        {"initContainers": [{**_SIDECAR, "command": ["sleep", "infinity"]}]},
        {"initContainers": [{**_SIDECAR, "args": ["-c", "pass"]}]},
        {"containers": [_THIEF]},
        {"containers": [{"name": "agent", "volumeMounts": [_MOUNTING]}]},
        {"ephemeralContainers": [_THIEF]},
        {"initContainers": [{**_THIEF, "name": "mesh7-enforce"}, _SIDECAR]},
        {"volumes": [{"name": "mine", "projected": _PROJECTED}]},
        {"volumes": [{"name": "mine", "secret": {"secretName": names.CREDENTIALS_SECRET}}]},
        {"containers": [{"name": "agent", "env": [{"name": "KEY", **_READ}]}]},
    ],
)
def test_a_pod_made_before_enrolment_cannot_forge_being_guarded(forged: dict[str, Any]) -> None:
    """Found by review of issue 6: any init container `mesh7` that stays counted as a sidecar."""
    spec = {"containers": [{"name": "agent"}], "initContainers": [_SIDECAR], **forged}
    place = Namespace(name="shop", labels={names.INJECTION_LABEL: "enabled"}, annotations={})
    pod = {"metadata": {"name": "agent", **_MARKS}, "spec": spec}
    assert existing.guard_of(pod, place, "mesh7-system", may_opt_out=False) is Guard.MISSING


@pytest.mark.parametrize("level", ["Cooperative", "Guarded", "Enforced"])
def test_what_the_injector_makes_counts_as_guarded(level: str) -> None:
    agent = {
        **parts.AGENT,
        "securityContext": {
            "runAsUser": 1000,
            "runAsNonRoot": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    place = parts.namespace(level=level)
    pod = parts.guarded(inject(parts.pod(agent), place, parts.RELEASE, parts.CLUSTER))
    assert existing.guard_of(pod, place, "mesh7-system", may_opt_out=False) is Guard.THERE


def test_who_should_be_guarded_is_decided_as_at_its_creation() -> None:
    """core/injection/enrolment.py has the table."""
    assert _guard() is Guard.MISSING
    assert _guard(injection="") is Guard.NOT_DUE
    assert _guard(injection="on-request") is Guard.NOT_DUE


@pytest.mark.parametrize("sidecar", [_SIDECAR, None])
@pytest.mark.parametrize(
    "ended",
    [{"phase": "Succeeded"}, {"phase": "Failed"}, {"deletionTimestamp": "2026-11-21T12:00:00Z"}],
)
def test_a_pod_that_has_ended_or_is_about_to_counts_nowhere(
    sidecar: object, ended: dict[str, Any]
) -> None:
    assert _guard(sidecar, **ended) is Guard.NOT_DUE
