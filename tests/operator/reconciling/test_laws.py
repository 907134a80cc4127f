"""What holds of every world: plans settle it, versions rise, what is revoked stays revoked."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_core import names
from mesh7_core.delivery.envelopes import Kind
from mesh7_core.delivery.reports import Drift, Report, SourceReport, Tool
from mesh7_operator.reconciling import network_policy
from mesh7_operator.reconciling.compilation import compilation_of
from mesh7_operator.reconciling.reconcile import reconcile
from mesh7_operator.reconciling.world import Delivered, Published, StoreState, World, Written
from tests.crds import judging, schemas
from tests.operator.reconciling import worlds

LOCAL = worlds.policy(
    "local",
    rules=[{**worlds.RULE, "limits": ["writes"]}],
    limits=[{"name": "writes", "per": "Agent", "max": 30, "onStoreLoss": "Local"}],
)
POLICIES = (
    worlds.policy(rules=[worlds.ASKING]),
    worlds.policy("audited", mode="Audit", selector={"matchLabels": {"app": "shopper"}}),
    worlds.broken_policy(),
    worlds.policy("shapeless", selector="everything"),
    LOCAL,
)
BASELINE = (
    worlds.policy("fence", namespace=worlds.RELEASE),
    worlds.broken_policy("hole", namespace=worlds.RELEASE),
)
SOURCES = (
    worlds.source(),
    worlds.source("crm", pinning={"mode": "Enforce"}, auth={"key": "crm"}),
    worlds.source("Broken.name"),
    worlds.written("ToolSource", "local", {"mcp": {"transport": "Stdio", "command": ["x"]}}),
)
GRANTS = (
    worlds.permission(),
    worlds.permission("unstamped", by=None),
    worlds.permission("over", expiresAt="2026-11-21T11:00:00Z"),
    replace(worlds.permission("deleted"), is_ending=True),
    worlds.permission("wide", maxUses=1000),
    worlds.veto(),
    worlds.veto("odd", when="args.", expiresAt="2026-11-21T12:10:00Z"),
    worlds.written("Grant", "empty", {}),
)
FLOOR = names.BUNDLE_FLOOR_ANNOTATION
ANNOTATIONS = [FLOOR, names.OVERLAY_FLOOR_ANNOTATION, names.TRUST_KEYS_ANNOTATION]
EARLIER = worlds.settled(worlds.asking_world())

garbage = st.binary(max_size=40)
contents = st.one_of(st.none(), garbage, st.just(b"{}\n\n"))
versions = st.one_of(
    st.just(0),
    st.integers(1, 2**63),
    st.integers(worlds.NOON_MS - 10**8, worlds.NOON_MS + 10**8),
)
floors = st.one_of(
    st.text(max_size=5), st.integers(-1, 10**13).map(str), st.integers(10**14, 10**20).map(str)
)
agents = st.sampled_from(["support", "shopper", "a.b"])


@st.composite
def sidecars(draw: st.DrawFn) -> tuple[str, Report]:
    tools = tuple(
        Tool(name=name, digest=f"sha256:{draw(st.sampled_from('ab')) * 64}", drift=drift)
        for name in draw(st.sets(st.sampled_from(["refund", "charge", "x" * 300])))
        for drift in [draw(st.sampled_from([None, *Drift]))]
    )
    error = draw(st.sampled_from(["", "it answers 502", "credential `crm` is missing"]))
    source = SourceReport(
        name=draw(st.sampled_from(["billing", "crm", "nobody"])),
        is_ready=not error,
        error=error,
        tools=() if error else tools,
        tool_count=draw(st.integers(0, 2**53)),
    )
    uid = draw(st.sampled_from(["pod-1", "pod-2", "pod-3"]))
    report = worlds.sidecar(
        draw(st.sampled_from([uid, "pod-1"])),
        agent=draw(agents),
        labels=draw(st.sampled_from([{}, {"app": "shopper"}])),
        bundle=draw(versions),
        sources=(source,),
    )
    return uid, report


@st.composite
def published(draw: st.DrawFn) -> Published:
    return Published(
        bundle=draw(versions),
        overlay=draw(versions),
        bundle_sha1=draw(st.sampled_from(["", "0" * 40])),
        reports=dict(draw(st.lists(sidecars(), max_size=4))),
        uses={"shop/inc-4711": draw(st.integers(-1, 2**63))},
    )


LABELS = [
    {names.INJECTION_LABEL: "enabled"},
    {names.INJECTION_LABEL: "enabled", names.ENFORCEMENT: "Guarded"},
    {names.INJECTION_LABEL: "enabled", names.ENFORCEMENT: "odd"},
]
NETWORK_POLICIES = [
    None,
    network_policy.found_of({}),
    network_policy.found_of({"metadata": 7, "spec": {"egress": [{}], "ingress": None}}),
]


@st.composite
def any_world(draw: st.DrawFn) -> World:
    store = draw(st.sampled_from(StoreState))
    delivered = st.one_of(
        st.none(),
        st.just(EARLIER.delivered),
        st.builds(
            Delivered,
            bundle=contents,
            overlay=contents,
            is_as_ours=st.booleans(),
            is_stuck=st.booleans(),
        ),
    )
    return worlds.world(
        is_enrolled=draw(st.booleans()),
        labels=draw(st.sampled_from(LABELS)),
        network_policy=draw(st.sampled_from(NETWORK_POLICIES)),
        policies=tuple(draw(st.lists(st.sampled_from(POLICIES), unique_by=_name))),
        baseline=tuple(draw(st.lists(st.sampled_from(BASELINE), unique_by=_name))),
        sources=tuple(draw(st.lists(st.sampled_from(SOURCES), unique_by=_name))),
        grants=tuple(draw(st.lists(st.sampled_from(GRANTS), unique_by=_name))),
        annotations=draw(st.dictionaries(st.sampled_from(ANNOTATIONS), floors)),
        delivered=draw(delivered),
        store=store,
        published=draw(published()) if store is StoreState.CONNECTED else None,
        now=worlds.NOON + timedelta(seconds=draw(st.integers(-10_000, 10_000))),
    )


def _name(written: Written) -> str:
    return written.name


@given(any_world())
def test_the_world_that_a_plan_makes_needs_no_plan(world: World) -> None:
    """Design 8: `reconcile(world) → Plan` is pure and idempotent."""
    plan = reconcile(world)
    again = reconcile(worlds.after(world, plan))
    assert worlds.is_empty(again), again
    assert (again.bundle_version, again.overlay_version) == (
        plan.bundle_version,
        plan.overlay_version,
    )


def _schema(kind: str) -> schemas.Schema:
    found: schemas.Schema = schemas.whole(kind)["properties"]["status"]
    return found


@given(any_world())
def test_every_status_is_one_that_the_api_server_takes(world: World) -> None:
    """By the schemas in crds/; one that is refused would be tried for ever."""
    plan = reconcile(world)
    assert [
        (one.name, found)
        for one in plan.statuses
        for found in judging.complaints(_schema(one.kind), one.status)
    ] == []
    assert all(len(one.message) <= 1024 for one in plan.events)


@given(any_world(), any_world())
def test_a_compilation_of_another_world_changes_no_plan(world: World, other: World) -> None:
    assert reconcile(world, compilation_of(other)) == reconcile(world)


@given(any_world())
def test_the_order_of_objects_changes_no_plan(world: World) -> None:
    shuffled = replace(
        world,
        policies=world.policies[::-1],
        baseline=world.baseline[::-1],
        sources=world.sources[::-1],
        grants=world.grants[::-1],
    )
    assert reconcile(shuffled) == reconcile(world)


EDITS: Mapping[str, Callable[[World], World]] = {
    "edit": lambda world: replace(
        world,
        policies=(worlds.policy(rules=[worlds.ASKING], mode=_other_mode(world)),),
    ),
    "grant": lambda world: replace(world, grants=(worlds.permission(), worlds.veto())),
    "revoke": lambda world: replace(world, grants=(worlds.veto(),)),
    "delete the ConfigMap": lambda world: replace(world, delivered=None),
    "replay the ConfigMap": lambda world: replace(world, delivered=EARLIER.delivered),
    "spoil the ConfigMap": lambda world: replace(
        world, delivered=Delivered(bundle=b"x", overlay=b"y")
    ),
    "empty the store": lambda world: replace(
        world, store=StoreState.CONNECTED, published=Published()
    ),
    "forge the store": lambda world: replace(
        world,
        store=StoreState.CONNECTED,
        published=Published(bundle=10**15, overlay=worlds.NOON_MS + 10**6),
    ),
    "lose the store": lambda world: replace(world, store=StoreState.LOST, published=None),
    "raise the floor": lambda world: replace(
        world,
        annotations={**world.annotations, FLOOR: str(int(world.annotations[FLOOR]) + 10**9)},
    ),
    "disenrol": lambda world: replace(world, is_enrolled=False),
    "enrol": lambda world: replace(world, is_enrolled=True),
    "set the clock back": lambda world: worlds.later(world, -timedelta(minutes=7)),
    "wait": lambda world: worlds.later(world, timedelta(minutes=3)),
}


def _other_mode(world: World) -> str:
    spec = world.policies[0].value["spec"]
    assert isinstance(spec, dict)
    return "Enforce" if spec.get("mode") == "Audit" else "Audit"


@pytest.mark.promise("K9")
@given(st.lists(st.sampled_from(sorted(EDITS)), max_size=12))
def test_versions_never_go_back_whatever_happens(steps: list[str]) -> None:
    """Nor does one version ever say two things."""
    world, highest = EARLIER, dict.fromkeys(Kind, 0)
    said: dict[tuple[Kind, int], bytes] = {}
    for step in steps:
        world = worlds.settled(EDITS[step](world))
        if world.delivered is None:
            continue
        for kind in Kind:
            opened = worlds.opened(world, kind)
            assert opened.header.version >= highest[kind]
            highest[kind] = opened.header.version
            assert said.setdefault((kind, opened.header.version), opened.payload) == opened.payload


@given(st.lists(st.sampled_from(sorted(EDITS)), max_size=12))
def test_a_revoked_grant_is_in_no_later_overlay(steps: list[str]) -> None:
    """Until it is granted anew, that is."""
    world = EARLIER
    for step in steps:
        world = worlds.settled(EDITS[step](world))
        if world.delivered is not None:
            is_granted = any(one.name == "inc-4711" for one in world.grants)
            ends_at = worlds.NOON + timedelta(minutes=30)
            expected = is_granted and world.now < ends_at
            assert ("inc-4711" in worlds.overlay_of(world)) is expected


@given(st.sampled_from(POLICIES), st.sampled_from(POLICIES))
def test_no_policy_changes_what_is_said_of_another(first: Written, second: Written) -> None:
    """K3, design 8: one broken policy leaves the rest alone."""
    alone = worlds.settled(worlds.world(policies=(worlds.policy("plain"),)))
    others = {one.name: one for one in (first, second)}
    both = worlds.settled(worlds.world(policies=(*others.values(), worlds.policy("plain"))))
    assert worlds.status_of(both, "plain") == worlds.status_of(alone, "plain")
