"""Checks of the cluster itself: versions, and what mesh7 stands on.

Pure: no clock, no network, no logging.
"""

import re
from collections.abc import Mapping
from typing import Final

from mesh7_cli import reading
from mesh7_cli.checks.clocks import CLOCKS
from mesh7_cli.checks.findings import Category, Check, Facts, Finding, fatal, ok, warn
from mesh7_cli.cluster.complaints import OLDEST

OLDEST_KUBELET: Final = (1, 29)
"""The first with native sidecars."""

Version = tuple[int, int]


def version_of(text: str) -> Version | None:
    """Major and minor of `v1.34.4-gke.1`; None for what is none."""
    found = re.match(r"v?(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def _client(facts: Facts) -> Finding:
    client = _spoken(facts.value("version"), "clientVersion")
    server = _spoken(facts.value("version"), "serverVersion")
    if client is None or client < OLDEST:
        return fatal(f"kubectl is {_shown(client)} – install {_shown(OLDEST)} or newer")
    if server is not None and abs(client[1] - server[1]) > 1:
        return warn(
            f"kubectl is {_shown(client)} and the API server {_shown(server)} – they go together "
            "when they are at most one minor version apart"
        )
    return ok(_shown(client))


def _api_server(facts: Facts) -> Finding:
    server = _spoken(facts.value("version"), "serverVersion")
    if server is None:
        return fatal("the API server does not say its version – see `kubectl version`")
    if server < OLDEST:
        return fatal(
            f"the API server is {_shown(server)} – mesh7 needs {_shown(OLDEST)} or newer, for "
            "admission policies and native sidecars"
        )
    return ok(_shown(server))


def _kubelets(facts: Facts) -> Finding:
    nodes = {
        name: version_of(reading.text(one, "status", "nodeInfo", "kubeletVersion"))
        for name, one in facts.named("nodes").items()
    }
    old = [f"{name}: {_shown(found)}" for name, found in nodes.items() if _is_old(found)]
    if old:
        return fatal(
            f"kubelets need {_shown(OLDEST_KUBELET)} or newer, else sidecars start as containers "
            "that never end – upgrade these nodes, or keep guarded pods away from them",
            old,
        )
    if not nodes:
        return warn("there is no node yet")
    return ok(f"{len(nodes)} node{'' if len(nodes) == 1 else 's'}")


def _admission(facts: Facts) -> Finding:
    served = {reading.text(one, "name") for one in _resources(facts.value("admission"))}
    if {"validatingadmissionpolicies", "validatingadmissionpolicybindings"} <= served:
        return ok()
    return fatal(
        "the API server does not serve admissionregistration.k8s.io/v1 ValidatingAdmissionPolicy "
        "– nothing would hold when webhooks are deleted; upgrade it"
    )


def _resources(value: Mapping[str, object]) -> list[dict[str, object]]:
    return reading.objects(value, "resources")


def _is_old(found: Version | None) -> bool:
    return found is None or found < OLDEST_KUBELET


def _spoken(value: Mapping[str, object], who: str) -> Version | None:
    return version_of(reading.text(value, who, "gitVersion"))


def _shown(version: Version | None) -> str:
    return "of an unknown version" if version is None else f"{version[0]}.{version[1]}"


ANSWERING: Final = Check(
    name="api-server",
    title="the API server answers",
    # Where nobody answers, nothing is asked.
    judge=lambda _facts: ok(),
)
CATEGORY: Final = Category(
    name="kubernetes",
    checks=(
        ANSWERING,
        Check(name="kubectl-version", title="kubectl is new enough", judge=_client),
        Check(name="api-server-version", title="the API server is new enough", judge=_api_server),
        Check(
            name="kubelet-versions",
            title="every kubelet runs native sidecars",
            judge=_kubelets,
            needs=("nodes",),
        ),
        Check(
            name="admission-policies-served",
            title="the API server has admission policies",
            judge=_admission,
            needs=("admission",),
        ),
        CLOCKS,
    ),
)
