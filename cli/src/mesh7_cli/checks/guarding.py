"""Checks of what is guarded: pods without sidecars, old ones, levels, policies, bundles.

Pure: no clock, no network, no logging.
"""

from collections.abc import Iterator
from typing import Final

from mesh7_cli import reading
from mesh7_cli.checks.findings import MOST_DETAILS, Category, Check, Facts, Finding, fatal, ok, warn
from mesh7_cli.overview.namespaces import Overview
from mesh7_core import names
from mesh7_core.injection.outcomes import Level

ENFORCING: Final = {
    "anetd": "GKE Dataplane V2",
    "antrea-agent": "Antrea",
    "azure-npm": "Azure Network Policy Manager",
    "calico-node": "Calico",
    "canal": "Canal",
    "cilium": "Cilium",
    "kube-router": "kube-router",
    "ovnkube-node": "OVN-Kubernetes",
    "weave-net": "Weave Net",
}
"""DaemonSets of networks that are known to enforce NetworkPolicies."""
_FENCED: Final = {Level.GUARDED.value, Level.ENFORCED.value}
_ORDER: Final = [level.value for level in Level]


def _enrolled(facts: Facts) -> tuple[Overview, ...]:
    return () if facts.gathered is None else facts.gathered.overviews


def _labels(facts: Facts) -> Finding:
    wrong = [
        f"{one.name}: {label}={value}"
        for one in _enrolled(facts)
        if one.place is not None
        for label, known in (
            (names.INJECTION_LABEL, set(names.INJECTION_VALUES)),
            (names.ENFORCEMENT, set(_ORDER)),
        )
        for value in [one.place.labels.get(label)]
        if value is not None and value not in known
    ]
    if wrong:
        return fatal("labels of namespaces mean nothing: their new pods are refused", wrong)
    count = len(_enrolled(facts))
    if not count:
        return warn(
            "no namespace is enrolled – "
            f"`kubectl label namespace NAME {names.INJECTION_LABEL}=enabled`"
        )
    return ok(f"{count} namespace{'' if count == 1 else 's'}")


def _unguarded(facts: Facts) -> Finding:
    found = [pod for one in _enrolled(facts) for pod in one.unguarded]
    if found:
        shown = [f"{pod.namespace}/{pod.name}: {pod.why}" for pod in found[:MOST_DETAILS]]
        return fatal(
            "pods run without a sidecar where they should have one – make them anew "
            "(`kubectl rollout restart`), or see why they would be refused",
            [*shown, *(pod.name for pod in found[MOST_DETAILS:])],
        )
    return ok()


def _stale(facts: Facts) -> Finding:
    found = [
        f"{pod.namespace}/{pod.name}: {pod.image}"
        for one in _enrolled(facts)
        for pod in one.stale or ()
    ]
    if found:
        return warn(
            "sidecars are not the image that new pods get – they are replaced when their pods "
            "are made anew (`kubectl rollout restart`)",
            found,
        )
    return ok()


def _levels(facts: Facts) -> Finding:
    found = [
        f"{pod.namespace}/{pod.name}: {pod.level or 'no level'}, asked is {one.level}"
        for one in _enrolled(facts)
        if one.level in _ORDER
        for pod in one.guarded
        if pod.level not in _ORDER or _ORDER.index(pod.level) < _ORDER.index(one.level)
    ]
    if found:
        return warn("pods were made before their namespace asked for more – make them anew", found)
    return ok()


def _fenced(facts: Facts) -> Iterator[Overview]:
    return (one for one in _enrolled(facts) if one.level in _FENCED)


def _network_policies(facts: Facts) -> Finding:
    missing = [one.name for one in _fenced(facts) if one.egress == ""]
    if missing:
        return fatal(
            f"no NetworkPolicy `{names.NETWORK_POLICY}` in these – the controller makes it; "
            "see its log",
            missing,
        )
    wide = [one.name for one in _fenced(facts) if one.egress == "open"]
    if wide:
        return warn(
            "pods of these reach any address of some port, because their sources are outside of "
            f"the cluster – annotations of NetworkPolicy `{names.NETWORK_POLICY}` say which",
            wide,
        )
    return ok()


def _enforcing(facts: Facts) -> Finding:
    found = [one.name for one in _fenced(facts)]
    if not found:
        return ok("no namespace asks for more than Cooperative")
    known = sorted(
        {ENFORCING[name] for name in map(_name, facts.items("daemonsets")) if name in ENFORCING}
    )
    if known:
        return ok(", ".join(known))
    return warn(
        "it cannot be proven that this cluster's network enforces NetworkPolicies; where it does "
        "not, Guarded is custody of credentials alone",
        found,
    )


def _name(value: dict[str, object]) -> str:
    return reading.text(value, "metadata", "name")


def _bundles(facts: Facts) -> Finding:
    found = [one.name for one in _enrolled(facts) if one.bundle == ""]
    if found:
        return fatal(
            f"no ConfigMap `{names.BUNDLE_CONFIG_MAP}` in these: every call is denied with "
            "no-bundle – see the controller's log",
            found,
        )
    return ok()


def _policies(facts: Facts) -> Finding:
    found = [
        f"{one.name}/{name}: {reason}"
        for one in _enrolled(facts)
        if one.policies is not None
        for name, reason in one.policies.troubled.items()
    ]
    if found:
        return warn(
            "policies are not accepted or not ready – `kubectl describe agentpolicy`", found
        )
    return ok()


CATEGORY: Final = Category(
    name="guarded pods",
    checks=(
        Check(
            name="namespaces", title="namespaces are enrolled", judge=_labels, needs=("enrolled",)
        ),
        Check(
            name="unguarded-pods",
            title="every pod that should has a sidecar",
            judge=_unguarded,
            needs=("enrolled", "pods"),
        ),
        Check(
            name="stale-sidecars",
            title="sidecars are those of new pods",
            after="settings",
            judge=_stale,
            needs=("pods", "settings"),
        ),
        Check(name="levels", title="pods achieve what is asked", judge=_levels, needs=("pods",)),
        Check(
            name="network-policies",
            title="guarded namespaces have their NetworkPolicy",
            judge=_network_policies,
            needs=("fences",),
        ),
        Check(
            name="enforcing-network",
            title="the network enforces NetworkPolicies",
            judge=_enforcing,
            needs=("daemonsets",),
        ),
        Check(
            name="bundles",
            title="every enrolled namespace has its bundle",
            judge=_bundles,
            needs=("bundles",),
        ),
        Check(
            name="policies",
            title="policies are accepted and ready",
            after="kinds",
            judge=_policies,
            needs=("agentpolicies",),
        ),
    ),
)
