"""World → plan: what is to be done so that a namespace's sidecars obey what is written.

Total, deterministic, idempotent: the world that a plan makes needs no plan.
Pure: no clock, no network, no logging.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from mesh7_core.api.manifests import Document
from mesh7_core.delivery.envelopes import Kind
from mesh7_operator.reconciling import (
    bundling,
    config_map,
    events,
    grants,
    network_policy,
    policies,
    publishing,
    sources,
    trusted,
)
from mesh7_operator.reconciling.bundling import Sealed
from mesh7_operator.reconciling.compilation import Compilation, compilation_of, is_release
from mesh7_operator.reconciling.grants import Judged
from mesh7_operator.reconciling.plan import (
    ApplyConfigMap,
    ApplyNetworkPolicy,
    DeleteConfigMap,
    DeleteNetworkPolicy,
    Event,
    Plan,
    StatusChange,
)
from mesh7_operator.reconciling.sidecars import Sidecars, sidecars_of
from mesh7_operator.reconciling.situation import Situation
from mesh7_operator.reconciling.versions import FLOOR_ANNOTATIONS
from mesh7_operator.reconciling.world import StoreState, World, Written


def reconcile(world: World, last: Compilation | None = None) -> Plan:
    """The plan for one namespace.

    Args:
        world: all that is known of it.
        last: what `compilation.compilation_of` made of an earlier world of the namespace; used
            where nothing that is written changed since, so that a round of reports is cheap.
    """
    world = _own(world)
    compilation = compilation_of(world, last)
    sidecars = sidecars_of(world)
    judged = grants.judge(world, compilation)
    make = _served if world.is_enrolled else _unserved
    return make(world, compilation, sidecars, judged)


def _own(world: World) -> World:
    """Without what cannot be: objects of other namespaces, an enrolled release namespace."""
    return replace(
        world,
        is_enrolled=world.is_enrolled and not is_release(world),
        policies=tuple(one for one in world.policies if one.namespace == world.namespace),
        sources=tuple(one for one in world.sources if one.namespace == world.namespace),
        grants=tuple(one for one in world.grants if one.namespace == world.namespace),
    )


def _served(
    world: World, compilation: Compilation, sidecars: Sidecars, judged: tuple[Judged, ...]
) -> Plan:
    overlay = bundling.overlay_of(
        world, grants.in_force(judged), is_beyond=bool(compilation.excess_of_grants)
    )
    bundle = bundling.bundle_of(world, compilation, sidecars)
    # A revocation travels before anything else.
    sealed = (overlay.sealed, bundle.sealed)
    common = Situation(
        world=world,
        compilation=compilation,
        sidecars=sidecars,
        version=bundle.sealed.version,
        is_too_large=bundle.is_too_large,
        left_out=overlay.left_out,
    )
    statuses, told = _changes(common, judged)
    return Plan(
        namespace=world.namespace,
        publish=tuple(publishing.publish(sealed, world.published, sidecars.store)),
        network_policy=_network_policy(world, bundle.documents),
        config_map=_config_map(world, sealed),
        annotations={
            **{
                FLOOR_ANNOTATIONS[one.kind]: str(one.version)
                for one in sealed
                if one.floor < one.version
            },
            **trusted.change(world),
        },
        statuses=statuses,
        events=told,
        bundle_version=bundle.sealed.version,
        overlay_version=overlay.sealed.version,
        bundle_bytes=len(bundle.sealed.envelope),
        is_converged=sidecars.store is not StoreState.LOST,
        look_again_at=_earliest(grants.next_end(judged, world.now), bundle.changes_at),
    )


def _unserved(
    world: World, compilation: Compilation, sidecars: Sidecars, judged: tuple[Judged, ...]
) -> Plan:
    """Nothing is delivered; floors stay, so that the namespace's past is no way back into it."""
    common = Situation(world=world, compilation=compilation, sidecars=sidecars)
    statuses, told = _changes(common, judged)
    published = world.published
    return Plan(
        namespace=world.namespace,
        forget=published is not None and bool(published.bundle or published.overlay),
        network_policy=_network_policy(world, ()),
        config_map=DeleteConfigMap() if world.delivered is not None else None,
        annotations=trusted.change(world),
        statuses=statuses,
        events=told,
        is_converged=sidecars.store is not StoreState.LOST,
        look_again_at=grants.next_end(judged, world.now),
    )


def _network_policy(
    world: World, documents: Iterable[Document]
) -> ApplyNetworkPolicy | DeleteNetworkPolicy | None:
    wanted = network_policy.wanted(world, documents)
    if network_policy.is_as_wanted(world.network_policy, wanted):
        return None
    return DeleteNetworkPolicy() if wanted is None else ApplyNetworkPolicy(manifest=wanted)


def _config_map(world: World, sealed: tuple[Sealed, ...]) -> ApplyConfigMap | None:
    contents = {one.kind: (one.version, one.envelope) for one in sealed}
    found = world.delivered
    if (
        found is not None
        and found.bundle == contents[Kind.BUNDLE][1]
        and found.overlay == contents[Kind.OVERLAY][1]
        and found.is_as_ours
        and not found.is_stuck
    ):
        return None
    return ApplyConfigMap(
        manifest=config_map.manifest(world.namespace, contents),
        replace=found is not None and found.is_stuck,
    )


def _changes(
    common: Situation, judged: tuple[Judged, ...]
) -> tuple[tuple[StatusChange, ...], tuple[Event, ...]]:
    """Statuses that differ from those that stand, and what there is to tell about them."""
    changed = [(one, new) for one, new in _statuses(common, judged) if new != one.status]
    return (
        tuple(
            StatusChange(kind=one.kind, name=one.name, uid=one.uid, status=new)
            for one, new in changed
        ),
        tuple(event for one, new in changed for event in events.of_change(one, new)),
    )


def _statuses(
    common: Situation, judged: tuple[Judged, ...]
) -> Iterator[tuple[Written, Mapping[str, object]]]:
    world = common.world
    for policy in sorted(world.policies, key=_by_name):
        yield policy, policies.status(policy, common)
    for source in sorted(world.sources, key=_by_name):
        yield source, sources.status(source, common)
    for grant in judged:
        yield grant.written, grants.status(grant, world, common.left_out)


def _by_name(written: Written) -> str:
    return written.name


def _earliest(*moments: datetime | None) -> datetime | None:
    return min((one for one in moments if one is not None), default=None)
