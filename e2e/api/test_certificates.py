"""Certificates on a real API server: made at the first start, rotated under load, made good."""

import base64
import contextlib
import json
import secrets
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509

from e2e import charts
from e2e.api import controllers, installed, kubelets
from e2e.api.controllers import Controller
from e2e.api.forwarding import Endpoint, forwarding
from e2e.api.installed import Files, Injector
from e2e.cluster import api_server as api_servers
from e2e.cluster.api_server import Settings
from e2e.cluster.clusters import Cluster
from e2e.cluster.fixtures import RaiseCluster, need
from e2e.cluster.waiting import until
from mesh7_core import names
from mesh7_core.delivery import keys
from mesh7_operator.authority import certificates, kept
from mesh7_operator.authority.kept import Program
from tests.peers import redis_servers

RELEASE = controllers.RELEASE
WEBHOOKS = ("mutatingwebhookconfiguration", "validatingwebhookconfiguration")
SPREAD = "--certificates-spread=3"


def trusted(cluster: Cluster) -> set[tuple[str, ...]]:
    """By whom each of our webhooks is trusted."""
    found = set()
    for kind in WEBHOOKS:
        for hook in cluster.kubectl.json("get", kind, "mesh7")["webhooks"]:
            written = base64.b64decode(hook["clientConfig"].get("caBundle", ""))
            found.add(kept.read_certificates(written) or ())
    return found


def authorities(cluster: Cluster) -> kept.Authorities:
    found = kept.read_authorities(kubelets.content(cluster, "secret", kept.SECRET))
    assert found is not None
    return found


def is_settled(cluster: Cluster) -> bool:
    """Whether one authority issued everything, and nobody trusts another."""
    found = kept.read_authorities(kubelets.content(cluster, "secret", kept.SECRET))
    if found is None or found.following or trusted(cluster) != {found.trusted}:
        return False
    for program in kept.PROGRAMS:
        leaf = kept.read_leaf(kubelets.content(cluster, "secret", program.secret))
        read = certificates.read(leaf.pair.certificate)
        if (
            read is None
            or leaf.authorities != found.trusted
            or not certificates.is_pair(leaf.pair)
            or not certificates.is_issued_by(read, found.issuing.certificate)
        ):
            return False
    return True


def webhooks(port: int) -> str:
    """The chart's, and a Service that leads to this machine."""
    found = [one for one in charts.documents() if one["kind"] in installed.WEBHOOKS]
    text = yaml.safe_dump_all(found).replace("port: 443", f"port: {port}")
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": Program.INJECTOR.value, "namespace": RELEASE},
        "spec": {"type": "ExternalName", "externalName": "localhost"},
    }
    return text + "---\n" + yaml.safe_dump(service)


