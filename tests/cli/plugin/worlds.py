"""Worlds that the fake kubectl tells of, built from the chart that we render."""

import base64
import copy
import json
import shutil
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mesh7_cli.cluster.kubectl import Kubectl
from mesh7_core.injection import settings as injection_settings
from tests.cli.plugin import fake_kubectl

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "tests/golden/charts/default.yaml"
RELEASE = "mesh7-system"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
PRIVATE = "a private key"
"""What stands in each Secret, and is nobody's to read."""
KEY = base64.b64encode(bytes(32)).decode()

Object = dict[str, Any]


def now() -> datetime:
    """A clock that stands still."""
    return NOW


@cache
def _chart() -> list[Object]:
    found = yaml.load_all(CHART.read_text(), yaml.CSafeLoader)
    # Hooks are there for a moment only.
    return [
        one
        for one in found
        if one is not None and "helm.sh/hook" not in one["metadata"].get("annotations", {})
    ]


@cache
def _kinds() -> list[Object]:
    return [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "crds").glob("*.yaml"))]


def image() -> str:
    """Of the sidecars that the chart's settings make."""
    (found,) = [one for one in _chart() if one["metadata"]["name"] == "mesh7-injection"]
    return injection_settings.read(found["data"][injection_settings.KEY]).image


def installed() -> list[Object]:
    """Everything of an installation that works, without any enrolled namespace."""
    found = copy.deepcopy([*_chart(), *_kinds()])
    bundle = base64.b64encode(authority().public).decode()
    for one in found:
        if one["kind"] == "Deployment":
            replicas = one["spec"]["replicas"]
            one["status"] = {"availableReplicas": replicas}
        if one["kind"] == "CustomResourceDefinition":
            one["status"] = {"conditions": [{"type": "Established", "status": "True"}]}
        for hook in one.get("webhooks", ()):
            hook["clientConfig"]["caBundle"] = bundle
    return [
        *found,
        config_map("mesh7-trust", RELEASE, {"key": KEY}),
        certificate("mesh7-injector"),
        certificate("mesh7-exchange"),
        named("Lease", "mesh7-controller", RELEASE, spec={
            "holderIdentity": "mesh7-controller-0",
            "leaseDurationSeconds": 15,
            "renewTime": "2026-11-21T11:59:58.000000Z",
        }),
        named("Service", "kubernetes", "default", spec={"clusterIP": "10.96.0.1"}),
        named("Node", "node1", status={"nodeInfo": {"kubeletVersion": "v1.34.4"}}),
        *(named("ClusterRole", name, rules=[]) for name in ("view", "edit", "admin")),
    ]  # fmt: skip


def named(kind: str, name: str, namespace: str = "", **parts: object) -> Object:
    """One object."""
    metadata: Object = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"kind": kind, "metadata": metadata, **parts}


def namespace(name: str, **labels: str) -> Object:
    """A Namespace; `injection="enabled"`, `enforcement="Guarded"`."""
    found = named("Namespace", name)
    found["metadata"]["labels"] = {f"mesh7.dev/{key}": value for key, value in labels.items()}
    return found


def config_map(name: str, where: str, data: dict[str, str]) -> Object:
    """A ConfigMap."""
    return named("ConfigMap", name, where, data=data)


def delivered(where: str, version: str = "1763712000000") -> Object:
    """The bundle of a namespace."""
    found = named("ConfigMap", "mesh7-bundle", where)
    found["metadata"]["annotations"] = {"mesh7.dev/bundle-version": version}
    return found


def fence(where: str, egress: str = "closed") -> Object:
    """The NetworkPolicy of a namespace."""
    found = named("NetworkPolicy", "mesh7-guarded", where)
    found["metadata"]["annotations"] = {"mesh7.dev/egress": egress}
    return found


def policy(name: str, where: str, reason: str = "", pods: tuple[int, int] = (0, 0)) -> Object:
    """An AgentPolicy; with a reason it is not accepted."""
    status = {
        "conditions": [
            {
                "type": "Accepted",
                "status": "False" if reason else "True",
                "reason": reason or "Valid",
            },
            {"type": "Ready", "status": "False" if reason else "True", "reason": reason or "Valid"},
        ],
        "pods": {"current": pods[0], "matched": pods[1]},
    }
    return named("AgentPolicy", name, where, status=status)


