"""Plans become requests: in order, each for itself, and only while we lead."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from mesh7_core import errors, names
from mesh7_core.delivery.envelopes import Kind
from mesh7_operator import metrics
from mesh7_operator.clock import Clock
from mesh7_operator.cluster import resources
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.controller.delivering.applying import Applier
from mesh7_operator.controller.informer import seen
from mesh7_operator.controller.informer.board import Board
from mesh7_operator.controller.posting import Poster
from mesh7_operator.reconciling.plan import (
    ApplyConfigMap,
    ApplyNetworkPolicy,
    DeleteConfigMap,
    DeleteNetworkPolicy,
    Event,
    EventType,
    Plan,
    Publish,
    StatusChange,
)
from mesh7_operator.reconciling.world import StoreState
from tests.fakes import api_server as fakes
from tests.operator.controller.stores import MemoryStore

CLOCK = Clock(wall_ns=lambda: 1_795_258_936_000_000_000, monotonic_s=lambda: 100.0)
BUNDLES = f"/api/v1/namespaces/shop/configmaps/{names.BUNDLE_CONFIG_MAP}"
STATUS = f"/apis/{names.API_VERSION}/namespaces/shop/agentpolicies/support/status"


class _Parts:
    def __init__(self, server: fakes.ApiServer, api: ApiServer) -> None:
        self.server = server
        self.store = MemoryStore()
        self.leads = True
        self.applier = Applier(
            api=api,
            store=self.store,
            board=Board("mesh7-system", lambda _: None),
            poster=Poster(api, CLOCK),
            may_write=lambda: self.leads,
        )


@pytest.fixture
async def parts() -> AsyncIterator[_Parts]:
    measured = metrics.ApiMetrics(metrics.registry())
    async with fakes.serving() as server, ApiServer(server.connection, measured) as api:
        yield _Parts(server, api)


EVENT = Event(
    kind=names.AGENT_POLICY, name="support", uid="u1",
    type=EventType.WARNING, reason="Invalid", message="unknown effect",
)  # fmt: skip
PLAN = Plan(
    namespace="shop",
    publish=(
        Publish(kind=Kind.OVERLAY, version=7, content=b"o"),
        Publish(kind=Kind.BUNDLE, version=7, content=b"b"),
    ),
    config_map=ApplyConfigMap(manifest={}),
    annotations={names.BUNDLE_FLOOR_ANNOTATION: "7"},
    statuses=(StatusChange(kind=names.AGENT_POLICY, name="support", uid="u1", status={}),),
    events=(EVENT,),
)


async def test_everything_is_done_in_the_order_of_the_plan(parts: _Parts) -> None:
    parts.server.troubles = [(200, {})] * 4
    assert await parts.applier.apply(PLAN) == ()
    assert parts.store.kept["shop"].bundle == parts.store.kept["shop"].overlay == 7
    assert parts.server.asked == [
        ("PATCH", BUNDLES),
        ("PATCH", "/api/v1/namespaces/shop"),
        ("PATCH", STATUS),
        ("POST", "/api/v1/namespaces/shop/events"),
    ]


async def test_revocations_reach_the_store_though_the_config_map_cannot_be_written(
    parts: _Parts,
) -> None:
    """Design 7: revocations travel first."""
    parts.server.troubles = [(403, {}), (200, {}), (200, {}), (200, {})]
    troubles = await parts.applier.apply(PLAN)
    assert troubles == ("apply ConfigMap `shop/mesh7-bundle`: in trouble",)
    assert parts.store.kept["shop"].overlay == 7
    assert len(parts.server.asked) == 4


async def test_the_config_map_is_written_though_the_store_is_lost(parts: _Parts) -> None:
    parts.store.state = StoreState.LOST
    parts.server.troubles = [(200, {})] * 4
    assert await parts.applier.apply(PLAN) == (
        "redis did not take the overlay of `shop`",
        "redis did not take the bundle of `shop`",
    )
    assert ("PATCH", BUNDLES) in parts.server.asked


async def test_nothing_is_written_once_somebody_else_leads(parts: _Parts) -> None:
    parts.leads = False
    with pytest.raises(errors.ClusterError, match="no longer leading"):
        await parts.applier.apply(PLAN)
    assert (parts.server.asked, parts.store.kept) == ([], {})


async def test_one_that_is_stuck_is_deleted_first(parts: _Parts) -> None:
    """An immutable ConfigMap, or one with keys of others, takes no apply."""
    parts.server.troubles = [(200, {})] * 2
    plan = Plan(namespace="shop", config_map=ApplyConfigMap(manifest={}, replace=True))
    assert await parts.applier.apply(plan) == ()
    assert parts.server.asked == [("DELETE", BUNDLES), ("PATCH", BUNDLES)]


async def test_a_namespace_that_left_is_forgotten(parts: _Parts) -> None:
    parts.server.troubles = [(404, {})]
    plan = Plan(namespace="shop", forget=True, config_map=DeleteConfigMap())
    assert await parts.applier.apply(plan) == ()
    assert parts.store.forgotten == ["shop"]


async def test_the_status_of_what_is_gone_is_no_failure(parts: _Parts) -> None:
    parts.server.troubles = [(404, {})]
    assert await parts.applier.apply(Plan(namespace="shop", statuses=PLAN.statuses)) == ()


async def test_the_status_of_another_object_of_that_name_is_no_failure(parts: _Parts) -> None:
    """It came while we reconciled; the watch will tell of it."""
    about = {"metadata": {"namespace": "shop", "name": "support"}}
    other = parts.server.put(resources.AGENT_POLICIES, about)
    assert await parts.applier.apply(Plan(namespace="shop", statuses=PLAN.statuses)) == ()
    assert await parts.applier.api.get(resources.AGENT_POLICIES, "shop", "support") == other


async def test_an_event_is_posted_once_and_its_loss_is_no_failure(parts: _Parts) -> None:
    parts.server.troubles = [(403, {})]
    for _ in range(3):
        assert await parts.applier.apply(Plan(namespace="shop", events=(EVENT,))) == ()
    assert parts.server.asked == [("POST", "/api/v1/namespaces/shop/events")]


async def test_a_plan_that_is_over_leaves_further_statuses_to_the_next_one(parts: _Parts) -> None:
    """R1, 6: and what is told of one that was written is told, for nobody would again."""
    statuses = tuple(
        StatusChange(kind=names.AGENT_POLICY, name=f"p{at}", uid=f"u{at}", status={})
        for at in range(1, 4)
    )
    parts.server.troubles = [(200, {})] * 9
    plan = replace(PLAN, config_map=None, annotations={}, statuses=statuses)
    answers = iter([False, True])
    assert await parts.applier.apply(plan, lambda: next(answers)) == ()
    assert parts.store.kept["shop"].overlay == 7
    assert parts.server.asked == [
        ("PATCH", STATUS.replace("support", "p1")),
        ("POST", "/api/v1/namespaces/shop/events"),
    ]


async def test_the_way_out_is_open_before_the_bundle_that_needs_it(parts: _Parts) -> None:
    """And after what is revoked: revocations travel before anything else."""
    walls = f"/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies/{names.NETWORK_POLICY}"
    parts.server.troubles = [(200, {})] * 5
    plan = replace(PLAN, network_policy=ApplyNetworkPolicy(manifest={}))
    assert await parts.applier.apply(plan) == ()
    assert parts.server.asked[:2] == [("PATCH", walls), ("PATCH", BUNDLES)]


async def test_a_network_policy_that_is_not_taken_keeps_nothing_else_back(parts: _Parts) -> None:
    parts.server.troubles = [(403, {}), *[(200, {})] * 4]
    plan = replace(PLAN, network_policy=ApplyNetworkPolicy(manifest={}))
    assert await parts.applier.apply(plan) == (
        "apply NetworkPolicy `shop/mesh7-guarded`: in trouble",
    )
    assert parts.store.kept["shop"].bundle == 7


async def test_one_that_is_deleted_is_known_to_be_gone_at_once(parts: _Parts) -> None:
    """The watch tells of it later; nothing is to be deleted twice."""
    value = {"metadata": {"uid": "p", "resourceVersion": "5"}}
    there = seen.network_policy_of(value)
    parts.applier.board.tell(seen.Snapshot(name="shop", network_policies=(there,)))
    plan = Plan(namespace="shop", network_policy=DeleteNetworkPolicy())
    assert await parts.applier.apply(plan) == ()
    assert parts.applier.board.known("shop").network_policy is None