def install(cluster: Cluster, port: int = 443) -> None:
    installed.install(cluster)
    cluster.apply(webhooks(port))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster with an installation and no program yet."""
    need("api")
    with api_servers.raised("certificates", Settings(has_controllers=False)) as server:
        install(server.cluster)
        yield server.cluster


@pytest.fixture(scope="module")
def controller(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    """With the rights of the chart."""
    folder = tmp_path_factory.mktemp("controller")
    kubeconfig = installed.account(cluster, "mesh7-controller", folder)
    controller = Controller(kubeconfig, folder / "log", [SPREAD])
    try:
        controller.await_line("everything is listed")
        yield controller
    finally:
        controller.process.kill()
        controller.process.wait()


def test_a_fresh_installation_gets_all_that_its_programs_mount(
    cluster: Cluster, controller: Controller
) -> None:
    """docs/administrator/certificates.md; the key of today as `keys show` prints it."""
    assert is_settled(cluster)
    assert len(kubelets.content(cluster, "secret", "mesh7-stamp-key")["seed"]) == keys.KEY_BYTES
    today = controllers.operator(cluster, "keys", "show").strip()
    trust = kubelets.content(cluster, "configmap", names.TRUST_CONFIG_MAP)
    assert trust == {"key": today.encode()}
    secret = cluster.kubectl.json("get", "secret", Program.EXCHANGE.secret, "-n", RELEASE)
    assert secret["type"] == "kubernetes.io/tls"
    # What is kept is settled a moment before the look that counts it.
    controller.until(lambda: controller.metrics()["mesh7_authorities"] == 1, "one is counted")
    metrics = controller.metrics()
    assert 364 < metrics['mesh7_certificate_days{certificate="authority"}'] <= 365
    assert 89 < metrics['mesh7_certificate_days{certificate="injector"}'] <= 90
    assert controller.lines("a round failed") == []


@pytest.mark.parametrize("name", [kept.SECRET, *(program.secret for program in kept.PROGRAMS)])
def test_what_is_deleted_is_made_again(cluster: Cluster, controller: Controller, name: str) -> None:
    """Within a round, and nothing that the old one vouched for is cut off."""
    before = set(authorities(cluster).trusted)
    cluster.kubectl("delete", "secret", name, "-n", RELEASE)

    def is_there() -> bool:
        return bool(kubelets.content(cluster, "secret", name))

    controller.until(is_there, "it is made again")
    assert before <= set(authorities(cluster).trusted)
    controller.until(lambda: is_settled(cluster), "one authority is left", timeout_s=60)


def test_a_webhook_that_somebody_edited_is_made_good(
    cluster: Cluster, controller: Controller
) -> None:
    """docs/administrator/certificates.md."""
    patch = [{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": "Cg=="}]
    for kind in WEBHOOKS:
        cluster.kubectl("patch", kind, "mesh7", "--type=json", f"--patch={json.dumps(patch)}")
    controller.until(lambda: is_settled(cluster), "it is made good", timeout_s=60)


def test_a_rotated_key_is_trusted_within_a_round(cluster: Cluster, controller: Controller) -> None:
    """docs/administrator/keys.md; in each Namespace it was said already, and what was stays."""
    shop = controllers.enrol(cluster, "rotated")
    before = controllers.operator(cluster, "keys", "show").strip()
    controller.until(lambda: said_keys(cluster, shop)[1:2] == [before], "today's is said")
    following = said_keys(cluster, shop)[0]
    after = controllers.operator(cluster, "keys", "rotate").strip()
    assert after == following
    controller.until(lambda: said_keys(cluster, shop)[1:3] == [after, before], "both are said")
    # Namespaces hear of a key before pods are given it.
    controller.until(
        lambda: (
            kubelets.content(cluster, "configmap", names.TRUST_CONFIG_MAP)
            == {"key": after.encode()}
        ),
        "new pods are given it",
    )


@pytest.mark.promise("K15")
@pytest.mark.parametrize("how", ["-", "=bWluZQ=="])
def test_keys_of_a_namespace_that_somebody_edited_are_put_right(
    cluster: Cluster, controller: Controller, how: str
) -> None:
    """docs/administrator/backstops.md; an admission policy lets nobody, and is not asked here."""
    shop = controllers.enrol(cluster, "edited")
    controller.until(lambda: len(said_keys(cluster, shop)) > 1, "they are said")
    there = said_keys(cluster, shop)
    key = names.TRUST_KEYS_ANNOTATION
    cluster.kubectl("annotate", "namespace", shop, f"{key}{how}", "--overwrite")
    controller.until(lambda: said_keys(cluster, shop) == there, "they are put right", timeout_s=60)


def said_keys(cluster: Cluster, namespace: str) -> list[str]:
    """Which keys the namespace's new sidecars may begin with, newest first."""
    found = cluster.kubectl.json("get", "namespace", namespace)["metadata"]
    return str(found.get("annotations", {}).get(names.TRUST_KEYS_ANNOTATION, "")).split()


