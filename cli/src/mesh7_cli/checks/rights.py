"""Checks of who may do what: stock roles, and the accounts of guarded pods.

Pure: no clock, no network, no logging.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from mesh7_cli import reading
from mesh7_cli.checks import holders
from mesh7_cli.checks.findings import Category, Check, Facts, Finding, fatal, ok, warn
from mesh7_cli.overview.gathering import Gathered
from mesh7_core import names

ROLES: Final = ("mesh7-viewer", "mesh7-policy-editor", "mesh7-approver", "mesh7-admin")
"""ClusterRoles of the chart that people are bound to."""
STOCK: Final = ("view", "edit", "admin")
OURS: Final = {names.VERB_APPROVE, names.VERB_ACCEPT, names.VERB_DEBUG, names.VERB_ENROL}
_GIVING: Final = {"create", "update", "patch", "delete", "*"}
_MOST_PLACES: Final = 3
AT_ONCE: Final = 50
"""Accounts in one manifest."""

_ASKED: Final[tuple[dict[str, str], ...]] = (
    {"verb": "get", "resource": "secrets", "name": names.CREDENTIALS_SECRET},
    {"verb": "create", "resource": "pods"},
    {"verb": names.VERB_APPROVE, "resource": "agentpolicies", "group": names.GROUP},
    {"verb": names.VERB_DEBUG, "resource": "pods", "group": names.GROUP},
)


def accounts(gathered: Gathered) -> list[tuple[str, str]]:
    """Namespace and name of all accounts that guarded pods run as."""
    found = {(pod.namespace, pod.agent) for one in gathered.overviews for pod in one.guarded}
    return sorted(found)


def reviews(found: Iterable[tuple[str, str]]) -> str:
    """What is asked of the API server about these accounts, as one manifest."""
    items = [
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": f"system:serviceaccount:{namespace}:{name}",
                "groups": [
                    "system:serviceaccounts",
                    f"system:serviceaccounts:{namespace}",
                    "system:authenticated",
                ],
                "resourceAttributes": {"namespace": namespace, **asked},
            },
        }
        for namespace, name in found
        for asked in _ASKED
    ]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def _stock(facts: Facts) -> Finding:
    wrong = [
        f"{name}: {what}"
        for name, role in facts.named("roles").items()
        if name in STOCK
        for rule in reading.objects(role, "rules")
        for what in _too_much(rule)
    ]
    if wrong:
        return fatal(
            "whoever may change pods may thereby approve what they do – remove these rules from "
            "what is aggregated into the stock roles",
            list(dict.fromkeys(wrong)),
        )
    return ok()


def _too_much(rule: Mapping[str, object]) -> list[str]:
    """What a rule of a stock role gives that is ours to give."""
    if not {names.GROUP, "*"} & set(reading.texts(rule, "apiGroups")):
        return []
    verbs = set(reading.texts(rule, "verbs"))
    found = [f"verb {verb}" for verb in sorted(verbs & {*OURS, "*"})]
    if {"grants", "*"} & set(reading.texts(rule, "resources")) and verbs & _GIVING:
        found.append("grants may be written")
    return found


def _agents(facts: Facts) -> Finding:
    may: dict[str, set[str]] = {}
    for review in facts.items("accounts"):
        if reading.truth(review, "status", "allowed"):
            asked = reading.one(review, "spec", "resourceAttributes")
            what = f"{reading.text(asked, 'verb')} {reading.text(asked, 'resource')}"
            may.setdefault(reading.text(review, "spec", "user"), set()).add(what)
    found = [
        f"{user.removeprefix('system:serviceaccount:')}: {trouble}"
        for user, verbs in sorted(may.items())
        for trouble in _troubles(verbs)
    ]
    if found:
        return warn(
            "agents run as accounts that get around their sidecar – take these rights from them",
            found,
        )
    return ok()


def _troubles(verbs: set[str]) -> list[str]:
    found = []
    if "get secrets" in verbs:
        found.append(f"may read Secret {names.CREDENTIALS_SECRET}")
    if {"create pods", "approve agentpolicies"} <= verbs:
        found.append("may create pods and approve what they ask for")
    elif "approve agentpolicies" in verbs:
        found.append("may approve what it asks for itself")
    if "debug pods" in verbs:
        found.append("may look into sidecars")
    return found


def _roles(facts: Facts) -> Finding:
    there = facts.named("clusterroles")
    missing = [name for name in ROLES if name not in there]
    if missing:
        return warn("roles for people are missing – `helm upgrade` restores them", missing)
    return ok()


def _makers(facts: Facts) -> Finding:
    enrolled = [] if facts.gathered is None else [one.name for one in facts.gathered.overviews]
    found = holders.of_both(
        [*facts.items("clusterroles"), *facts.items("allroles")],
        [*facts.items("clusterrolebindings"), *facts.items("rolebindings")],
        enrolled,
        facts.release,
    )
    if found:
        return warn(
            "these may approve calls and make the pods that ask: who makes an agent's pod can ask "
            "by it, and say yes – take one of the two from them",
            [f"{kind} {name}: {_where(places)}" for (kind, name), places in found.items()],
        )
    return ok()


def _where(places: Sequence[str]) -> str:
    shown = ", ".join(places[:_MOST_PLACES])
    return f"{shown}, …" if len(places) > _MOST_PLACES else shown


CATEGORY: Final = Category(
    name="rights",
    checks=(
        Check(
            name="stock-roles",
            title="the stock roles give nothing of ours",
            judge=_stock,
            needs=("roles",),
        ),
        Check(
            name="our-roles",
            title="mesh7's roles for people are there",
            judge=_roles,
            needs=("clusterroles",),
        ),
        Check(
            name="powerful-agents",
            title="agents cannot get around their sidecar by their own rights",
            judge=_agents,
            needs=("enrolled", "pods", "accounts"),
        ),
        Check(
            name="approvers-who-make-pods",
            title="nobody both approves calls and makes the pods that ask",
            judge=_makers,
            needs=("enrolled", "clusterroles", "clusterrolebindings", "allroles", "rolebindings"),
        ),
    ),
)
