"""A namespace's own share of traces: docs/administrator/telemetry.md."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from mesh7_core.injection import asked, shapes
from mesh7_core.injection.inject import inject
from mesh7_core.injection.outcomes import Outcome, Refused
from tests.core.injection import parts

_RELEASE = replace(parts.RELEASE, variables={"MESH7_TRACE_SHARE": "0.01", "MESH7_HOLD": "30s"})


def _injected(share: str | None) -> Outcome:
    said: Mapping[str, str] = {} if share is None else {asked.TRACE_SHARE: share}
    place = replace(parts.namespace(), annotations=said)
    return inject(parts.pod(), place, _RELEASE, parts.CLUSTER)


def _share_of(outcome: Outcome) -> str:
    pod = parts.guarded(outcome)
    (sidecar,) = [
        one
        for one in shapes.entries(pod, "spec", "initContainers")
        if shapes.text(one, "name") == "mesh7"
    ]
    env = {shapes.text(one, "name"): one for one in shapes.entries(sidecar, "env")}
    assert shapes.text(env["MESH7_HOLD"], "value") == "30s"
    return shapes.text(env["MESH7_TRACE_SHARE"], "value")


@pytest.mark.parametrize("share", ["0", "1", "0.5", "1.0", ".25", "0.000000001"])
def test_a_namespace_says_how_many_of_its_calls_are_traced(share: str) -> None:
    assert _share_of(_injected(share)) == share


def test_else_the_releases_share_counts() -> None:
    assert _share_of(_injected(None)) == "0.01"


@pytest.mark.parametrize("share", ["", "2", "1.1", "-0.1", "1e-2", "NaN", "10%", "0.5 ", "\u0660"])
def test_a_share_that_is_none_is_refused(share: str) -> None:
    """As every annotation of ours that means nothing: nobody believes that it counts."""
    found = _injected(share)
    assert isinstance(found, Refused)
    (problem,) = found.problems
    assert problem.path == "namespace: metadata.annotations.mesh7.dev/trace-share"
    assert "is no share, write a number from `0` to `1`, such as `0.01`" in problem.message
