"""Whether a pod that exists is guarded: one answer for all who count."""

from typing import Any

import pytest

from mesh7_core import names
from mesh7_core.injection import existing
from mesh7_core.injection.existing import Guard
from mesh7_core.injection.known import Namespace

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
