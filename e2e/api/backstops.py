"""A cluster where admission policies stand alone, tenants who attack it, and a pod worth attacking.

The policies are those of the chart, rendered by Helm. Who attacks is bound to a stock role.
"""

import base64
import contextlib
import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from e2e import charts
from e2e.api import controllers
from e2e.cluster import api_server as api_servers
from e2e.cluster.api_server import Settings as ClusterSettings
from e2e.cluster.clusters import Cluster
from e2e.cluster.kubectl import Kubectl, KubectlError
from e2e.cluster.waiting import until
from mesh7_core import names
from mesh7_core.injection.inject import Cluster as Known
from mesh7_core.injection.inject import Namespace, inject
from mesh7_core.injection.outcomes import Injected
from mesh7_core.injection.settings import Exchange, Settings

Object = dict[str, Any]
RELEASE = names.RELEASE_NAMESPACE
IMAGE = "mesh7-sidecar:0.1.0"
KEY = base64.b64encode(b"k" * 32).decode()
EARLIER_KEY = base64.b64encode(b"e" * 32).decode()
NODE = "node1"


def certificate(text: str) -> str:
    """Something as long as nobody reads it."""
    return f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n"


AUTHORITIES = certificate("one") + certificate("two")
"""As the controller says them on each Namespace."""
COLLECTOR_AUTHORITIES = certificate("AQID").strip()
_KINDS = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "ClusterRole")
_VALUES = (
    "--set=redis.mode=managed",
    "--set=redis.url=rediss://mesh7-operator@redis.example.com:6379/0",
    "--set=redis.existingSecret=redis",
    "--set-string=injection.variables.MESH7_AUDIT=denied",
    "--set=telemetry.otlp.endpoint=https://otel.observability.svc:4318",
    f"--set-string=telemetry.otlp.ca={COLLECTOR_AUTHORITIES}",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """A cluster with our admission policies, and no webhook configuration.

    Attributes:
        keys: that sidecars may trust, as the controller says it on each Namespace, newest first.
        authorities: that they may believe the exchange by, the same.
        shops: namespaces that tests share, by level.
    """

    cluster: Cluster
    keys: tuple[str, ...] = (KEY, EARLIER_KEY)
    authorities: str = AUTHORITIES
    shops: dict[str, str] = field(default_factory=dict)

    def shop(self, level: str = "Cooperative") -> str:
        """An `enabled` namespace at this level, for tests that leave it as it is."""
        if level not in self.shops:
            self.shops[level] = self.enrol("enabled", level)
        return self.shops[level]

    def attacker(self, role: str, namespace: str) -> Kubectl:
        """A tenant of a namespace that tests share: bound once."""
        user = f"{role}-of-{namespace}"
        try:
            self.cluster.kubectl.json("get", "rolebinding", user, "-n", namespace)
        except KubectlError:
            self.bind(namespace, user, role, name=user)
            self.bind(namespace, user, "debugger")
        return self.cluster.kubectl_of(user)

    def enrol(self, how: str = "enabled", level: str = "Cooperative") -> str:
        """A fresh namespace, enrolled when it is made, as the controller leaves it."""
        labels = {names.INJECTION_LABEL: how, names.ENFORCEMENT: level}
        annotations = {
            names.TRUST_KEYS_ANNOTATION: " ".join(self.keys),
            names.AUTHORITIES_ANNOTATION: self.authorities,
        }
        return self.cluster.new_namespace("shop", labels, annotations)

    def tenant(self, namespace: str, role: str, name: str = "") -> Kubectl:
        """Somebody with a stock role there, who may also add debug containers and resize.

        The stock roles do not let anybody do the last two; administrators often do.
        """
        user = name or f"{role}-{secrets.token_hex(3)}"
        self.bind(namespace, user, role)
        self.bind(namespace, user, "debugger")
        return self.cluster.kubectl_of(user)

    def bind(self, namespace: str, user: str, role: str, name: str = "") -> None:
        """Give them the ClusterRole in the namespace."""
        group = "rbac.authorization.k8s.io"
        binding = {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": name or f"b-{secrets.token_hex(4)}", "namespace": namespace},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
        }
        self.cluster.kubectl("create", "-f", "-", stdin=json.dumps(binding))

    def bind_everywhere(self, user: str, role: str) -> None:
        """Give them the ClusterRole in the cluster."""
        name = f"b-{secrets.token_hex(4)}"
        bound = [f"--clusterrole={role}", f"--user={user}"]
        self.cluster.kubectl("create", "clusterrolebinding", name, *bound)

    @property
    def kubelet(self) -> Kubectl:
        """The node's."""
        return self.cluster.kubectl_of(f"system:node:{NODE}", ["system:nodes"])

    def run(self, namespace: str, name: str = "agent", level: str = "Cooperative") -> str:
        """A guarded pod that is there, as its node has it; nothing runs in it here."""
        pod = guarded(namespace, name, level)
        pod["spec"]["nodeName"] = NODE
        self.cluster.kubectl("create", "-f", "-", stdin=yaml.safe_dump(pod))
        return name


@contextlib.contextmanager
def standing() -> Iterator[Ground]:
    """The ground, while the block runs."""
    with api_servers.raised(f"backstops-{secrets.token_hex(3)}", ClusterSettings()) as server:
        cluster = server.cluster
        controllers.install(cluster)
        cluster.apply(yaml.safe_dump(DEBUGGER))
        cluster.apply(yaml.safe_dump({**_NODE, "status": {}}))
        cluster.apply(yaml.safe_dump_all(rendered()))
        ground = Ground(cluster=cluster)
        await_in_force(ground)
        yield ground


def rendered(*flags: str) -> list[Object]:
    """Policies and roles of the chart, with other values when flags say so."""
    return [one for one in chart(*flags) if one["kind"] in _KINDS]


def chart(*flags: str) -> list[Object]:
    """All of the chart, with a Redis that speaks TLS."""
    text = charts.template(charts.CHART, *_VALUES, *flags)
    return [one for one in yaml.safe_load_all(text) if one]


def refusal(kubectl: Kubectl, document: Mapping[str, object]) -> str:
    """What the API server says against it; empty = it would store it."""
    try:
        kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(dict(document)))
    except KubectlError as error:
        return error.stderr
    return ""


