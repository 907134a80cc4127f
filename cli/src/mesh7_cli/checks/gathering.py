"""What checks need to know, asked of the cluster with the person's rights."""

from datetime import datetime
from typing import Final

from mesh7_cli.checks import admission, installation, installing, rights
from mesh7_cli.checks.findings import Facts
from mesh7_cli.cluster import complaints, looking
from mesh7_cli.cluster.kubectl import Kubectl, Object, read, read_many
from mesh7_cli.cluster.looking import Absent, Look, Question, Seen
from mesh7_cli.overview import gathering
from mesh7_core import names

ADMISSION: Final = "/apis/admissionregistration.k8s.io/v1"


def before(kubectl: Kubectl, release: str, now: datetime) -> Facts:
    """For an installation to come.

    Raises:
        ClusterError: nobody answers.
    """
    looks = {"version": _version(kubectl)}
    looks |= looking.look_together(
        kubectl,
        {**_basics(), "rights": lambda one: _created(one, installing.reviews(release))},
    )
    return Facts(looks=looks, now=now, release=release)


def after(kubectl: Kubectl, release: str, now: datetime) -> Facts:
    """For an installation that is there, or should be.

    Raises:
        ClusterError: nobody answers.
    """
    looks = {"version": _version(kubectl)}
    looks |= looking.look_together(kubectl, {**_basics(), **_installed(release)})
    gathered = gathering.gather(kubectl, None, release)
    looks |= gathered.looks
    accounts = rights.accounts(gathered)
    looks["accounts"] = (
        looking.look(kubectl, lambda one: _created(one, rights.reviews(accounts)))
        if accounts
        else Absent(note="there is no guarded pod")
    )
    return Facts(looks=looks, now=now, release=release, gathered=gathered)


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
        "nodes": looking.get("nodes"),
        "admission": looking.raw(ADMISSION),
        "crds": looking.get("customresourcedefinitions", *installing.CRDS, "--ignore-not-found"),
    }


def _installed(release: str) -> dict[str, Question]:
    here = f"--namespace={release}"
    return {
        "deployments": looking.get("deployments", here),
        "budgets": looking.get("poddisruptionbudgets", here),
        "lease": looking.get("lease", installation.LEASE, here),
        "trust": looking.get("configmap", names.TRUST_CONFIG_MAP, here),
        "certificates": looking.get("secrets", *admission.CERTIFICATES, "--ignore-not-found", here),
        "mutating": looking.get("mutatingwebhookconfiguration", names.WEBHOOKS),
        "validating": looking.get("validatingwebhookconfiguration", names.WEBHOOKS),
        "policies": looking.get("validatingadmissionpolicies"),
        "bindings": looking.get("validatingadmissionpolicybindings"),
        "roles": looking.get("clusterroles", *rights.STOCK),
        "daemonsets": looking.get("daemonsets", "--all-namespaces"),
    }


def _created(kubectl: Kubectl, manifest: str) -> Object:
    """Reviews with their answers; the API server keeps none of them."""
    answer = kubectl.text("create", "--filename=-", "--output=json", stdin=manifest)
    return {"items": read_many(answer)}
