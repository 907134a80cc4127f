"""The controller, a real API server and a real Valkey: both ways bring the same bytes."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.api import controllers
from e2e.api.controllers import Controller, Delivered
from e2e.cluster import api_server as api_servers
from e2e.cluster.api_server import Settings
from e2e.cluster.clusters import Cluster
from e2e.cluster.fixtures import need
from mesh7_core import names
from mesh7_core.delivery.envelopes import Kind
from tests.peers import redis_servers
from tests.peers.redis_servers import Server


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster with the kinds, for this module alone."""
    need("api")
    with api_servers.raised("with-redis", Settings(has_controllers=False)) as server:
        controllers.install(server.cluster)
        yield server.cluster


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    program = redis_servers.programs()["valkey"]
    with redis_servers.running(program, tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def controller(
    cluster: Cluster, redis: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Controller]:
    log: Path = tmp_path_factory.mktemp("controller") / "log"
    flags = (f"--redis=redis://127.0.0.1:{redis.port}",)
    with controllers.controlling(cluster, log, flags) as controller:
        controller.await_line("everything is listed")
        yield controller


@pytest.fixture
def shop(cluster: Cluster, controller: Controller, redis: Server) -> str:
    """An enrolled namespace with one policy, delivered both ways."""
    name = controllers.enrol(cluster, f"shop-{secrets.token_hex(4)}")
    cluster.apply(controllers.policy(name, "support"))
    delivered = Delivered(cluster, name)
    controller.until(lambda: delivered.policies() == {f"{name}/support"}, "it is delivered")
    controller.until(lambda: _is_same(redis, delivered, name), "both ways bring the same")
    return name


def _held(redis: Server, namespace: str, kind: Kind = Kind.BUNDLE) -> bytes | None:
    found = redis.tell("HGET", f"m7b:{{{namespace}}}:{kind.value}", "t")
    return found if isinstance(found, bytes) else None


def _is_same(redis: Server, delivered: Delivered, namespace: str) -> bool:
    held = _held(redis, namespace)
    return held is not None and held == delivered.envelope()


def _users(redis: Server, namespace: str) -> list[object]:
    listed = redis.tell("ACL", "USERS")
    assert isinstance(listed, list)
    return [user for user in listed if user.startswith(f"m7-{namespace}-".encode())]


def test_a_policy_reaches_redis_as_it_reaches_the_config_map(
    cluster: Cluster, controller: Controller, redis: Server, shop: str
) -> None:
    """Design 7: the same bytes, whatever way they come."""
    for kind in Kind:
        assert _held(redis, shop, kind) == Delivered(cluster, shop).envelope(kind)
    assert (
        redis.tell("HGET", f"m7b:{{{shop}}}:bundle", "v")
        == str(Delivered(cluster, shop).version()).encode()
    )
    controller.until(lambda: len(_users(redis, shop)) == 3, "it has its users", 20)


@pytest.mark.promise("K9")
@pytest.mark.parametrize("kind", list(Kind))
def test_what_is_forged_in_redis_is_overwritten(
    cluster: Cluster, controller: Controller, redis: Server, shop: str, kind: Kind
) -> None:
    """Issue 5: Redis forged. Whoever writes there has a version of his own choice."""
    key = f"m7b:{{{shop}}}:{kind.value}"
    redis.tell("HSET", key, "v", 10**15, "t", "forged")
    delivered = Delivered(cluster, shop)
    controller.until(
        lambda: (
            _held(redis, shop, kind) not in {None, b"forged"}
            and _held(redis, shop, kind) == delivered.envelope(kind)
        ),
        "it is ours again",
    )
    assert delivered.policies() == {f"{shop}/support"}
    version = redis.tell("HGET", key, "v")
    assert version == str(delivered.version(kind)).encode()
    assert delivered.version(kind) < 10**15


def test_an_emptied_redis_is_filled_again(
    cluster: Cluster, controller: Controller, redis: Server, shop: str
) -> None:
    """Issue 5: Redis empty."""
    redis.tell("FLUSHALL")
    redis.tell("FUNCTION", "FLUSH")
    delivered = Delivered(cluster, shop)
    controller.until(lambda: _is_same(redis, delivered, shop), "both ways bring the same")


def test_a_redis_that_was_away_catches_up(
    cluster: Cluster, controller: Controller, redis: Server, shop: str
) -> None:
    """Issue 5: Redis down. The ConfigMap brings what changes meanwhile."""
    delivered = Delivered(cluster, shop)
    before = delivered.version()
    redis.kill()
    controller.until(lambda: controller.metrics()['mesh7_store_state{state="lost"}'] == 1, "lost")
    cluster.apply(controllers.policy(shop, "support", action="Deny"))
    controller.until(lambda: delivered.version() > before, "the ConfigMap is newer")
    redis.start()
    # Sooner than the round that looks at users each half minute.
    controller.until(lambda: len(_users(redis, shop)) == 3, "it has its users", 12)
    controller.until(lambda: _is_same(redis, delivered, shop), "both ways bring the same", 40)
    opened = delivered.opened()
    assert opened is not None
    assert b'"Deny"' in opened.payload


def test_a_namespace_that_leaves_loses_its_keys_and_users(
    cluster: Cluster, controller: Controller, redis: Server, shop: str
) -> None:
    """Issue 5: namespace disenrolled – bundle removed, ACL user gone."""
    controller.until(lambda: len(_users(redis, shop)) == 3, "it has its users", 20)
    cluster.kubectl("label", "namespace", shop, f"{names.INJECTION_LABEL}-")
    controller.until(lambda: _users(redis, shop) == [], "its users are gone")
    controller.until(lambda: _held(redis, shop) is None, "its bundle is gone")
    assert Delivered(cluster, shop).object() is None
