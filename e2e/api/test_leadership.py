"""Two controllers on a real API server: one leads, the other takes over, never both."""

import contextlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.api import controllers
from e2e.api.controllers import Controller, Delivered
from e2e.cluster import api_server as api_servers
from e2e.cluster.api_server import Settings
from e2e.cluster.clusters import Cluster
from e2e.cluster.fixtures import need

TAKEOVER_S = 30.0


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A cluster of the test's own with one enrolled namespace."""
    need("api")
    with api_servers.raised("leadership", Settings(has_controllers=False)) as server:
        controllers.install(server.cluster)
        controllers.enrol(server.cluster, "shop")
        server.cluster.apply(controllers.policy("shop", "support"))
        yield server.cluster


@pytest.fixture
def both(cluster: Cluster, tmp_path: Path) -> Iterator[tuple[Controller, Controller]]:
    """The leader, and the one that waits."""
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(controllers.controlling(cluster, tmp_path / "first"))
        first.await_line("delivered")
        second = stack.enter_context(controllers.controlling(cluster, tmp_path / "second"))
        second.await_line("probes and metrics are served")
        yield first, second


def _versions(controller: Controller) -> list[int]:
    return [line["bundle_version"] for line in controller.lines("delivered")]


@pytest.mark.promise("K8")
def test_another_takes_over_within_half_a_minute_when_the_leader_is_killed(
    cluster: Cluster, both: tuple[Controller, Controller]
) -> None:
    """Issue 5: leader SIGKILLed – takeover < 30 s, versions monotonic, no double publish."""
    leader, follower = both
    assert follower.metrics()["mesh7_leader"] == 0
    delivered = Delivered(cluster, "shop")
    last = delivered.version()
    leader.end(signal.SIGKILL)
    killed_at = time.monotonic()
    cluster.apply(controllers.policy("shop", "support", action="Deny"))
    assert delivered.version() == last
    follower.until(lambda: delivered.version() > last, "the other delivers", TAKEOVER_S)
    assert time.monotonic() - killed_at < TAKEOVER_S
    assert follower.metrics()["mesh7_leader"] == 1
    made = _versions(leader) + _versions(follower)
    assert made == sorted(set(made))


def test_a_leader_that_is_told_to_end_hands_over_at_once(
    cluster: Cluster, both: tuple[Controller, Controller]
) -> None:
    leader, follower = both
    assert leader.end() == 0
    follower.await_line("everything is listed", 8)
    version = Delivered(cluster, "shop").version()
    # What is there is as it should be: taking over makes no new version of it.
    assert follower.lines("delivered") == []
    assert version == _versions(leader)[-1]


def test_a_leader_that_slept_writes_nothing_when_it_wakes(
    cluster: Cluster, both: tuple[Controller, Controller]
) -> None:
    """Issue 5: no double publish. A stopped process keeps its connections and its belief."""
    leader, follower = both
    leader.process.send_signal(signal.SIGSTOP)
    delivered = Delivered(cluster, "shop")
    last = delivered.version()
    cluster.apply(controllers.policy("shop", "support", action="Deny"))
    follower.until(lambda: delivered.version() > last, "the other delivers", TAKEOVER_S)
    before = len(leader.lines("delivered"))
    leader.process.send_signal(signal.SIGCONT)
    assert leader.process.wait(controllers.PATIENCE_S) == 1
    assert len(leader.lines("delivered")) == before
    assert leader.lines()[-1]["message"] == "stopped"
    assert follower.process.poll() is None
    made = _versions(leader) + _versions(follower)
    assert made == sorted(set(made))
