"""From a pod's own token to its namespace's Redis, with the real API server and programs."""

import asyncio
import base64
import json
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from e2e.cluster.api_server import ApiServer
from e2e.cluster.clusters import Cluster
from mesh7_core.delivery import envelopes
from mesh7_core.ledger.deliveries import Versions
from mesh7_core.ledger.protocol import Seen
from mesh7_core.ledger.redis import RedisLedger
from mesh7_operator import settings
from mesh7_operator.clock import Clock
from mesh7_operator.exchange import door, program
from mesh7_operator.reconciling.plan import Publish
from mesh7_operator.store.store import Store
from mesh7_sidecar import redis_access
from mesh7_sidecar.net import origin
from mesh7_sidecar.net.sweep import Sweep
from mesh7_sidecar.pod_settings import ExchangeSettings
from tests.core.ledger.redis_parts import seen
from tests.operator.exchange import certificates
from tests.operator.exchange.issuing import rsa_key, token_of
from tests.peers import ports, redis_servers

MASTER = b"a master secret of thirty-two bytes"
USER = "mesh7-exchange"
_PATIENCE_S = 60.0
CLOCK = Clock(wall_ns=time.time_ns, monotonic_s=time.monotonic)
ENROLLED = {"mesh7.dev/injection": "enabled"}
_AT_ONCE = (door.BOUNDS.of_address or 2) // 2
_RIGHTS = f"""
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: {USER}}}
rules:
- {{apiGroups: [authentication.k8s.io], resources: [tokenreviews], verbs: [create]}}
- {{apiGroups: [""], resources: [namespaces], verbs: [get]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: {USER}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {USER}}}
subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: {USER}}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: {USER}-discovery}}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: system:service-account-issuer-discovery
subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: {USER}}}]
"""
_POD = """
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  containers: [{{name: agent, image: agent.example/agent}}]
"""


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis_servers.Server]:
    found = redis_servers.programs()["valkey"]
    with redis_servers.running(found, tmp_path_factory.mktemp("redis")) as server:
        yield server


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The exchange, the store that the controller keeps, and the cluster that both speak to."""

    cluster: Cluster
    redis: redis_servers.Server
    store: Store
    url: str
    ca: Path
    folder: Path

    def pod(self, namespace: str, name: str = "web-1") -> str:
        """Make a pod, and the token that the kubelet would project into it."""
        self.cluster.apply(_POD.format(name=name), namespace)
        return self.cluster.token(namespace, "default", "mesh7.dev", pod=name)

    async def post(self, token: str) -> tuple[int, dict[str, str]]:
        connector = aiohttp.TCPConnector(ssl=_trusting(self.ca))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.post(
                self.url + door.PATH, headers={"Authorization": f"Bearer {token}"}
            ) as found,
        ):
            return found.status, await found.json(content_type=None)


@pytest.fixture
async def running(
    cluster: Cluster, redis: redis_servers.Server, tmp_path: Path
) -> AsyncIterator[Running]:
    """The exchange with the rights that it needs and no others."""
    cluster.apply(_RIGHTS)
    certificates.write_pair(tmp_path / "tls.crt", tmp_path / "tls.key")
    (tmp_path / "master").write_bytes(MASTER)
    where = settings.RedisSettings(url=f"redis://127.0.0.1:{redis.port}", nodes=())
    chosen = settings.Exchange(
        cluster=settings.Cluster(kubeconfig=cluster.kubeconfig(USER)),
        listen=_free_address(),
        certificate=tmp_path / "tls.crt",
        private_key=tmp_path / "tls.key",
        redis=where,
        master=tmp_path / "master",
        metrics=_free_address(),
        grace_s=0.0,
    )
    stopping = asyncio.Event()
    task = asyncio.create_task(program.run(chosen, CLOCK, stopping))
    await _ready(chosen.metrics, task)
    store = Store(where, lambda: MASTER, CLOCK)
    await store.start()
    yield Running(
        cluster=cluster, redis=redis, store=store, url=f"https://{chosen.listen}",
        ca=tmp_path / "tls.crt", folder=tmp_path,
    )  # fmt: skip
    await store.close()
    stopping.set()
    await task


@pytest.mark.promise("K14")
async def test_a_sidecar_comes_from_its_pods_token_to_its_ledger(running: Running) -> None:
    """The whole way: TokenRequest, exchange, ACL user, functions, ledger, deliveries."""
    namespace = running.cluster.new_namespace(labels=ENROLLED)
    token = running.folder / "token"
    token.write_text(running.pod(namespace))
    await running.store.tend([namespace], CLOCK.now())
    content = Publish(kind=envelopes.Kind.BUNDLE, version=7, content=b"signed")
    assert await running.store.publish(namespace, content)
    sweep = Sweep()
    exchange = redis_access.Exchange(
        ExchangeSettings(url=running.url, authorities=(running.ca.read_text(),), token=token),
        running.folder,
        sweep,
        rule=origin.EVERYWHERE,
    )
    access = await exchange.ask()
    assert access.server.user.startswith(f"m7-{namespace}-")
    assert access.renew_at > datetime.now(UTC)
    ledger = RedisLedger(access.server, namespace, load=False, delivers=True)
    await ledger.start()
    assert [await seen(ledger) for _ in range(4)] == [Seen.ADMITTED] * 3 + [Seen.SPENT]
    assert await ledger.deliveries.versions() == Versions(7, 0)
    assert ledger.trouble() == ""
    await ledger.close()
    with redis_servers.Link(running.redis.port) as link:
        assert link.ask("AUTH", access.server.user, access.server.password) == b"OK"
        assert str(link.ask("GET", "m7:{another}:epoch")).startswith("NOPERM")


@pytest.mark.promise("K14")
async def test_a_token_ends_with_its_pod(running: Running) -> None:
    """Deleted and made anew under the same name, too: the token is of another one."""
    namespace = running.cluster.new_namespace(labels=ENROLLED)
    token = running.pod(namespace)
    assert (await running.post(token))[0] == 200
    now_at_once = ("--namespace", namespace, "--grace-period=0", "--force", "--wait=true")
    running.cluster.kubectl("delete", "pod", "web-1", *now_at_once)
    await _until_refused(running, token)
    running.pod(namespace)
    status, found = await running.post(token)
    assert (status, found["reason"]) in {(401, "revoked"), (429, "too-often")}


@pytest.mark.promise("K14")
async def test_only_a_pods_own_token_for_us_is_exchanged(running: Running) -> None:
    namespace = running.cluster.new_namespace(labels=ENROLLED)
    cluster = running.cluster
    running.pod(namespace)
    found = {
        "unbound": cluster.token(namespace, "default", "mesh7.dev"),
        "audience": cluster.token(namespace, "default", pod="web-1"),
        "unknown-key": token_of(key=rsa_key("another"), kid="made-up"),
        "malformed": "rubbish",
    }
    for reason, token in found.items():
        status, answer = await running.post(token)
        assert (status, answer["reason"]) == (401, reason)


@pytest.mark.promise("K14")
async def test_a_token_that_somebody_signed_in_the_clusters_name_is_refused(
    running: Running,
) -> None:
    """With the API server's own issuer and key name, and another key."""
    real = running.pod(running.cluster.new_namespace(labels=ENROLLED))
    kid, issuer = _said(real, 0)["kid"], _said(real, 1)["iss"]
    forged = token_of(kid=str(kid), changed={"iss": issuer, "exp": 2**33})
    status, answer = await running.post(forged)
    assert (status, answer["reason"]) == (401, "unsigned")


