"""What checks need to know, asked of the cluster with the person's rights."""

import functools
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from mesh7_cli.checks import admission, clocks, installation, installing, rights
from mesh7_cli.checks.findings import Facts
from mesh7_cli.cluster import complaints, looking
from mesh7_cli.cluster.kubectl import MANY, Kubectl, Object, read, read_many
from mesh7_cli.cluster.looking import Look, Question, Seen
from mesh7_cli.overview import gathering
from mesh7_core import names

Clock = Callable[[], datetime]
"""The person's; aware."""
ADMISSION: Final = "/apis/admissionregistration.k8s.io/v1"


def before(kubectl: Kubectl, release: str, clock: Clock) -> Facts:
    """For an installation to come.

    Raises:
        ClusterError: nobody answers.
    """
    started = clock()
    looks = _first(kubectl, clock)
    looks |= looking.look_together(
        kubectl,
        {**_basics(), "rights": lambda one: _created(one, installing.reviews(release))},
    )
    return Facts(looks=looks, now=started, release=release, took=clock() - started)


def after(kubectl: Kubectl, release: str, clock: Clock) -> Facts:
    """For an installation that is there, or should be.

    Raises:
        ClusterError: nobody answers.
    """
    started = clock()
    looks = _first(kubectl, clock)
    looks |= looking.look_together(kubectl, {**_basics(), **_installed(release), **_bound()})
    gathered = gathering.gather(kubectl, None, release)
    looks |= gathered.looks
    looks["accounts"] = _accounts(kubectl, rights.accounts(gathered))
    return Facts(
        looks=looks, now=started, release=release, gathered=gathered, took=clock() - started
    )


def _first(kubectl: Kubectl, clock: Clock) -> dict[str, Look]:
    """Whether anybody answers, and what time it is there."""
    return {
        "version": _version(kubectl),
        "clock": looking.look(kubectl, lambda one: _timed(one, clock)),
    }


def _timed(kubectl: Kubectl, clock: Clock) -> Object:
    """A review with the API server's time on it, between two times of the person's own clock."""
    asked = json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"})
    started = clock()
    found = read(kubectl.text("create", "--filename=-", "--output=json", stdin=asked))
    around = {clocks.BEFORE: started.isoformat(), clocks.AFTER: clock().isoformat()}
    return {**found, **around}


def _version(kubectl: Kubectl) -> Look:
    """Of kubectl and of the API server; kubectl tells its own even when nobody answers it.

    Raises:
        ClusterError: nobody answers.
    """
    code, stdout, stderr = kubectl.ran("version", "--output=json")
    if code != 0:
        raise complaints.error_of(stderr, code)
    return Seen(value=read(stdout))


def _basics() -> dict[str, Question]:
    return {
        "nodes": looking.listed("nodes"),
        "admission": looking.raw(ADMISSION),
        "crds": looking.get("customresourcedefinitions", *installing.CRDS, "--ignore-not-found"),
        clocks.NODES: looking.listed("leases", "--namespace=kube-node-lease"),
    }


def _installed(release: str) -> dict[str, Question]:
    here = f"--namespace={release}"
    return {
        "deployments": looking.listed("deployments", here),
        "budgets": looking.listed("poddisruptionbudgets", here),
        "lease": looking.get("lease", installation.LEASE, here),
        "trust": looking.get("configmap", names.TRUST_CONFIG_MAP, here),
        "certificates": looking.secret_keys(
            tuple(admission.CERTIFICATES), admission.KEYS, "--ignore-not-found", here
        ),
        "mutating": looking.get("mutatingwebhookconfiguration", names.WEBHOOKS),
        "validating": looking.get("validatingwebhookconfiguration", names.WEBHOOKS),
        "policies": looking.listed("validatingadmissionpolicies"),
        "bindings": looking.listed("validatingadmissionpolicybindings"),
        "roles": looking.get("clusterroles", *rights.STOCK),
        "daemonsets": looking.listed("daemonsets", "--all-namespaces"),
    }


def _bound() -> dict[str, Question]:
    """Who has which rights, as far as this person may see it."""
    return {
        "clusterroles": looking.listed("clusterroles"),
        "clusterrolebindings": looking.listed("clusterrolebindings"),
        "allroles": looking.listed("roles", "--all-namespaces"),
        "rolebindings": looking.listed("rolebindings", "--all-namespaces"),
    }


def _accounts(kubectl: Kubectl, accounts: Sequence[tuple[str, str]]) -> Look:
    """What all of them may do, some at a time, for each costs requests of its own."""
    found = looking.look_together(
        kubectl,
        {
            str(start): functools.partial(
                _created, manifest=rights.reviews(accounts[start : start + rights.AT_ONCE])
            )
            for start in range(0, len(accounts), rights.AT_ONCE)
        },
    )
    for one in found.values():
        if not isinstance(one, Seen):
            return one
    return Seen(
        value={"items": [review for one in found.values() for review in looking.items(one)]}
    )


def _created(kubectl: Kubectl, manifest: str) -> Object:
    """Reviews with their answers; the API server keeps none of them."""
    reviewed = ("create", "--filename=-", "--output=json")
    answer = kubectl.text(*reviewed, stdin=manifest, requests=MANY)
    return {"items": read_many(answer)}
