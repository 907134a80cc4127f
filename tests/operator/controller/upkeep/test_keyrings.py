"""Signing keys as a running controller sees them change: only what leads on is taken."""

import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest

from mesh7_core import errors
from mesh7_operator import metrics
from mesh7_operator.cluster import resources, signing
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.cluster.signing import Keyring
from mesh7_operator.controller.upkeep.keyrings import Keyrings
from tests.fakes import api_server as fakes

NAMESPACE = "mesh7-system"
_SEEDS = itertools.count(1)


def _random(size: int) -> bytes:
    return next(_SEEDS).to_bytes(size, "big")


@dataclass(slots=True)
class _Parts:
    server: fakes.ApiServer
    api: ApiServer
    keyrings: Keyrings
    changes: list[None] = field(default_factory=list)

    def have(self, ring: Keyring) -> None:
        self.server.put(resources.SECRETS, dict(signing.secret_of(ring, NAMESPACE)))

    def have_stamps(self, **stamps: str) -> None:
        self.server.put(
            resources.CONFIG_MAPS,
            {"metadata": {"name": signing.STAMPS, "namespace": NAMESPACE}, "data": stamps},
        )

    async def ring(self) -> Keyring:
        found = await signing.read(self.api, NAMESPACE)
        assert found is not None
        return found


@pytest.fixture
async def parts() -> AsyncIterator[_Parts]:
    measured = metrics.ApiMetrics(metrics.registry())
    async with fakes.serving() as server, ApiServer(server.connection, measured) as api:
        server.put(resources.NAMESPACES, {"metadata": {"name": NAMESPACE}})
        changes: list[None] = []
        keyrings = Keyrings(api, NAMESPACE, _random, lambda: changes.append(None))
        await keyrings.start()
        yield _Parts(server, api, keyrings, changes)


async def test_a_rotation_is_taken(parts: _Parts) -> None:
    before = await parts.ring()
    twice = signing.rotated(signing.rotated(before, _random), _random)
    parts.have(replace(twice, resource_version=""))
    await parts.keyrings.look()
    assert parts.keyrings.keys.signer == twice.current
    assert len(parts.changes) == 1


@pytest.mark.promise("K9")
async def test_keys_that_the_last_ones_do_not_lead_to_are_refused(parts: _Parts) -> None:
    """R2, 6: whole, but others: no pod that runs would believe anything any more."""
    before = parts.keyrings.keys
    parts.have(signing.new_keyring(_random))
    with pytest.raises(errors.ClusterError, match="nothing leads to them from those in use"):
        await parts.keyrings.look()
    assert parts.keyrings.keys == before
    assert parts.changes == []


@pytest.mark.promise("K9")
async def test_an_older_copy_of_the_keys_is_refused(parts: _Parts) -> None:
    """Sidecars that saw the newer key sign do not go back either."""
    older = await parts.ring()
    parts.have(replace(signing.rotated(older, _random), resource_version=""))
    await parts.keyrings.look()
    newer = parts.keyrings.keys
    parts.have(replace(older, resource_version=""))
    with pytest.raises(errors.ClusterError, match="the old ones sign on"):
        await parts.keyrings.look()
    assert parts.keyrings.keys == newer


async def test_a_damaged_keyring_is_not_taken_and_a_restored_one_is(parts: _Parts) -> None:
    ring = await parts.ring()
    parts.have(replace(ring, current=signing.new_keyring(_random).current, resource_version=""))
    with pytest.raises(errors.ClusterError, match="do not lead to `current`"):
        await parts.keyrings.look()
    parts.have(replace(ring, resource_version=""))
    await parts.keyrings.look()
    assert parts.changes == []


@pytest.mark.parametrize("loss", ["gone", "others"])
async def test_a_stamp_key_is_withdrawn_though_the_signing_keys_are_lost(
    parts: _Parts, loss: str
) -> None:
    """Docs (keys): a leaked stamp key is no longer honoured within ten seconds."""
    parts.have_stamps(good="A" * 43 + "=")
    await parts.keyrings.look()
    assert len(list(parts.keyrings.keys.stamps)) == 1
    if loss == "gone":
        parts.server.remove(resources.SECRETS, NAMESPACE, signing.SECRET)
    else:
        parts.have(signing.new_keyring(_random))
    parts.have_stamps()
    with pytest.raises(errors.ClusterError):
        await parts.keyrings.look()
    assert not list(parts.keyrings.keys.stamps)
    assert len(parts.changes) == 2
