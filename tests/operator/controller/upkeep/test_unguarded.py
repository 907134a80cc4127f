"""The round over all pods: counted by namespace, those without a sidecar told of once."""

from collections.abc import AsyncIterator
from typing import Any

import prometheus_client
import pytest

from mesh7_core import errors, names
from mesh7_operator import metrics
from mesh7_operator.clock import Clock
from mesh7_operator.cluster import api_server, resources
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.controller.informer import seen
from mesh7_operator.controller.informer.board import Board
from mesh7_operator.controller.posting import Poster
from mesh7_operator.controller.upkeep import unguarded
from mesh7_operator.controller.upkeep.unguarded import Auditor
from mesh7_operator.reconciling import network_policy
from mesh7_operator.reconciling.guarding import Rules
from tests.fakes import api_server as fakes

EVENTS = "/api/v1/namespaces/shop/events"


class _Parts:
    def __init__(self, server: fakes.ApiServer, api: ApiServer) -> None:
        self.server = server
        self.api = api
        self.registry: prometheus_client.CollectorRegistry = metrics.registry()
        self.metrics = metrics.ControllerMetrics(self.registry)
        self.board = Board("mesh7-system", lambda _: None)
        self.now_s = 100.0
        clock = Clock(wall_ns=lambda: 1_795_258_936_000_000_000, monotonic_s=lambda: self.now_s)
        rules = Rules(release_namespace="mesh7-system")
        self.auditor = Auditor(api, self.board, Poster(api, clock), self.metrics, rules)

    def enrol(self, injection: str = "enabled", egress: str = "", name: str = "shop") -> None:
        labels = {names.INJECTION_LABEL: injection}
        there = seen.Namespace(revision=1, uid=name, labels=labels, annotations={})
        annotations = {network_policy.EGRESS_ANNOTATION: egress}
        value = {"metadata": {"uid": "p", "annotations": annotations}}
        policies = (seen.network_policy_of(value),) if egress else ()
        self.board.tell(seen.Snapshot(name=name, namespaces=(there,), network_policies=policies))

    def put(self, name: str, *, is_guarded: bool = False, namespace: str = "shop") -> None:
        sidecar = [{"name": "mesh7", "restartPolicy": "Always"}] if is_guarded else []
        self.server.put(
            resources.PODS,
            {
                "metadata": {"name": name, "namespace": namespace},
                "spec": {"containers": [{"name": "agent"}], "initContainers": sidecar},
            },
        )

    def events(self) -> int:
        return self.server.asked.count(("POST", EVENTS))

    def value(self, name: str, namespace: str = "shop") -> float | None:
        return self.registry.get_sample_value(name, {"namespace": namespace})


@pytest.fixture
async def parts() -> AsyncIterator[_Parts]:
    measured = metrics.ApiMetrics(metrics.registry())
    async with fakes.serving() as server, ApiServer(server.connection, measured) as api:
        server.put(resources.NAMESPACES, {"metadata": {"name": "shop"}})
        yield _Parts(server, api)


async def test_pods_are_counted_and_unguarded_ones_told_of_once(parts: _Parts) -> None:
    """Issue 6: pods that slipped through before enrolment are seen."""
    parts.enrol()
    parts.put("old")
    parts.put("new", is_guarded=True)
    await parts.auditor.look()
    assert (parts.value("mesh7_guarded_pods"), parts.value("mesh7_unguarded_pods")) == (1, 1)
    # Long after the poster has forgotten.
    parts.now_s += 10_000
    await parts.auditor.look()
    assert parts.events() == 1


async def test_an_event_names_the_pod(parts: _Parts) -> None:
    parts.enrol()
    parts.put("old")
    await parts.auditor.look()
    (event,) = [one async for one in parts.api.list(resources.EVENTS, "shop")]
    involved: Any = event["involvedObject"]
    assert (involved["apiVersion"], involved["kind"], involved["name"]) == ("v1", "Pod", "old")
    assert (event["type"], event["reason"]) == ("Warning", "Unguarded")


