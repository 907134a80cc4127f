"""Which pods are there: asked by name, listed when many, and never taken for gone in doubt."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from mesh7_operator import metrics
from mesh7_operator.clock import Clock
from mesh7_operator.cluster import resources
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.controller.approving.living import Pods
from tests.fakes import api_server as fakes

NOBODY: frozenset[str] = frozenset()


@dataclass
class _Parts:
    server: fakes.ApiServer
    pods: Pods
    now_s: list[float] = field(default_factory=lambda: [100.0])

    def put(self, name: str, uid: str, **metadata: str) -> None:
        metadata = {"name": name, "namespace": "shop", "uid": uid, **metadata}
        self.server.put(resources.PODS, {"metadata": metadata, "spec": {"secret": "x"}})

    def asked(self) -> list[str]:
        """Paths since the last time, without what they share."""
        found = [path.rpartition("/pods")[2] for _, path in self.server.asked]
        self.server.asked.clear()
        return sorted(found)


@pytest.fixture
async def parts() -> AsyncIterator[_Parts]:
    measured = metrics.ApiMetrics(metrics.registry())
    now_s = [100.0]
    clock = Clock(wall_ns=lambda: 0, monotonic_s=lambda: now_s[0])
    async with fakes.serving() as server, ApiServer(server.connection, measured) as api:
        found = _Parts(server, Pods(api, clock), now_s)
        found.put("a", "1")
        found.put("b", "2")
        found.put("ending", "3", deletionTimestamp="2026-11-21T09:00:00Z")
        yield found


async def test_a_pod_is_asked_for_by_name_and_known_for_a_while(parts: _Parts) -> None:
    wanted = {"a": {"1"}, "ending": {"3"}}
    assert await parts.pods.uids("shop", wanted, NOBODY) == {"a": "1"}
    assert parts.asked() == ["/a", "/ending"]
    assert await parts.pods.uids("shop", {"a": {"1"}}, NOBODY) == {"a": "1"}
    assert parts.asked() == []
    parts.now_s[0] += 15
    parts.server.remove(resources.PODS, "shop", "a")
    assert await parts.pods.uids("shop", {"a": {"1"}}, NOBODY) == {}
    assert parts.asked() == ["/a"]


async def test_before_a_decision_it_is_asked_for_whatever_is_known(parts: _Parts) -> None:
    """Issue 7: a Grant of a deleted pod."""
    assert await parts.pods.uids("shop", {"a": {"1"}}, {"a"}) == {"a": "1"}
    parts.server.remove(resources.PODS, "shop", "a")
    assert await parts.pods.uids("shop", {"a": {"1"}}, {"a"}) == {}
    assert parts.asked() == ["/a", "/a"]


async def test_one_that_came_anew_under_its_name_is_seen_within_a_second(parts: _Parts) -> None:
    assert await parts.pods.uids("shop", {"a": {"1"}}, NOBODY) == {"a": "1"}
    parts.server.remove(resources.PODS, "shop", "a")
    parts.put("a", "new")
    # Somebody who lies about a uid makes nobody ask again and again.
    assert await parts.pods.uids("shop", {"a": {"new"}}, NOBODY) == {"a": "1"}
    parts.now_s[0] += 1
    assert await parts.pods.uids("shop", {"a": {"new"}}, NOBODY) == {"a": "new"}
    assert parts.asked() == ["/a", "/a"]


async def test_many_are_listed_at_once(parts: _Parts) -> None:
    """Issue 7: a flood of requests that name pods nobody has."""
    wanted = {f"made-up-{number}": {"9"} for number in range(300)} | {"b": {"2"}}
    assert await parts.pods.uids("shop", wanted, NOBODY) == {"b": "2"}
    assert parts.asked() == [""]
    assert parts.server.queries[-1] == {"resourceVersion": "0"}


@pytest.mark.parametrize("name", ["../secrets/x", "A", "", "a/log", "-a", "x" * 254, "a?b", "é"])
async def test_what_is_no_name_is_never_asked_for(parts: _Parts, name: str) -> None:
    """Issue 7: a Redis writer chooses the name."""
    assert await parts.pods.uids("shop", {name: {"1"}}, {name}) == {}
    assert parts.asked() == []


async def test_nothing_is_kept_of_a_namespace_that_is_gone(parts: _Parts) -> None:
    """Lifecycle review of issue 7: memory that grew with every namespace there ever was."""
    assert await parts.pods.uids("shop", {"a": {"1"}}, NOBODY) == {"a": "1"}
    parts.pods.forget("shop")
    assert await parts.pods.uids("shop", {"a": {"1"}}, NOBODY) == {"a": "1"}
    assert parts.asked() == ["/a", "/a"]


async def test_when_the_api_server_does_not_say_nobody_is_gone(parts: _Parts) -> None:
    parts.server.troubles = [(403, {})]
    assert await parts.pods.uids("shop", {"a": {"1"}}, NOBODY) is None
    assert await parts.pods.uids("shop", {"a": {"1"}}, NOBODY) == {"a": "1"}
