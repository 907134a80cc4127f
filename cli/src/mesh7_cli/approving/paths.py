"""Our kinds by their paths on the API server: one question each, without discovery.

`kubectl get --raw` prints what the API server says as it says it: nothing is read, drawn and
written anew on the way, so that thousands of held calls list quickly.
"""

from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import quote

from mesh7_cli import reading
from mesh7_cli.cluster import kubectl as kubectls
from mesh7_cli.cluster.kubectl import Kubectl
from mesh7_core import names

REQUESTS: Final = "approvalrequests"
GRANTS: Final = "grants"
POLICIES: Final = "agentpolicies"
_BASE: Final = f"/apis/{names.API_VERSION}"


def path(kind: str, namespace: str | None, name: str = "") -> str:
    """Of a kind's objects; in all namespaces when it is None."""
    parts = [_BASE, *(() if namespace is None else ("namespaces", quote(namespace, ""))), kind]
    return "/".join([*parts, *((quote(name, ""),) if name else ())])


def listed(kubectl: Kubectl, kind: str, namespace: str | None) -> list[dict[str, object]]:
    """All objects of a kind, page by page.

    Raises:
        ClusterError: see `Kubectl.text`.
    """
    return listed_at(kubectl, kind, namespace)[0]


def listed_at(
    kubectl: Kubectl, kind: str, namespace: str | None
) -> tuple[list[dict[str, object]], str]:
    """The same, and the version to watch from.

    Raises:
        ClusterError: see `Kubectl.text`.
    """
    found: list[dict[str, object]] = []
    version = ""
    for page in _pages(kubectl, path(kind, namespace)):
        found.extend(reading.objects(page, "items"))
        # All pages are of the version of the first.
        version = version or reading.text(page, "metadata", "resourceVersion")
    return found, version


def one(kubectl: Kubectl, kind: str, namespace: str, name: str) -> dict[str, object]:
    """One object.

    Raises:
        NotThereError: there is none.
        ClusterError: see `Kubectl.text`.
    """
    return dict(kubectl.raw(path(kind, namespace, name)))


def create(
    kubectl: Kubectl, kind: str, manifest: Mapping[str, object], *, is_dry: bool = False
) -> dict[str, object]:
    """Make an object of a manifest; what the API server made of it.

    Args:
        is_dry: have everything checked and nothing stored.

    Raises:
        ClusterError: see `Kubectl.text`.
    """
    where = path(kind, reading.text(manifest, "metadata", "namespace"))
    query = f"fieldManager={_MANAGER}&fieldValidation=Strict{'&dryRun=All' if is_dry else ''}"
    text = kubectl.text(
        "create", f"--raw={where}?{query}", "--filename=-", stdin=kubectls.written(manifest)
    )
    return dict(kubectls.read(text))


def delete(kubectl: Kubectl, kind: str, namespace: str, name: str, *, is_dry: bool = False) -> None:
    """Delete an object.

    Raises:
        NotThereError: there is none.
        ClusterError: see `Kubectl.text`.
    """
    query = "?dryRun=All" if is_dry else ""
    kubectl.text("delete", f"--raw={path(kind, namespace, name)}{query}")


_MANAGER: Final = "kubectl-mesh7"
_PAGE: Final = 2_000
"""Objects of one answer, of 2 KiB as a rule and 20 KiB at most: each page is a kubectl more."""


def _pages(kubectl: Kubectl, where: str) -> Iterator[Mapping[str, object]]:
    following = ""
    while True:
        page = kubectl.raw(f"{where}?limit={_PAGE}{following}")
        yield page
        token = reading.text(page, "metadata", "continue")
        if not token:
            return
        following = f"&continue={quote(token, '')}"