async def test_a_namespace_that_enrols_nobody_is_not_looked_at(parts: _Parts) -> None:
    parts.enrol("no")
    parts.put("old")
    await parts.auditor.look()
    assert (parts.value("mesh7_unguarded_pods"), parts.events()) == (None, 0)


async def test_a_namespace_that_fails_keeps_its_counts_and_the_others_are_counted(
    parts: _Parts,
) -> None:
    """Found by review of issue 6: one refused list ended the round for all namespaces."""
    for name in ("alpha", "shop", "zoo"):
        parts.server.put(resources.NAMESPACES, {"metadata": {"name": name}})
        parts.enrol(name=name)
    parts.put("old")
    await parts.auditor.look()
    for name in ("alpha", "shop", "zoo"):
        parts.put("new", namespace=name)
    parts.server.troubled_path = "/namespaces/shop/pods"
    parts.server.troubles = [(403, {})]
    with pytest.raises(errors.ClusterError, match=r"of 1 namespaces .* `shop`: list Pod"):
        await parts.auditor.look()
    counted = [parts.value("mesh7_unguarded_pods", one) for one in ("alpha", "shop", "zoo")]
    assert counted == [1, 1, 1]
    # Long after the poster has forgotten: who was told of before the failure is not told of again.
    parts.now_s += 10_000
    await parts.auditor.look()
    assert (parts.value("mesh7_unguarded_pods"), parts.events()) == (2, 2)


async def test_counting_asks_for_what_the_api_server_remembers(parts: _Parts) -> None:
    """Found by review of issue 6: the newest state of each namespace costs up to 100 ms."""
    parts.enrol()
    parts.put("new", is_guarded=True)
    for _ in range(3):
        await parts.auditor.look()
    page = {"limit": str(api_server.PAGE)}
    assert parts.server.queries == [page, {"resourceVersion": "0"}, {"resourceVersion": "0"}]


async def test_pods_of_a_large_namespace_come_in_pages(parts: _Parts) -> None:
    """3,000 pods as a whole are 35 MB of JSON, and 250 MB when they are read."""
    parts.enrol()
    for number in range(api_server.PAGE + 1):
        parts.put(f"new-{number}", is_guarded=True)
    for _ in range(2):
        await parts.auditor.look()
    assert all("limit" in query for query in parts.server.queries)
    assert parts.value("mesh7_guarded_pods") == api_server.PAGE + 1


async def test_a_round_makes_so_many_events_and_the_next_one_the_others(parts: _Parts) -> None:
    """A namespace of thousands does not flood the API server."""
    parts.enrol()
    for number in range(unguarded.MOST_EVENTS + 3):
        parts.put(f"old-{number}")
    await parts.auditor.look()
    assert parts.events() == unguarded.MOST_EVENTS
    await parts.auditor.look()
    assert parts.events() == unguarded.MOST_EVENTS + 3


async def test_a_change_of_the_number_is_a_line_in_the_log(
    parts: _Parts, caplog: pytest.LogCaptureFixture
) -> None:
    parts.enrol()
    parts.put("old")
    with caplog.at_level("INFO"):
        await parts.auditor.look()
        await parts.auditor.look()
        parts.server.remove(resources.PODS, "shop", "old")
        await parts.auditor.look()
    lines = [one for one in caplog.records if one.message == "unguarded pods"]
    assert [(one.levelname, vars(one)["count"], vars(one)["pods"]) for one in lines] == [
        ("WARNING", 1, ["old"]),
        ("INFO", 0, []),
    ]


@pytest.mark.parametrize("egress", ["open", "closed"])
async def test_network_policies_are_counted_by_what_they_let_out(
    parts: _Parts, egress: str
) -> None:
    parts.enrol(egress=egress)
    await parts.auditor.look()
    found = {
        one: parts.registry.get_sample_value("mesh7_network_policies", {"egress": one})
        for one in ("open", "closed")
    }
    assert found == {"open": float(egress == "open"), "closed": float(egress == "closed")}
