"""The cluster's keys: asked for seldom, kept when the API server is away."""

import asyncio

import pytest

from mesh7_core import errors
from mesh7_operator.cluster import shapes
from mesh7_operator.exchange import issuer
from mesh7_operator.exchange.issuer import Issuer
from tests.operator.exchange.issuing import NAME, FakeCluster, Time, ec_key, rsa_key


def asking(cluster: FakeCluster, time: Time) -> Issuer:
    return Issuer(cluster.fetch, time.clock.monotonic_s)


async def test_keys_are_asked_for_once_and_again_after_five_minutes() -> None:
    cluster, time = FakeCluster(), Time()
    one = asking(cluster, time)
    for _ in range(3):
        assert await one.key("one") is not None
    assert one.name == NAME
    assert cluster.count(issuer.KEYS) == 1
    time.pass_(301)
    await one.key("one")
    assert cluster.count(issuer.KEYS) == 2


@pytest.mark.promise("K14")
async def test_made_up_key_names_become_one_question_in_thirty_seconds() -> None:
    cluster, time = FakeCluster(), Time()
    one = asking(cluster, time)
    for number in range(100):
        assert await one.key(f"made-up-{number}") is None
        time.pass_(0.1)
    assert cluster.count(issuer.KEYS) == 1
    time.pass_(30)
    assert await one.key("made-up") is None
    assert cluster.count(issuer.KEYS) == 2


async def test_a_new_key_is_found_when_a_token_names_it() -> None:
    """The API server's keys are rotated."""
    cluster, time = FakeCluster(), Time()
    one = asking(cluster, time)
    await one.key("one")
    cluster.keys = {"two": ec_key()}
    time.pass_(30)
    assert await one.key("two") is not None
    assert await one.key("one") is None


async def test_many_who_ask_together_ask_once() -> None:
    cluster = FakeCluster()
    one = asking(cluster, Time())
    assert None not in await asyncio.gather(*(one.key("one") for _ in range(50)))
    assert cluster.count(issuer.KEYS) == 1


async def test_keys_stay_in_use_while_the_api_server_is_away() -> None:
    cluster, time = FakeCluster(), Time()
    one = asking(cluster, time)
    await one.key("one")
    cluster.is_down = True
    time.pass_(3600)
    assert await one.key("one") is not None
    assert cluster.count(issuer.CONFIGURATION) == 2
    assert await one.key("one") is not None
    assert cluster.count(issuer.CONFIGURATION) == 2, "and it is left alone for a while"


async def test_without_ever_having_had_keys_nothing_is_known() -> None:
    cluster, time = FakeCluster(is_down=True), Time()
    one = asking(cluster, time)
    for _ in range(5):
        with pytest.raises(errors.ClusterError):
            await one.key("one")
    assert cluster.count(issuer.CONFIGURATION) == 1
    assert not one.is_known
    cluster.is_down = False
    time.pass_(1)
    assert await one.key("one") is not None


async def test_keys_that_cannot_be_used_are_left_out() -> None:
    async def fetch(path: str) -> shapes.Object:
        cluster = FakeCluster(keys={"good": rsa_key()})
        found = await cluster.fetch(path)
        if path == issuer.CONFIGURATION:
            return found
        shared = {"kty": "oct", "kid": "shared", "k": "AAAA", "alg": "HS256"}
        broken = {"kty": "RSA", "kid": "broken", "n": "x"}
        return {"keys": ["text", {}, shared, broken, *shapes.sequence(found, "keys")]}

    one = Issuer(fetch, Time().clock.monotonic_s)
    assert await one.key("good") is not None
    assert await one.key("shared") is None
    assert await one.key("broken") is None
