"""A cluster as tests see it: ours or any other, by its URL, its CA and whoever one wants to be."""

import base64
import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import yaml

from e2e.cluster import keys, speaking
from e2e.cluster.kubectl import Kubectl, KubectlError
from e2e.cluster.waiting import ClusterError, until

_PATIENCE_S = 110.0


class Doorkeeper(Protocol):
    """Whoever can write a kubeconfig for any user."""

    def kubeconfig(self, user: str, groups: Sequence[str]) -> str:
        """The kubeconfig's text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuing:
    """Knows the CA's key, so it issues client certificates; our own clusters."""

    url: str
    authority: keys.Pair

    def kubeconfig(self, user: str, groups: Sequence[str]) -> str:
        """A kubeconfig with a fresh client certificate."""
        pair = keys.client(self.authority, user, groups)
        return keys.kubeconfig(self.url, self.authority.certificate, pair)


@dataclass(frozen=True, slots=True, kw_only=True)
class Impersonating:
    """Has an administrator's kubeconfig, who acts as anybody; clusters of others."""

    kubeconfig_of_admin: dict[str, Any]

    def kubeconfig(self, user: str, groups: Sequence[str]) -> str:
        """The administrator's kubeconfig, with `as` and `as-groups`."""
        written: dict[str, Any] = yaml.safe_load(yaml.safe_dump(self.kubeconfig_of_admin))
        for entry in written["users"]:
            entry["user"] |= {"as": user, "as-groups": [*groups, "system:authenticated"]}
        return yaml.safe_dump(written)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A running API server.

    Attributes:
        url: `https://HOST:PORT`.
        ca: a file with the authority of its certificate, PEM.
        admin: a kubeconfig of a cluster administrator.
        folder: for what is written about it; goes with it.
        program: kubectl.
        is_spared: whether it is not started for what is simple and often done.
    """

    url: str
    ca: Path
    admin: Path
    folder: Path
    program: Path
    doorkeeper: Doorkeeper
    is_spared: bool = True

    @property
    def kubectl(self) -> Kubectl:
        """The administrator's: `cluster.kubectl("get", "pods")`, `.json`, `.apply`, `.wait`."""
        return self._kubectl(self.admin)

    def kubectl_of(self, user: str, groups: Sequence[str] = ()) -> Kubectl:
        """Kubectl of somebody else."""
        return self._kubectl(self.kubeconfig(user, groups))

    def _kubectl(self, kubeconfig: Path) -> Kubectl:
        return Kubectl(
            program=self.program, kubeconfig=kubeconfig, home=self.folder, is_spared=self.is_spared
        )

    def kubeconfig(self, user: str, groups: Sequence[str] = ()) -> Path:
        """A kubeconfig file for a user in these groups; the same file when asked again.

        `system:serviceaccount:NAMESPACE:NAME` with the groups `system:serviceaccounts` and
        `system:serviceaccounts:NAMESPACE` has a service account's rights.
        """
        told = "\n".join([user, *groups])
        slug = re.sub(r"[^A-Za-z0-9]+", "-", user)[:40]
        path = self.folder / "kubeconfigs" / f"{slug}-{_short(told)}.yaml"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.doorkeeper.kubeconfig(user, groups))
            path.chmod(0o600)
        return path

    def apply(self, manifest: Path | str, namespace: str | None = None) -> str:
        """Apply a file, a folder or YAML text as the administrator, into the namespace if given."""
        return self.kubectl.apply(manifest, *([f"--namespace={namespace}"] if namespace else []))

    def token(
        self,
        namespace: str,
        service_account: str,
        audience: str | None = None,
        *,
        pod: str | None = None,
        lifetime_s: int = 3600,
    ) -> str:
        """A service account's token, by the TokenRequest API.

        Args:
            namespace: the account's.
            service_account: the account's name.
            audience: for whom; the API server itself when not given.
            pod: bind it to this pod of the namespace, which must exist.
            lifetime_s: at least 600.
        """
        bound = ["--bound-object-kind=Pod", f"--bound-object-name={pod}"] if pod else []
        heard = [f"--audience={audience}"] if audience else []
        return self.kubectl(
            "create",
            "token",
            service_account,
            f"--namespace={namespace}",
            f"--duration={lifetime_s}s",
            *heard,
            *bound,
        ).strip()

    def new_namespace(
        self,
        prefix: str = "t",
        labels: dict[str, str] | None = None,
        annotations: dict[str, str] | None = None,
    ) -> str:
        """Make a namespace with a name that nobody had, and answer it once it has its account."""
        name = f"{prefix}-{secrets.token_hex(4)}"
        about = {"name": name, "labels": labels or {}, "annotations": annotations or {}}
        self.apply(yaml.safe_dump({"apiVersion": "v1", "kind": "Namespace", "metadata": about}))
        until(lambda: self._has_account(name), f"{name} has its account", timeout_s=_PATIENCE_S)
        return name

    def _has_account(self, namespace: str) -> bool:
        try:
            self.kubectl.json("get", "serviceaccount", "default", "-n", namespace)
        except KubectlError:
            return False
        return True

    def forget_namespace(self, name: str) -> None:
        """Begin to delete it, if it is there, and wait for nothing."""
        try:
            speaking.client(self.admin).ask("DELETE", f"/api/v1/namespaces/{name}")
        except (speaking.NotSpokenError, speaking.LostAnswerError):
            # It is fine when it is gone already.
            self.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")


def elsewhere(kubeconfig: Path, folder: Path, program: Path) -> Cluster:
    """Any other cluster, by an administrator's kubeconfig with its secrets inside or beside it.

    Raises:
        ClusterError: the kubeconfig's current context leads nowhere, or has no CA.
    """
    kubectl = Kubectl(program=program, kubeconfig=kubeconfig, home=folder)
    shown = yaml.safe_load(kubectl("config", "view", "--minify", "--flatten", "--raw"))
    found = shown["clusters"][0]["cluster"]
    if "certificate-authority-data" not in found:
        raise ClusterError(f"{kubeconfig}: its cluster has no certificate-authority")
    ca = folder / "ca.crt"
    ca.write_bytes(base64.b64decode(found["certificate-authority-data"]))
    admin = folder / "admin.yaml"
    admin.write_text(yaml.safe_dump(shown))
    admin.chmod(0o600)
    return Cluster(
        url=found["server"],
        ca=ca,
        admin=admin,
        folder=folder,
        program=program,
        doorkeeper=Impersonating(kubeconfig_of_admin=shown),
    )


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:10]
