"""Standing Grants and vetoes as people ask for them, written out by the compiler's own drafts."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from mesh7_cli import exits, neutral, reading
from mesh7_cli.approving import paths
from mesh7_cli.backend import Object
from mesh7_cli.cluster import looking
from mesh7_cli.cluster.errors import NotThereError
from mesh7_cli.cluster.kubectl import Kubectl
from mesh7_core import errors, names
from mesh7_core.compiling import compiler, drafting
from mesh7_core.delivery import payloads
from mesh7_core.policy.rules import Policy

_OWN: Final = "policies"
_BASELINE: Final = "baseline"
_PLACE: Final = "place"


def permission(
    kubectl: Kubectl,
    namespace: str,
    release: str,
    wish: Mapping[str, object],
    new_suffix: Callable[[], str],
) -> tuple[Object, str]:
    """The Grant that lets calls pass for a while, and a note on what was not looked at.

    Args:
        release: the namespace of the baseline.
        wish: see `backend.Backend.grant`; `pod` in place of `agent` for one pod alone.

    Raises:
        RefusedError: no policy asks, several do, or none lets itself be relaxed so far.
        ClusterError: nobody answers.
    """
    pod = reading.text(wish, "pod")
    agent = reading.text(wish, "agent") or _agent_of(kubectl, namespace, pod)
    asked = _wished(wish, agent)
    policies, note = _policies(kubectl, namespace, release, asked)
    drafted = drafting.draft(
        asked,
        policies,
        namespace=namespace,
        suffix=new_suffix(),
        now=datetime.now(UTC),
    )
    if isinstance(drafted, drafting.Undrafted):
        raise exits.RefusedError(neutral.line("; ".join(filter(None, (drafted.why, note)))))
    made = _manifest(drafted)
    if pod:
        reading.one(made, "spec")["subject"] = {"pod": pod}
    return made, note


def veto(namespace: str, agent: str | None, reason: str, new_suffix: Callable[[], str]) -> Object:
    """The Grant that stops every call of an agent, None = of everybody in the namespace."""
    return _manifest(
        drafting.veto(
            agent, reason, namespace=namespace, suffix=new_suffix(), now=datetime.now(UTC)
        )
    )


def _wished(wish: Mapping[str, object], agent: str) -> drafting.Wish:
    return drafting.Wish(
        tool=reading.text(wish, "tool"),
        service_account=agent,
        lasts=timedelta(seconds=reading.number(wish, "forSeconds")),
        reason=reading.text(wish, "reason"),
        uses=reading.number(wish, "uses") or None,
        when=reading.text(wish, "when") or None,
        policy=reading.text(wish, "policy") or None,
    )


def _manifest(drafted: Mapping[str, object]) -> Object:
    """As an API server takes it: when it is made is for that to say."""
    metadata = reading.one(drafted, "metadata")
    kept = {key: value for key, value in metadata.items() if key != "creationTimestamp"}
    return {**drafted, "metadata": kept}


def _agent_of(kubectl: Kubectl, namespace: str, pod: str) -> str:
    """The service account of a pod."""
    try:
        found = kubectl.json("get", "pod", pod, f"--namespace={namespace}")
    except NotThereError as error:
        message = (
            f"there is no pod `{neutral.line(pod)}` in namespace `{namespace}` – "
            f"`kubectl get pods -n {namespace}`"
        )
        raise exits.UnknownError(message) from error
    return reading.text(found, "spec", "serviceAccountName") or "default"


def _policies(
    kubectl: Kubectl, namespace: str, release: str, asked: drafting.Wish
) -> tuple[list[Policy], str]:
    """Those of the namespace and the baseline's that bear on it, compiled one by one."""

    def listing(where: str) -> looking.Question:
        return lambda asked: {"items": paths.listed(asked, paths.POLICIES, where)}

    found = looking.look_together(
        kubectl,
        {
            _OWN: listing(namespace),
            _BASELINE: listing(release),
            _PLACE: looking.get("namespace", namespace),
        },
    )
    if isinstance(kind := found[_OWN], looking.Absent):
        raise errors.ClusterError(kind.note)
    labels = reading.one(looking.value(found[_PLACE]), "metadata", "labels")
    own, baseline = (
        [
            policy
            for value in looking.items(found[kind])
            for policy in _compiled(value, namespace, release, labels)
        ]
        for kind in (_OWN, _BASELINE)
    )
    # Where a policy of the namespace asks, few may see the baseline, and few need to.
    of_interest = (_OWN,) if drafting.is_asked_by(own, asked) else (_OWN, _BASELINE)
    return own + baseline, "; ".join(looking.notes({kind: found[kind] for kind in of_interest}))


def _compiled(
    value: Mapping[str, object], namespace: str, release: str, labels: Mapping[str, object]
) -> tuple[Policy, ...]:
    """One policy; nothing where it does not compile, or does not bear on the namespace."""
    is_baseline = reading.text(value, "metadata", "namespace") == release
    kinds = {"apiVersion": names.API_VERSION, "kind": names.AGENT_POLICY}
    document = payloads.document_of({**kinds, **value}, is_baseline=is_baseline)
    written = compiler.compile_set(
        [document],
        namespace=namespace,
        namespace_labels={key: str(text) for key, text in labels.items()},
        in_cluster=True,
        release_namespace=release,
    )
    return written.bundle.policies if written.bundle is not None else ()
