"""Two controllers on a real API server: one leads, the other takes over, never both."""

import contextlib
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from e2e.api import controllers
from e2e.api.controllers import Controller, Delivered
from e2e.cluster.api_server import ApiServer, Settings
from e2e.cluster.clusters import Cluster
from e2e.cluster.fixtures import RaiseCluster
from mesh7_core import names
from tests.peers import stopwatches

TAKEOVER_S = 30.0
FIRST, SECOND = "controller-first", "controller-second"
SHOPS = tuple(f"shop-{number}" for number in range(12))
_WRITES = frozenset({"create", "update", "patch", "delete"})


@pytest.fixture
def server(raise_cluster: RaiseCluster) -> ApiServer:
    """An API server of the test's own with one enrolled namespace."""
    server = raise_cluster(Settings(has_controllers=False))
    controllers.install(server.cluster)
    controllers.enrol(server.cluster, "shop")
    server.cluster.apply(controllers.policy("shop", "support"))
    return server


@pytest.fixture
def cluster(server: ApiServer) -> Cluster:
    return server.cluster


@pytest.fixture
def both(cluster: Cluster, tmp_path: Path) -> Iterator[tuple[Controller, Controller]]:
    """The leader, and the one that waits."""
    with contextlib.ExitStack() as stack:
        # Two users, so that the server's audit tells them apart.
        first = stack.enter_context(
            controllers.controlling(cluster, tmp_path / "first", user=FIRST)
        )
        first.await_line("delivered")
        second = stack.enter_context(
            controllers.controlling(cluster, tmp_path / "second", user=SECOND)
        )
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
    with stopwatches.running() as passed_s:
        cluster.apply(controllers.policy("shop", "support", action="Deny"))
        assert delivered.version() == last
        follower.until(lambda: delivered.version() > last, "the other delivers")
        assert passed_s() < TAKEOVER_S
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
    follower.until(lambda: delivered.version() > last, "the other delivers")
    before = len(leader.lines("delivered"))
    leader.process.send_signal(signal.SIGCONT)
    assert leader.process.wait(controllers.PATIENCE_S) == 1
    assert len(leader.lines("delivered")) == before
    assert leader.lines()[-1]["message"] == "stopped"
    assert follower.process.poll() is None
    made = _versions(leader) + _versions(follower)
    assert made == sorted(set(made))


def _written(server: ApiServer, resource: str, user: str = "") -> list[dict[str, Any]]:
    """Writes of the two that were carried out, oldest first, as the server noted them."""
    return [
        event
        for event in server.audit()
        if event["verb"] in _WRITES
        and event.get("objectRef", {}).get("resource") == resource
        and event["user"]["username"] in ({user} if user else {FIRST, SECOND})
        and event.get("responseStatus", {}).get("code", 0) < 300
    ]


def _taken_at(server: ApiServer) -> str:
    """When the second one first held the Lease; a Lease is read by all, and written by one."""
    return str(_written(server, "leases", SECOND)[0]["stageTimestamp"])


def _deliveries(server: ApiServer) -> list[dict[str, Any]]:
    return [
        event
        for event in _written(server, "configmaps")
        if event["objectRef"]["name"] == names.BUNDLE_CONFIG_MAP
    ]


@contextlib.contextmanager
def _load(cluster: Cluster, namespaces: Sequence[str]) -> Iterator[threading.Event]:
    """Policies change all the time; ends with the block, or when the event is set."""
    ending = threading.Event()

    def change() -> None:
        turn = 0
        while not ending.is_set():
            turn += 1
            action = "Deny" if turn % 2 else "Allow"
            written = [controllers.policy(one, f"p{turn % 3}", action=action) for one in namespaces]
            cluster.apply("\n---\n".join(written))

    changing = threading.Thread(target=change)
    changing.start()
    try:
        yield ending
    finally:
        ending.set()
        changing.join()


