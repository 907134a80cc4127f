"""Signing keys: made once, rotated by people, chained for old pods. The Secret itself is in e2e."""

import base64
import itertools
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from mesh7_core import errors, names
from mesh7_core.delivery import keys
from mesh7_operator import metrics
from mesh7_operator.cluster import resources, signing
from mesh7_operator.cluster.api_server import ApiServer
from tests.fakes import api_server as fakes

_SEEDS = itertools.count(1)


def _random(size: int) -> bytes:
    return next(_SEEDS).to_bytes(size, "big")


@pytest.fixture
async def server() -> AsyncIterator[fakes.ApiServer]:
    async with fakes.serving() as fake:
        yield fake


@pytest.fixture
async def api(server: fakes.ApiServer) -> AsyncIterator[ApiServer]:
    async with ApiServer(server.connection, metrics.ApiMetrics(metrics.registry())) as client:
        yield client


def test_a_new_keyring_endorses_the_key_that_follows() -> None:
    ring = signing.new_keyring(_random)
    assert keys.reachable(ring.current.public, ring.links) == (
        ring.current.public,
        ring.following.public,
    )


def test_a_rotation_signs_with_the_next_key_and_old_pods_can_follow() -> None:
    """Design 7: each bundle carries current and next keys signed by the previous one."""
    first = signing.new_keyring(_random)
    second = signing.rotated(first, _random)
    third = signing.rotated(second, _random)
    assert (second.current, third.current) == (first.following, second.following)
    assert third.current.public in keys.reachable(first.current.public, third.links)
    assert third.following.public in keys.reachable(third.current.public, third.links)


def test_the_chain_is_bounded() -> None:
    ring = signing.new_keyring(_random)
    for _ in range(80):
        ring = signing.rotated(ring, _random)
    assert len(ring.links) == signing.MAXIMUM_LINKS
    assert ring.following.public in keys.reachable(ring.current.public, ring.links)


async def test_of_two_who_make_keys_the_first_one_wins(
    server: fakes.ApiServer, api: ApiServer
) -> None:
    """409: the other's keys are read, ours are forgotten."""
    theirs = signing.new_keyring(_random)
    server.troubles = [(404, {}), (200, {}), (409, {})]
    server.answers[resources.SECRETS.path("mesh7-system", signing.SECRET)] = _secret(theirs)
    assert await signing.ensure(api, "mesh7-system", _random) == theirs


async def test_what_holds_no_keys_is_said_and_not_overwritten(
    server: fakes.ApiServer, api: ApiServer
) -> None:
    path = resources.SECRETS.path("mesh7-system", signing.SECRET)
    server.answers[path] = {"data": {"current": "AAAA", "next": "AAAA", "links": "W10="}}
    with pytest.raises(errors.ClusterError, match="holds no signing keys; restore it"):
        await signing.ensure(api, "mesh7-system", _random)
    assert [method for method, _ in server.asked] == ["GET"]


async def test_stamp_keys_are_those_that_are_keys(server: fakes.ApiServer, api: ApiServer) -> None:
    public = signing.new_keyring(_random).current.public
    path = resources.CONFIG_MAPS.path("mesh7-system", signing.STAMPS)
    server.answers[path] = {
        "data": {"good": base64.b64encode(public).decode(), "short": "AAAA", "none": "?"}
    }
    assert await signing.read_stamps(api, "mesh7-system") == (public,)


def _secret(ring: signing.Keyring) -> dict[str, object]:
    return dict(signing.secret_of(ring, "mesh7-system"))


async def test_keys_are_made_where_nothing_was_ever_delivered(
    server: fakes.ApiServer, api: ApiServer
) -> None:
    server.put(resources.NAMESPACES, {"metadata": {"name": "mesh7-system"}})
    server.put(resources.NAMESPACES, {"metadata": {"name": "shop", "annotations": {"a": "b"}}})
    made = await signing.ensure(api, "mesh7-system", _random)
    assert await signing.read(api, "mesh7-system") == made


@pytest.mark.promise("K9")
@pytest.mark.parametrize(
    "annotation", [names.BUNDLE_FLOOR_ANNOTATION, names.OVERLAY_FLOOR_ANNOTATION]
)
async def test_lost_keys_are_not_made_anew_where_pods_believe_older_ones(
    server: fakes.ApiServer, api: ApiServer, annotation: str
) -> None:
    """R2, 6: a takeover after the Secret's loss made a root that no running pod believed."""
    server.put(resources.NAMESPACES, {"metadata": {"name": "mesh7-system"}})
    server.put(
        resources.NAMESPACES, {"metadata": {"name": "shop", "annotations": {annotation: "7"}}}
    )
    with pytest.raises(errors.ClusterError, match=r"`shop` was served.*keys replace --yes"):
        await signing.ensure(api, "mesh7-system", _random)
    assert await signing.read(api, "mesh7-system") is None


def _damaged(what: str) -> signing.Keyring:
    ring = signing.rotated(signing.new_keyring(_random), _random)
    stranger = signing.new_keyring(_random)
    match what:
        case "another current":
            return replace(ring, current=stranger.current)
        case "another next":
            return replace(ring, following=stranger.following)
        case "no links":
            return replace(ring, links=())
        case "the last link is missing":
            return replace(ring, links=ring.links[:-1])
        case "a link of somebody else's":
            return replace(ring, links=(stranger.links[0], *ring.links[1:]))
        case "the wrong order":
            return replace(ring, links=ring.links[::-1])
        case _:
            forged = replace(ring.links[0], signature=bytes(keys.SIGNATURE_BYTES))
            return replace(ring, links=(forged, *ring.links[1:]))


@pytest.mark.promise("K9")
@pytest.mark.parametrize(
    "what",
    [
        "another current",
        "another next",
        "no links",
        "the last link is missing",
        "a link of somebody else's",
        "the wrong order",
        "a forged link",
    ],
)
async def test_keys_that_nothing_leads_to_are_not_used(
    server: fakes.ApiServer, api: ApiServer, what: str
) -> None:
    """R2, 6: with other bytes in `current` all was signed anew, and no pod believed it."""
    server.put(resources.SECRETS, _secret(_damaged(what)))
    with pytest.raises(errors.ClusterError, match=r"do not lead to `current` and on to `next`"):
        await signing.read(api, "mesh7-system")


async def test_a_deliberate_new_root_takes_the_place_of_whatever_is_there(
    server: fakes.ApiServer, api: ApiServer
) -> None:
    """`mesh7-operator keys replace --yes`."""
    server.put(resources.NAMESPACES, {"metadata": {"name": "mesh7-system"}})
    first = await signing.replace(api, "mesh7-system", _random)
    assert await signing.read(api, "mesh7-system") == first
    server.put(resources.SECRETS, _secret(_damaged("no links")))
    second = await signing.replace(api, "mesh7-system", _random)
    assert await signing.read(api, "mesh7-system") == second
    assert not signing.follows(second, first)