def test_two_that_lead_at_once_make_one_authority(
    raise_cluster: RaiseCluster, tmp_path: Path
) -> None:
    """Whoever is later takes what it finds."""
    cluster = raise_cluster(Settings(has_controllers=False)).cluster
    install(cluster)
    with (
        controllers.controlling(cluster, tmp_path / "one", ["--lease-name=one"], user="one") as one,
        controllers.controlling(cluster, tmp_path / "two", ["--lease-name=two"], user="two") as two,
    ):
        for each in (one, two):
            each.await_line("everything is listed")
        assert is_settled(cluster)
        assert [len(each.lines("authorities are kept")) for each in (one, two)] in ([1, 0], [0, 1])


def test_the_redis_of_the_release_gets_its_users_before_it_is_there(
    raise_cluster: RaiseCluster, tmp_path: Path
) -> None:
    """docs/administrator/certificates.md; the controller waits for a server that waits for it.

    Over TLS it is asked in e2e/stories: its certificate names Services, which only a cluster with
    a node leads to.
    """
    cluster = raise_cluster(Settings(has_controllers=False)).cluster
    installed.install(cluster)
    users = tmp_path / "users.acl"
    program = redis_servers.programs()["valkey"]
    server = redis_servers.Server(program, tmp_path / "redis", [f"aclfile {users}"])
    flags = [f"--redis=redis://mesh7-operator@127.0.0.1:{server.port}", "--redis-embedded"]
    with controllers.controlling(cluster, tmp_path / "log", flags) as controller:
        controller.await_line("everything is listed")
        held = kubelets.content(cluster, "secret", "mesh7-redis-operator")
        leaf = kept.read_leaf(kubelets.content(cluster, "secret", Program.REDIS.secret))
        served = certificates.read(leaf.pair.certificate)
        assert served is not None
        assert certificates.names_of(served) == Program.REDIS.names(RELEASE)
        assert leaf.authorities == authorities(cluster).trusted
        users.write_bytes(held["users.acl"])
        server.start()
        try:
            shop = controllers.enrol(cluster, "shop")
            cluster.apply(controllers.policy(shop, "support"))
            connected = 'mesh7_store_state{state="connected"}'
            controller.until(
                lambda: controller.metrics().get(connected) == 1, "it is in use", timeout_s=60
            )
            closed = 'mesh7_store_trouble{trouble="open"}'
            controller.until(lambda: controller.metrics().get(closed) == 0, "nobody else gets in")
        finally:
            server.kill()