def _enrol_shops(cluster: Cluster, leader: Controller) -> None:
    for name in SHOPS:
        controllers.enrol(cluster, name)
    leader.until(
        lambda: {one["namespace"] for one in leader.lines("delivered")} >= set(SHOPS),
        "all namespaces are served",
    )


def _is_mid_plan(server: ApiServer) -> bool:
    """Whether the first one wrote a ConfigMap, and not yet the floors that follow it."""
    maps = Counter(one["objectRef"]["namespace"] for one in _deliveries(server))
    floors = Counter(one["objectRef"]["name"] for one in _written(server, "namespaces", FIRST))
    return any(times > floors[name] for name, times in maps.items())


def _stop_mid_plan(server: ApiServer, leader: Controller) -> None:
    """SIGSTOP, again until it was the right moment."""

    def is_stopped_mid_plan() -> bool:
        leader.process.send_signal(signal.SIGSTOP)
        if _is_mid_plan(server):
            return True
        leader.process.send_signal(signal.SIGCONT)
        return False

    leader.until(is_stopped_mid_plan, "it is stopped in the middle of a plan")


@pytest.mark.promise("K8")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_at_a_change_of_leaders_under_load_nothing_is_published_by_both(
    server: ApiServer, both: tuple[Controller, Controller], number: signal.Signals
) -> None:
    """Issue 5: no double publish – as the API server saw it, not as either of them logged it."""
    cluster, (leader, follower) = server.cluster, both
    _enrol_shops(cluster, leader)
    with _load(cluster, SHOPS) as ending:
        before = len(_deliveries(server))
        leader.until(lambda: len(_deliveries(server)) > before + len(SHOPS), "there is load")
        leader.end(number)
        follower.await_line("everything is listed")
        follower.until(
            lambda: {one["namespace"] for one in follower.lines("delivered")} >= set(SHOPS),
            "the other delivers",
        )
        ending.set()
    taken = _taken_at(server)
    deliveries = _deliveries(server)
    late = [one for one in deliveries if one["user"]["username"] == FIRST]
    assert max(one["stageTimestamp"] for one in late) < taken
    assert all(
        one["requestReceivedTimestamp"] > taken
        for one in deliveries
        if one["user"]["username"] == SECOND
    )
    # Each version was made once: no two of all that either of them delivered are the same.
    made = [
        (one["namespace"], one["bundle_version"], one["overlay_version"])
        for controller in both
        for one in controller.lines("delivered")
    ]
    assert [one for one, times in Counter(made).items() if times > 1] == []
    for name in SHOPS:
        versions = [version for namespace, version, _ in made if namespace == name]
        assert versions == sorted(versions)


@pytest.mark.promise("K8")
def test_a_leader_stopped_in_the_middle_of_its_plans_finishes_none_of_them(
    server: ApiServer, both: tuple[Controller, Controller]
) -> None:
    """Issue 5: no double publish. It wakes with answers to read and half a plan left to write."""
    cluster, (leader, follower) = server.cluster, both
    _enrol_shops(cluster, leader)
    with _load(cluster, SHOPS):
        _stop_mid_plan(server, leader)
        follower.await_line("everything is listed")
        follower.until(
            lambda: {one["namespace"] for one in follower.lines("delivered")} >= set(SHOPS),
            "the other delivers",
        )
        leader.process.send_signal(signal.SIGCONT)
        assert leader.process.wait(controllers.PATIENCE_S) == 1
    taken = _taken_at(server)
    asked = [
        (event["verb"], event["objectRef"]["resource"])
        for event in server.audit()
        if event["user"]["username"] == FIRST and event["requestReceivedTimestamp"] > taken
    ]
    # Not even refused ones: the server is asked nothing but who leads, and its watches end.
    assert {resource for verb, resource in asked if verb in _WRITES} <= {"leases"}
    assert leader.lines()[-1]["message"] == "stopped"
