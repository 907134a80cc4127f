"""What is asked of the cluster about one pod, with the person's rights."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mesh7_cli import reading
from mesh7_cli.cluster import looking
from mesh7_cli.cluster.errors import ForbiddenError
from mesh7_cli.cluster.kubectl import Kubectl, Object, read
from mesh7_cli.cluster.looking import Absent, Hidden, Look, Seen
from mesh7_cli.explaining import delivered, obeyed
from mesh7_cli.explaining.delivered import InForce, Versions
from mesh7_core import errors, names
from mesh7_core.delivery.trust import Trust
from mesh7_core.injection import existing
from mesh7_core.injection.existing import Guard
from mesh7_core.injection.inject import Namespace
from mesh7_core.policy.calls import Agent

_PORT: Final = 7008
_PATIENCE: Final = "5s"
_OF_POLICIES: Final = "agentpolicies"
_NOT_ASKED: Final = (
    "you may not ask the pod itself – that takes `get` on `pods/proxy`, which none of our "
    "ClusterRoles has"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surveyed:
    """A guarded pod and what it is judged by.

    Attributes:
        obeyed: the versions that it says it obeys; None = it could not be asked.
        policies: of its namespace, by name; None = they cannot be seen.
        notes: what to know beside.
    """

    agent: Agent
    in_force: InForce
    obeyed: Versions | None
    policies: Mapping[str, Object] | None
    notes: tuple[str, ...]

    @property
    def selecting(self) -> list[Object] | None:
        """Policies of the namespace that select the pod."""
        from mesh7_core.policy import view  # noqa: PLC0415 - heavy where a pod is not found

        if self.policies is None:
            return None
        chosen = view.view_of(self.in_force.bundle, self.agent).policies
        wanted = {one.id.rpartition("/")[2] for one in chosen if self._is_own(one.id)}
        return [one for name, one in self.policies.items() if name in wanted]

    def _is_own(self, policy: str) -> bool:
        return policy.startswith(f"{self.agent.namespace}/")


def survey(kubectl: Kubectl, pod: str) -> Surveyed:
    """One pod of the namespace that commands are about.

    Raises:
        ClusterError: nobody answers, there is no such pod, it has no sidecar, or what lies in its
            namespace was signed by nobody whom it trusts.
    """
    namespace = kubectl.namespace()
    found = looking.look_together(kubectl, _questions(namespace, pod))
    there = _needed(found["pod"], f"pod `{pod}` in namespace `{namespace}`")
    _check_guarded(there, namespace, pod)
    config_map = _needed(
        found["bundle"], f"ConfigMap `{names.BUNDLE_CONFIG_MAP}` in namespace `{namespace}`"
    )
    in_force, notes = _judged_by(config_map, there, found["namespace"])
    if isinstance(found["readiness"], Hidden):
        notes.append(_NOT_ASKED)
    return Surveyed(
        agent=Agent(
            namespace=namespace,
            service_account=reading.text(there, "spec", "serviceAccountName") or "default",
            pod=pod,
            labels=_labels(there),
        ),
        in_force=in_force,
        obeyed=obeyed.said(looking.value(found["readiness"])),
        policies=_policies(found[_OF_POLICIES]),
        notes=tuple(notes),
    )


def _questions(namespace: str, pod: str) -> dict[str, looking.Question]:
    here = f"--namespace={namespace}"
    return {
        "pod": looking.get("pod", pod, here),
        "bundle": looking.get("configmap", names.BUNDLE_CONFIG_MAP, here),
        "namespace": looking.get("namespace", namespace),
        _OF_POLICIES: looking.listed(f"agentpolicies.{names.GROUP}", here),
        "readiness": lambda kubectl: _readiness(kubectl, namespace, pod),
    }


def _readiness(kubectl: Kubectl, namespace: str, pod: str) -> Object:
    """What its sidecar says; nothing where it cannot be asked, but for a right that is missing.

    Raises:
        ForbiddenError: this person may not ask it.
    """
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}:{_PORT}/proxy/readyz"
    try:
        # Nobody waits for a pod that a network policy hides.
        return read(kubectl.text("get", "--raw", path, f"--request-timeout={_PATIENCE}"))
    except ForbiddenError:
        raise
    except errors.ClusterError:
        return {}


def _needed(seen: Look, what: str) -> Object:
    match seen:
        case Seen(value=value):
            return value
        case Absent():
            raise errors.ClusterError(f"there is no {what} – see its name and its namespace (-n)")
        case Hidden(note=note):
            raise errors.ClusterError(note)


def _check_guarded(pod: Object, namespace: str, name: str) -> None:
    # Labels and enrolment only say who should have a sidecar.
    place = Namespace(name=namespace, labels={}, annotations={})
    guard = existing.guard_of(pod, place, names.RELEASE_NAMESPACE, may_opt_out=True)
    if guard is not Guard.THERE:
        raise errors.ClusterError(
            f"pod `{name}` has no sidecar of ours, or has ended: nothing judges its calls – see "
            "`kubectl mesh7 status -o wide`"
        )


def _judged_by(config_map: Object, pod: Object, place: Look) -> tuple[InForce, list[str]]:
    """What is in force by whom the Namespace trusts, else by whom the pod does."""
    of_pod = delivered.trust_of_pod(pod)
    of_place = delivered.trust_of_namespace(looking.value(place))
    start, notes = of_place or of_pod, []
    if start is None:
        raise errors.ClusterError(
            f"neither the Namespace (annotation {names.TRUST_KEYS_ANNOTATION}) nor the pod says "
            "whose bundle to believe – see the controller's log"
        )
    if of_place is None:
        why = place.note if isinstance(place, Hidden) else "the Namespace names no keys"
        notes.append(f"believed by the key that the pod was made with: {why}")
    opened = delivered.believed(config_map, start)
    if of_place is not None and of_pod is not None:
        notes.extend(_disbelief(config_map, of_pod))
    return delivered.in_force(opened), notes


def _disbelief(config_map: Object, of_pod: Trust) -> list[str]:
    """Whether the pod believes what its namespace does; keys rotate, and pods live long."""
    try:
        delivered.believed(config_map, of_pod)
    except errors.ClusterError as error:
        return [f"by the key that the pod was made with it is not believed: {error.message}"]
    return []


def _labels(pod: Object) -> dict[str, str]:
    return {name: str(text) for name, text in reading.one(pod, "metadata", "labels").items()}


def _policies(seen: Look) -> dict[str, Object] | None:
    if isinstance(seen, Hidden):
        return None
    return {reading.text(one, "metadata", "name"): one for one in looking.items(seen)}