def said(kubectl: Kubectl, *arguments: str, stdin: str | None = None) -> str:
    """What is said against a command; empty = it was done."""
    try:
        kubectl(*arguments, stdin=stdin)
    except KubectlError as error:
        return error.stderr
    return ""


def plain(namespace: str, name: str = "agent") -> Object:
    """A pod that nobody guards."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {}, "annotations": {}},
        "spec": {
            "containers": [{"name": "app", "image": "agent:1", "securityContext": _careful()}]
        },
    }


def guarded(namespace: str, name: str = "agent", level: str = "Cooperative") -> Object:
    """The same as the injector makes it."""
    return injected(plain(namespace, name), level)


def injected(pod: Object, level: str = "Cooperative") -> Object:
    """What the injector makes of a pod in an `enabled` namespace of that level."""
    labels = {names.INJECTION_LABEL: "enabled", names.ENFORCEMENT: level}
    place = Namespace(name=pod["metadata"]["namespace"], labels=labels, annotations={})
    match inject(pod, place, SETTINGS, _KNOWN):
        case Injected(pod=found):
            made: Object = json.loads(json.dumps(found))
            return made
        case other:
            raise AssertionError(f"{name_of(pod)} is not injected: {other}")


def name_of(pod: Object) -> str:
    """For messages."""
    return str(pod["metadata"]["name"])


def sidecar(pod: Object) -> Object:
    """Its container `mesh7`."""
    found: Object = next(one for one in pod["spec"]["initContainers"] if one["name"] == "mesh7")
    return found


def trust(pod: Object, key: str) -> None:
    """Have its sidecar begin with this key."""
    for one in sidecar(pod)["env"]:
        if one["name"] == "MESH7_TRUST_KEY":
            one["value"] = key


def _careful() -> Object:
    return {
        "runAsUser": 1000,
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }


SETTINGS = Settings(
    image=IMAGE,
    exchange=Exchange(url=f"https://mesh7-exchange.{RELEASE}.svc", is_redis_encrypted=True),
    collector_authorities=COLLECTOR_AUTHORITIES,
    variables={
        "MESH7_AUDIT": "denied",
        "MESH7_TRACE_SHARE": "0.01",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://otel.observability.svc:4318",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_METRICS_EXPORTER": "none",
    },
)
"""What the chart says, which a test holds to it."""
_KNOWN = Known(
    trust_key=KEY, authorities=AUTHORITIES, api_server="10.96.0.1", has_network_policy=True
)
_NODE = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
DEBUGGER = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "metadata": {"name": "debugger"},
    "rules": [
        {
            "apiGroups": [""],
            "resources": ["pods/ephemeralcontainers", "pods/resize"],
            "verbs": ["get", "update", "patch"],
        }
    ],
}


def await_in_force(ground: Ground) -> None:
    """Policies are read by the API server a moment after they are stored."""
    place = ground.enrol()
    admin = ground.cluster.kubectl
    until(lambda: refusal(admin, plain(place)) != "", "policies are in force", timeout_s=60)
    until(lambda: refusal(admin, guarded(place)) == "", "guarded pods are let in", timeout_s=60)