@dataclass
class Load:
    """Policies that are about to be created, one after another, for as long as it lasts."""

    cluster: Cluster
    namespace: str
    token: str
    done: int = 0
    failed: list[str] = field(default_factory=list)

    def once(self) -> str:
        """Why one was refused; empty = it was not."""
        where = f"/apis/{names.API_VERSION}/namespaces/{self.namespace}/agentpolicies?dryRun=All"
        policy = yaml.safe_load(controllers.policy(self.namespace, f"p-{secrets.token_hex(4)}"))
        request = urllib.request.Request(  # noqa: S310 - https
            self.cluster.url + where,
            json.dumps(policy).encode(),
            {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        context = ssl.create_default_context(cafile=str(self.cluster.ca))
        try:
            with urllib.request.urlopen(request, timeout=30, context=context):  # noqa: S310
                return ""
        except urllib.error.HTTPError as error:
            return error.read().decode()

    @contextlib.contextmanager
    def lasting(self) -> Iterator[None]:
        ended = threading.Event()

        def go_on() -> None:
            while not ended.wait(0.05):
                self.done += 1
                if refused := self.once():
                    self.failed.append(refused)

        thread = threading.Thread(target=go_on, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def load(cluster: Cluster) -> Load:
    cluster.kubectl("create", "serviceaccount", "load", "-n", RELEASE)
    cluster.kubectl(
        "create", "clusterrolebinding", "load",
        "--clusterrole=cluster-admin", f"--serviceaccount={RELEASE}:load",
    )  # fmt: skip
    namespace = controllers.enrol(cluster, "shop")
    return Load(cluster, namespace, cluster.token(RELEASE, "load"))


def pod(cluster: Cluster, injector: Injector, name: str) -> None:
    """What the API server knows of an injector that runs."""
    port = {"name": "admission", "containerPort": injector.port}
    manifest: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": RELEASE,
            "labels": {"app.kubernetes.io/name": Program.INJECTOR.value},
        },
        "spec": {
            "serviceAccountName": "mesh7-injector",
            "containers": [{"name": "injector", "image": "x", "ports": [port]}],
        },
    }
    cluster.apply(yaml.safe_dump(manifest))
    status = {"status": {"phase": "Running", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}}
    cluster.kubectl(
        "patch", "pod", name, "-n", RELEASE, "--subresource=status", "--type=merge",
        f"--patch={json.dumps(status)}",
    )  # fmt: skip


@contextlib.contextmanager
def injecting(cluster: Cluster, folder: Path, name: str, lag_s: float) -> Iterator[Injector]:
    """An injector with the files that the controller made, which a slow kubelet brings."""
    folder.mkdir()
    files = Files(folder)
    kubelets.bring(kubelets.content(cluster, "secret", Program.INJECTOR.secret), folder)
    kubelets.bring(kubelets.content(cluster, "secret", "mesh7-stamp-key"), folder)
    trust = kubelets.content(cluster, "configmap", names.TRUST_CONFIG_MAP)
    kubelets.bring(trust, folder / "trust")
    kubeconfig = installed.account(cluster, "mesh7-injector", folder)
    with (
        installed.injecting(kubeconfig, files, name) as injector,
        kubelets.mounting(cluster, folder, lag_s),
    ):
        pod(cluster, injector, name)
        yield injector


def served(injector: Injector) -> x509.Certificate:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    text = ssl.get_server_certificate(("127.0.0.1", injector.port))
    return x509.load_pem_x509_certificate(text.encode())


@pytest.mark.promise("K7")
def test_authority_and_certificates_are_rotated_under_load_and_no_admission_is_lost(
    raise_cluster: RaiseCluster, tmp_path: Path
) -> None:
    """Design 9, with two injectors whose kubelets are unlike, and new connections to both."""
    cluster = raise_cluster(Settings()).cluster
    installed.install(cluster)
    with controllers.controlling(cluster, tmp_path / "log", [SPREAD]) as controller:
        controller.await_line("everything is listed")
        with (
            injecting(cluster, tmp_path / "one", "one", 0.5) as one,
            injecting(cluster, tmp_path / "two", "two", 4.0) as two,
            forwarding(_in_turn(one, two)) as port,
        ):
            cluster.apply(webhooks(port))
            loading = load(cluster)
            until(lambda: not loading.once(), "policies are taken", timeout_s=60)
            before = authorities(cluster).issuing.certificate
            with loading.lasting():
                controllers.operator(cluster, "certificates", "rotate")
                controller.until(
                    lambda: is_settled(cluster) and before not in authorities(cluster).trusted,
                    "the old one is dropped",
                    timeout_s=240,
                )
                done = loading.done
                until(lambda: loading.done > done + 20, "more are taken", timeout_s=60)
            assert loading.failed == []
            assert loading.done > 100
            after = authorities(cluster).issuing.certificate
            assert all(certificates.is_issued_by(served(each), after) for each in (one, two))
            assert loading.once() == ""
    secret = authorities(cluster).issuing.key
    elsewhere = [kubelets.content(cluster, "secret", program.secret) for program in kept.PROGRAMS]
    assert all(secret not in held.values() for held in elsewhere)


def _in_turn(one: Injector, two: Injector) -> list[Endpoint]:
    """Every second connection goes to the other one."""
    turns = iter(range(1_000_000))
    return [
        Endpoint(one.port, lambda: next(turns) % 2 == 0),
        Endpoint(two.port, lambda: True),
    ]
