"""How pods of an enrolled namespace stand, by their containers alone."""

from typing import Any

import pytest

from mesh7_core import names
from mesh7_core.injection.known import Namespace
from mesh7_operator.reconciling import guarding
from mesh7_operator.reconciling.guarding import Rules, Standing

IMAGE = "mesh7-sidecar:2"
RULES = Rules(release_namespace="mesh7-system", sidecar_image=IMAGE)
UNGUARDED = Standing(is_unguarded=True)
NOBODYS = Standing()


def _namespace(injection: str = "enabled") -> Namespace:
    return Namespace(name="shop", labels={names.INJECTION_LABEL: injection}, annotations={})


def _pod(*, inject: str = "", where: str = "annotations", **status: Any) -> dict[str, Any]:
    asked = {names.INJECT: inject} if inject else {}
    return {
        "metadata": {"name": "agent", where: asked},
        "spec": {"containers": [{"name": "agent"}]},
        "status": {"phase": "Running", **status},
    }


def _guarded(image: str = IMAGE, *, is_ready: bool = True, **status: Any) -> dict[str, Any]:
    statuses = [{"name": "mesh7", "ready": is_ready}]
    pod = _pod(initContainerStatuses=statuses, **status)
    sidecar = {"name": "mesh7", "image": image, "restartPolicy": "Always"}
    return {**pod, "spec": {**pod["spec"], "initContainers": [sidecar]}}


def _ending(pod: dict[str, Any]) -> dict[str, Any]:
    return {**pod, "metadata": {**pod["metadata"], "deletionTimestamp": "2026-11-21T12:00:00Z"}}


@pytest.mark.parametrize(
    ("injection", "inject", "where", "expected"),
    [
        ("enabled", "", "labels", UNGUARDED),
        ("enabled", "true", "labels", UNGUARDED),
        ("enabled", "false", "annotations", UNGUARDED),
        ("on-request", "", "labels", NOBODYS),
        ("on-request", "true", "labels", UNGUARDED),
        ("on-request", "true", "annotations", UNGUARDED),
        ("on-request", "false", "labels", NOBODYS),
        # Refused today, and yet it runs.
        ("on-request", "yes", "labels", UNGUARDED),
    ],
)
def test_a_pod_without_a_sidecar_is_judged_as_at_its_creation(
    injection: str, inject: str, where: str, expected: Standing
) -> None:
    """Design 8: the audit loop finds unguarded pods in enrolled namespaces."""
    pod = _pod(inject=inject, where=where)
    assert guarding.standing(pod, _namespace(injection), RULES) == expected


def test_who_may_opt_out_and_did_is_nobodys_concern() -> None:
    rules = Rules(release_namespace="mesh7-system", may_opt_out=True)
    assert guarding.standing(_pod(inject="false"), _namespace(), rules) == NOBODYS


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        (_guarded(), Standing(is_guarded=True)),
        (_guarded("mesh7-sidecar:1"), Standing(is_guarded=True, is_outdated=True)),
        (_guarded(is_ready=False), Standing(is_guarded=True, is_unready=True)),
        (_guarded(is_ready=False, phase="Pending"), Standing(is_guarded=True)),
        (_guarded(phase="Succeeded"), NOBODYS),
        (_pod(phase="Failed"), NOBODYS),
        (_ending(_guarded()), NOBODYS),
        (_ending(_pod()), NOBODYS),
    ],
)
def test_a_sidecar_is_seen_with_its_image_and_readiness(
    pod: dict[str, Any], expected: Standing
) -> None:
    assert guarding.standing(pod, _namespace(), RULES) == expected


def test_images_are_compared_only_with_one_that_is_known() -> None:
    rules = Rules(release_namespace="mesh7-system")
    assert guarding.standing(_guarded("other"), _namespace(), rules) == Standing(is_guarded=True)


@pytest.mark.promise("K13")
@pytest.mark.parametrize(
    "spec",
    [
        {"containers": [{"name": "mesh7", "restartPolicy": "Always"}]},
        {"initContainers": [{"name": "mesh7"}]},
        {"initContainers": [{"name": "mesh8", "restartPolicy": "Always"}]},
        {"initContainers": "mesh7"},
        None,
    ],
)
def test_a_forged_mark_makes_no_guarded_pod(spec: object) -> None:
    """Labels are anybody's; a container that is called so is no sidecar."""
    metadata = {
        "labels": {names.INJECTED_LABEL: "true"},
        "annotations": {names.ENFORCEMENT: "Enforced"},
    }
    pod = {"metadata": metadata, "spec": spec, "status": {"phase": "Running"}}
    assert guarding.standing(pod, _namespace(), RULES) == UNGUARDED