def pod(name: str, where: str, *, phase: str = "Running") -> Object:
    """A pod without a sidecar."""
    spec = {"serviceAccountName": "support", "containers": [{"name": "agent", "image": "agent:1"}]}
    return named("Pod", name, where, spec=spec, status={"phase": phase})


def guarded(name: str, where: str, level: str = "Guarded", sidecar: str = "") -> Object:
    """A pod with one."""
    found = pod(name, where)
    found["metadata"] |= {
        "labels": {"mesh7.dev/injected": "true"},
        "annotations": {"mesh7.dev/enforcement": level},
    }
    found["spec"]["initContainers"] = [
        {"name": "mesh7", "image": sidecar or image(), "restartPolicy": "Always"}
    ]
    found["status"]["initContainerStatuses"] = [{"name": "mesh7", "ready": True}]
    return found


class Pair:
    """A certificate and its key."""

    def __init__(self, name: x509.Name, public: bytes, key: ec.EllipticCurvePrivateKey) -> None:
        self.name = name
        self.public = public
        self.key = key


def authority() -> Pair:
    """Of the webhooks; holds for a year from `NOW`."""
    return _authority("mesh7")


@cache
def _authority(name: str) -> Pair:
    return _pair(name, None, days=365)


@cache
def _leaf(service: str, days: int, signer: Pair) -> Pair:
    return _pair(f"{service}.{RELEASE}.svc", signer, days=days)


def certificate(service: str, *, days: int = 60, host: str = "", vouching: str = "") -> Object:
    """The Secret of a program.

    Args:
        service: whose.
        days: how long it holds.
        host: the service that it is for in place of its own.
        vouching: another authority than the webhooks'; that which signs it, by its name.
    """
    signer = _authority(vouching or "mesh7")
    data = {"tls.crt": _leaf(host or service, days, signer).public, "ca.crt": signer.public}
    written = {key: base64.b64encode(one).decode() for key, one in data.items()}
    written["tls.key"] = base64.b64encode(PRIVATE.encode()).decode()
    return named("Secret", f"{service}-certificate", RELEASE, data=written)


def _pair(host: str, signer: Pair | None, *, days: int) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:60])])
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name if signer is None else signer.name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=100))
        .not_valid_after(NOW + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(signer.key if signer is not None else key, hashes.SHA256())
    )
    return Pair(name, built.public_bytes(serialization.Encoding.PEM), key)


def world(objects: Iterable[Object], **further: object) -> Object:
    """What a kubectl knows."""
    return {
        "objects": list(objects),
        "version": {
            "clientVersion": {"gitVersion": "v1.34.4"},
            "serverVersion": {"gitVersion": "v1.34.1"},
        },
        "raw": {
            "/apis/admissionregistration.k8s.io/v1": {
                "resources": [
                    {"name": "validatingadmissionpolicies"},
                    {"name": "validatingadmissionpolicybindings"},
                ]
            }
        },
    } | further


class Near(Kubectl):
    """The fake without a process for each question."""

    def __init__(self, objects: Iterable[Object], **further: object) -> None:
        super().__init__()
        self._world = world(objects, **{"clock": NOW.isoformat(), **further})

    def ran(
        self, *arguments: str, stdin: str | None = None, requests: int = 1
    ) -> tuple[int, str, str]:
        """As the program would answer."""
        del requests
        return fake_kubectl.answered(self._world, list(arguments), lambda: stdin or "")


class Fake:
    """A folder with `kubectl` in it, to be put into PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        program = folder / "kubectl"
        text = (Path(__file__).parent / "fake_kubectl.py").read_text()
        program.write_text(f"#!{sys.executable} -IS\n{text}")
        program.chmod(0o755)
        self.tell([])

    def tell(self, objects: Iterable[Object], **further: object) -> None:
        """What there is from now on."""
        (self.folder / "world.json").write_text(json.dumps(world(objects, **further)))

    def calls(self) -> list[list[str]]:
        """What it was started with."""
        path = self.folder / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def patches(self) -> list[Object]:
        """What it was to patch with."""
        path = self.folder / "patches"
        text = path.read_text() if path.exists() else ""
        return [json.loads(line) for line in text.splitlines()]

    def remove(self) -> None:
        """No kubectl from now on."""
        shutil.rmtree(self.folder)