@pytest.mark.promise("K14")
async def test_a_namespace_that_is_not_enrolled_gets_no_credentials(running: Running) -> None:
    for labels in ({}, {"mesh7.dev/injection": "disabled"}):
        status, answer = await running.post(
            running.pod(running.cluster.new_namespace(labels=labels))
        )
        assert (status, answer["reason"]) == (403, "not-enrolled")


@pytest.mark.promise("K14")
async def test_a_flood_of_bad_tokens_reaches_the_api_server_not_at_all(
    running: Running, session_api_server: ApiServer | None
) -> None:
    """By the API server's own audit log."""
    if session_api_server is None:
        pytest.skip("the cluster is somebody else's: its audit log is not to be read")
    before = _reviews(session_api_server)
    bad = [token_of(key=rsa_key("another"), kid=f"made-up-{number}") for number in range(40)]
    # No more at once than the exchange accepts of one address.
    answers = [
        answer
        for first in range(0, len(bad), _AT_ONCE)
        for answer in await asyncio.gather(
            *(running.post(token) for token in bad[first : first + _AT_ONCE])
        )
    ]
    assert {status for status, _ in answers} <= {401, 429}
    assert _reviews(session_api_server) == before
    running_token = running.pod(running.cluster.new_namespace(labels=ENROLLED))
    assert (await running.post(running_token))[0] == 200
    assert _reviews(session_api_server) == before + 1, "the log does tell of reviews"


def _reviews(server: ApiServer) -> int:
    return sum(
        entry["objectRef"]["resource"] == "tokenreviews"
        for entry in server.audit()
        if entry["user"]["username"] == USER and "objectRef" in entry
    )


def _said(token: str, part: int) -> dict[str, object]:
    text = token.split(".")[part]
    found: dict[str, object] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return found


def _trusting(ca: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca)


def _free_address() -> settings.Address:
    return settings.Address("127.0.0.1", ports.free())


async def _ready(address: settings.Address, task: asyncio.Task[None]) -> None:
    async with asyncio.timeout(_PATIENCE_S), aiohttp.ClientSession() as session:
        while True:
            if task.done():
                await task
            try:
                async with session.get(f"http://{address}/readyz") as found:
                    if found.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.02)


async def _until_refused(running: Running, token: str) -> None:
    """The API server's own authenticators remember a token for some seconds."""
    async with asyncio.timeout(_PATIENCE_S * 2):
        while True:
            status, found = await running.post(token)
            if (status, found.get("reason")) == (401, "revoked"):
                return
            await asyncio.sleep(10 if status == 429 else 0.5)
