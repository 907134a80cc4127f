"""Certificates as a running leader keeps them: what is looked at, dialled and handed on."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from e2e.cluster import keys
from mesh7_core import errors
from mesh7_operator import metrics, settings
from mesh7_operator.authority import kept
from mesh7_operator.authority.kept import Program
from mesh7_operator.authority.planning import Terms
from mesh7_operator.clock import Clock
from mesh7_operator.cluster import authority_secrets, replicas, resources
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.controller.upkeep.certifying import Certifying
from tests.fakes import api_server as fakes
from tests.peers.speaking import speaking

NAMESPACE = "mesh7-system"
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
TERMS = Terms(namespace=NAMESPACE, spread=timedelta(minutes=10))


@dataclass
class Parts:
    """A leader's certificates, and a clock that stands until it is set.

    Attributes:
        told: what the bundles were to name, each time.
    """

    server: fakes.ApiServer
    api: ApiServer
    measured: metrics.ControllerMetrics
    now: datetime = NOON
    told: list[tuple[str, ...]] = field(default_factory=list)

    def keeping(self, mode: settings.Certificates = settings.Certificates.SELF) -> Certifying:
        clock = Clock(wall_ns=lambda: int(self.now.timestamp() * 1e9), monotonic_s=lambda: 0.0)
        keeping = Certifying(
            self.api, mode, TERMS, clock=clock, metrics=self.measured,
            changed=lambda: self.told.append(keeping.authorities),
        )  # fmt: skip
        return keeping

    async def authorities(self) -> kept.Authorities:
        found, _ = await authority_secrets.read_authorities(self.api, NAMESPACE)
        return found

    async def leaf(self, program: Program) -> kept.Leaf:
        held = await authority_secrets.read(self.api, NAMESPACE, program.secret)
        return kept.read_leaf(held.content)

    def have_pod(self, port: int, phase: str = "Running") -> None:
        ports = [{"name": "admission", "containerPort": port}]
        self.server.put(
            resources.PODS,
            {
                "metadata": {
                    "name": f"pod-{port}",
                    "namespace": NAMESPACE,
                    "labels": {replicas.NAME_LABEL: Program.INJECTOR.value},
                },
                "spec": {"containers": [{"name": "injector", "ports": ports}]},
                "status": {"phase": phase, "podIP": "127.0.0.1"},
            },
        )


@pytest.fixture
async def parts() -> AsyncIterator[Parts]:
    async with fakes.serving() as server:
        server.put(resources.NAMESPACES, {"metadata": {"name": NAMESPACE}})
        measured = metrics.ControllerMetrics(metrics.registry())
        async with ApiServer(server.connection, measured.api) as api:
            yield Parts(server=server, api=api, measured=measured)


@contextlib.asynccontextmanager
async def serving(leaf: kept.Leaf, folder: Path) -> AsyncIterator[int]:
    """A replica that serves that; its port."""
    pair = folder / "pair.pem"
    pair.write_bytes(leaf.pair.certificate.encode() + leaf.pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with speaking(hang_up, tls=context) as port:
        yield port


async def test_a_first_look_makes_all_and_tells_once(parts: Parts) -> None:
    keeping = parts.keeping()
    await keeping.look()
    await keeping.look()
    found = await parts.authorities()
    assert parts.told == [found.trusted] == [keeping.authorities]
    assert (await parts.leaf(Program.EXCHANGE)).authorities == found.trusted
    # Whoever leads next finds it, and makes nothing.
    await parts.keeping().look()
    assert await parts.authorities() == found


async def test_a_rotation_waits_for_every_replica_that_runs(parts: Parts, tmp_path: Path) -> None:
    """docs/administrator/certificates.md, step 5."""
    keeping = parts.keeping()
    await keeping.look()
    before = await parts.leaf(Program.INJECTOR)
    await authority_secrets.rotate(parts.api, NAMESPACE, parts.now)
    with pytest.raises(errors.ClusterError, match="follows already"):
        await authority_secrets.rotate(parts.api, NAMESPACE, parts.now)
    await keeping.look()
    parts.have_pod(1, "Pending")
    async with serving(before, tmp_path) as port:
        parts.have_pod(port)
        for _ in range(3):
            parts.now += timedelta(minutes=10)
            await keeping.look()
        assert len((await parts.authorities()).retiring) == 1
    await keeping.look()
    assert len((await parts.authorities()).retiring) == 1, "it cannot be seen"
    parts.server.remove(resources.PODS, NAMESPACE, f"pod-{port}")
    async with serving(await parts.leaf(Program.INJECTOR), tmp_path) as port:
        parts.have_pod(port)
        await keeping.look()
    found = await parts.authorities()
    assert found.retiring == ()
    assert [len(told) for told in parts.told] == [1, 2, 1]


@pytest.mark.promise("K7")
async def test_namespaces_hear_of_an_authority_before_an_injector_can_give_it_to_a_pod(
    parts: Parts,
) -> None:
    """Seen on a busy node: pods were refused for an authority that no Namespace named yet."""
    keeping = parts.keeping()
    await keeping.look()
    before = await parts.leaf(Program.INJECTOR)
    await authority_secrets.rotate(parts.api, NAMESPACE, parts.now)
    await keeping.look()
    following = (await parts.authorities()).following
    assert following is not None
    assert following.certificate in parts.told[-1]
    assert await parts.leaf(Program.INJECTOR) == before
    await keeping.look()
    assert following.certificate in ((await parts.leaf(Program.INJECTOR)).authorities or ())


@pytest.mark.parametrize(
    "mode", [settings.Certificates.CERT_MANAGER, settings.Certificates.EXTERNAL]
)
async def test_where_they_are_others_business_their_authorities_alone_are_read(
    parts: Parts, mode: settings.Certificates
) -> None:
    await parts.keeping().look()
    held = await authority_secrets.read(parts.api, NAMESPACE, Program.EXCHANGE.secret)
    parts.told.clear()
    parts.server.asked.clear()
    keeping = parts.keeping(mode)
    await keeping.look()
    known = kept.read_leaf(held.content).authorities
    assert parts.told == [known]
    path = resources.SECRETS.path(NAMESPACE, Program.EXCHANGE.secret)
    assert parts.server.asked == [("GET", path)]
    # What is gone for a moment is trusted on.
    parts.server.remove(resources.SECRETS, NAMESPACE, Program.EXCHANGE.secret)
    await keeping.look()
    assert keeping.authorities == known


@pytest.mark.promise("K15")
async def test_authorities_of_before_are_accepted_while_an_injector_may_have_them(
    parts: Parts,
) -> None:
    """docs/administrator/backstops.md: its kubelet may be late, but not for ever."""
    first, second = (_of_others(name) for name in ("one", "two"))
    keeping = parts.keeping(settings.Certificates.EXTERNAL)
    parts.server.put(resources.SECRETS, first)
    await keeping.look()
    (old,) = keeping.accepted
    parts.server.put(resources.SECRETS, second)
    await keeping.look()
    (new,) = keeping.authorities
    assert sorted(keeping.accepted) == sorted((old, new))
    assert old != new
    parts.now += TERMS.spread
    await keeping.look()
    assert keeping.accepted == (new,)


def _of_others(name: str) -> dict[str, object]:
    content = {"ca.crt": keys.authority(name).certificate}
    return resources.secret(NAMESPACE, Program.EXCHANGE.secret, content)


async def test_authorities_that_cannot_be_read_are_told(parts: Parts) -> None:
    secret = resources.secret(
        NAMESPACE, Program.EXCHANGE.secret, {"ca.crt": b"-----BEGIN CERTIFICATE-----"}
    )
    parts.server.put(resources.SECRETS, secret)
    with pytest.raises(
        errors.ClusterError, match=r"mesh7-exchange-certificate`: `ca\.crt` cannot be"
    ):
        await parts.keeping(settings.Certificates.EXTERNAL).look()


async def test_a_webhook_that_refuses_patches_costs_no_authority_and_no_certificate(
    parts: Parts,
) -> None:
    """R2's first finding: nothing was renewed, and a new leader's bundles named nobody."""
    await parts.keeping().look()
    trusted = (await parts.authorities()).trusted
    before = await parts.leaf(Program.EXCHANGE)
    parts.server.put(resources.WEBHOOKS[0], _UNTRUSTED)
    parts.now = NOON + timedelta(days=61)
    keeping = parts.keeping()
    parts.server.troubles = [(403, {})] * 3
    parts.server.troubled_path, parts.server.troubled_method = "/mesh7", "PATCH"
    with pytest.raises(errors.ClusterError):
        await keeping.look()
    assert keeping.authorities == trusted
    assert (await parts.leaf(Program.EXCHANGE)).pair != before.pair


_UNTRUSTED = {
    "metadata": {"name": "mesh7"},
    "webhooks": [
        {
            "name": "grants.mesh7.dev",
            "clientConfig": {"service": {"namespace": NAMESPACE, "name": "mesh7-injector"}},
        }
    ],
}
