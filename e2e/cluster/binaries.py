"""The programs of a cluster: found in a folder, or built from the Go modules beside this file.

They live outside the checkout, in a folder named by everything that decides what they are
(those modules, the settings of the build), so that another version is another folder.
"""

import contextlib
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from e2e.cluster.waiting import ClusterError

_MODULE = Path(__file__).parent
_KUBERNETES = "k8s.io/kubernetes/cmd/"
_PACKAGES = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-apiserver": f"{_KUBERNETES}kube-apiserver",
    "kubectl": f"{_KUBERNETES}kubectl",
    "kube-controller-manager": f"{_KUBERNETES}kube-controller-manager",
    "helm": "helm.sh/helm/v3/cmd/helm",
    "kube-scheduler": f"{_KUBERNETES}kube-scheduler",
    "kubelet": f"{_KUBERNETES}kubelet",
    "kube-proxy": f"{_KUBERNETES}kube-proxy",
    "coredns": ".",
}
_MODULES = {"coredns": _MODULE / "dns"}  # the others are tools of the module beside this file
LEVELS = {"api": tuple(_PACKAGES)[:5], "node": tuple(_PACKAGES)}
"""The programs of each level, in the order in which they are built."""


def version() -> str:
    """The Kubernetes of go.mod, as `v1.34.4`."""
    found = re.search(r"k8s\.io/kubernetes (v[\d.]+)", (_MODULE / "go.mod").read_text())
    if found is None:
        raise ClusterError("e2e/cluster/go.mod: names no k8s.io/kubernetes")
    return found[1]


def folder() -> Path:
    """Where the programs are, or would be after `build`: `MESH7_K8S_BIN`, or our cache."""
    if given := os.environ.get("MESH7_K8S_BIN"):
        return Path(given).absolute()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "mesh7" / f"k8s-{_key()}"


def missing(level: str) -> list[str]:
    """Programs of the level that `folder()` does not have."""
    home = folder()
    return [name for name in LEVELS[level] if not os.access(home / name, os.X_OK)]


def build(level: str) -> Path:
    """Build what is missing for the level, with progress on stderr, and answer the folder.

    Each program appears whole or not at all; a second build waits for the first, and then finds
    its work done.

    Raises:
        ClusterError: Go is missing, a program does not compile, or `MESH7_K8S_BIN` is incomplete.
    """
    home = folder()
    if not missing(level):
        return home
    if "MESH7_K8S_BIN" in os.environ:
        raise ClusterError(
            f"MESH7_K8S_BIN={home}: has no {', '.join(missing(level))};"
            " add them, or unset it to build them"
        )
    if shutil.which("go") is None:
        raise ClusterError("go is missing; install Go 1.24 or newer, or set MESH7_K8S_BIN")
    home.mkdir(parents=True, exist_ok=True)
    with _alone(home.with_suffix(".lock")), tempfile.TemporaryDirectory(dir=home) as fresh:
        absent = missing(level)
        _say(f"building {', '.join(absent)}: about six minutes on two cores, once for this machine")
        for name in absent:
            _build(name, Path(fresh) / name)
            (Path(fresh) / name).rename(home / name)
    return home


def _build(name: str, target: Path) -> None:
    begun = time.monotonic()
    built = subprocess.run(
        ["go", "build", *_settings(), "-o", str(target), _PACKAGES[name]],
        cwd=_MODULES.get(name, _MODULE),
        env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"},
        stdout=sys.stderr,
        check=False,
    )
    if built.returncode != 0:
        raise ClusterError(f"go build of {name} – failed with {built.returncode}, see above")
    _say(f"{name} took {time.monotonic() - begun:.0f} s")


def _settings() -> Sequence[str]:
    """Without the stamps an API server would say that it is v0.0.0, and kubectl would warn."""
    stamp = version()
    minor = stamp.split(".")[1]
    flags = [
        f"-X k8s.io/component-base/version.gitVersion={stamp}",
        "-X k8s.io/component-base/version.gitMajor=1",
        f"-X k8s.io/component-base/version.gitMinor={minor}",
        f"-X k8s.io/client-go/pkg/version.gitVersion={stamp}",
    ]
    return ["-trimpath", "-buildvcs=false", "-ldflags", " ".join(["-s -w", *flags])]


def _key() -> str:
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum", "dns/go.mod", "dns/go.sum", "dns/main.go"):
        digest.update((_MODULE / name).read_bytes())
    digest.update("\n".join([*_settings(), sys.platform, platform.machine()]).encode())
    return digest.hexdigest()[:12]


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("somebody else builds; waiting for them …")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _say(text: str) -> None:
    sys.stderr.write(f"mesh7: {text}\n")
    sys.stderr.flush()
