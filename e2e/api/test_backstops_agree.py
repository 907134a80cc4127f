"""Admission policies and `inject` agree on the golden pods, whoever put the sidecar there."""

import copy
import dataclasses
import json

import pytest

from e2e.api import backstops
from e2e.api.backstops import Ground, Object, refusal
from mesh7_core import names
from mesh7_core.injection.inject import inject
from mesh7_core.injection.outcomes import Injected, Refusal, Refused, Skipped
from tests.core.injection import goldens

HELD = frozenset(
    {
        Refusal.HOST_NETWORK,
        Refusal.HOST_PROCESSES,
        Refusal.SHARED_PROCESSES,
        Refusal.NAME_TAKEN,
        Refusal.USER_CONFLICT,
        Refusal.AUDIENCE_PROJECTED,
        Refusal.CREDENTIALS_MOUNTED,
        Refusal.PRIVILEGED,
        Refusal.CAPABILITY,
        Refusal.WEAKENED,
        Refusal.HOST_PATH,
        Refusal.MUST_DROP_NET_RAW,
        Refusal.MUST_RUN_AS_OTHER_USER,
        Refusal.ESCALATION,
    }
)
"""What docs/administrator/backstops.md says that policies hold without the injector."""


_TOLD_ELSEWHERE = ("mirror-pod", "not-a-pod", "too-large", "unknown-level")
"""By tests of their own; or no client would send it, or no such Namespace is stored."""


def _pods() -> list[str]:
    """Cases that an API server would take for a pod at all."""
    return [
        name
        for name in goldens.CASES
        for pod in [goldens.case(name).pod]
        if name not in _TOLD_ELSEWHERE
        and pod.get("kind") in (None, "Pod") and (pod.get("spec") or {}).get("containers")  # type: ignore[attr-defined]
        and not pod["spec"].get("ephemeralContainers")  # type: ignore[attr-defined]
    ]  # fmt: skip


def _named(pod: object, namespace: str) -> Object:
    """What a person would send."""
    found: Object = json.loads(json.dumps(pod))
    about = found.setdefault("metadata", {})
    about |= {"name": "agent", "namespace": namespace}
    about.pop("generateName", None)
    found["spec"].pop("serviceAccountName", None)
    found["spec"].pop("serviceAccount", None)
    return {**found, "apiVersion": "v1", "kind": "Pod"}


@pytest.mark.promise("K6")
@pytest.mark.parametrize("name", _pods())
def test_policies_let_pass_what_inject_makes_and_refuse_the_rest(ground: Ground, name: str) -> None:
    """Webhook configuration deleted; by the release's settings, of a tenant."""
    case = goldens.case(name)
    labels = dict(case.namespace.labels)
    said = {names.TRUST_KEYS_ANNOTATION: backstops.KEY}
    shop = ground.cluster.new_namespace("golden", labels, said)
    tenant = ground.tenant(shop, "edit")
    known = dataclasses.replace(case.cluster, trust_key=backstops.KEY)
    pod = _named(case.pod, shop)
    match inject(pod, case.namespace, backstops.SETTINGS, known):
        case Injected(pod=made):
            assert refusal(tenant, made) == ""
            assert refusal(tenant, pod) != ""
        case Skipped():
            assert refusal(tenant, pod) == ""
        case Refused(problems=problems):
            assert refusal(tenant, pod) != ""
            # A user namespace without the sidecar's user only keeps the pod from starting.
            if HELD & {one.reason for one in problems if one.path != "spec.hostUsers"}:
                level = labels.get(names.ENFORCEMENT, "Cooperative")
                assert refusal(tenant, _smuggled(pod, level)) != "", problems


def _smuggled(pod: Object, level: str) -> Object:
    """The pod with a genuine sidecar copied in, past the injector that would refuse it."""
    genuine = backstops.guarded(pod["metadata"]["namespace"], level=level)
    found = copy.deepcopy(pod)
    for field in ("labels", "annotations"):
        there = found["metadata"].get(field) or {}
        found["metadata"][field] = {**there, **genuine["metadata"][field]}
    for field in ("initContainers", "volumes"):
        ours = genuine["spec"][field]
        taken = {one["name"] for one in ours}
        theirs = [one for one in found["spec"].get(field) or [] if one["name"] not in taken]
        found["spec"][field] = [*ours, *theirs]
    return found
