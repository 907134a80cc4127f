"""What stops calls, before the policies are compiled: new vetoes in, grants that are gone out.

Nothing here permits anything: a permission stays only where the overlay in force has it, word by
word. Pure: no clock, no network, no logging.
"""

from collections.abc import Mapping
from dataclasses import replace

from mesh7_core.api.manifests import Document
from mesh7_core.compiling import standing
from mesh7_core.delivery import payloads
from mesh7_core.delivery.envelopes import Kind
from mesh7_core.errors import BundleError
from mesh7_operator.reconciling import bundling, config_map, grants, publishing
from mesh7_operator.reconciling.bundling import Sealed
from mesh7_operator.reconciling.compilation import compilation_of
from mesh7_operator.reconciling.plan import ApplyConfigMap, Plan
from mesh7_operator.reconciling.sidecars import store_of
from mesh7_operator.reconciling.versions import FLOOR_ANNOTATIONS
from mesh7_operator.reconciling.world import World


def urgent(world: World) -> Plan | None:
    """The part of the plan that does not wait; None = there is none.

    The overlay goes out, and beside it the bundle that is held: the plan that follows finds both
    and writes nothing twice.
    """
    if not world.is_enrolled or world.namespace == world.release_namespace:
        return None
    stopping = replace(
        world, policies=(), sources=(), baseline=(), published=None,
        grants=tuple(one for one in world.grants if not standing.is_permission(one.value)),
    )  # fmt: skip
    held = bundling.held(world, Kind.OVERLAY)
    if held is None and not stopping.grants:
        return None
    compilation = compilation_of(stopping)
    in_force = grants.in_force(grants.judge(stopping, compilation))
    permitted = {} if held is None else _standing(world, held.payload)
    overlay = bundling.overlay_of(
        world, {**in_force, **permitted}, is_beyond=bool(compilation.excess_of_grants)
    ).sealed
    if held is not None and overlay.version == held.version:
        return None
    return _plan(world, overlay)


def _standing(world: World, payload: bytes) -> Mapping[str, Document]:
    """Permissions of the overlay in force that are still written like that, stamped, not ended."""
    try:
        overlay = payloads.read_overlay(payload)
    except BundleError:
        # Another release wrote it.
        return {}
    found = {}
    written = {one.file: one for one in world.grants}
    for document in overlay.documents:
        one = written.get(document.file)
        if one is None or not standing.is_permission(document.value):
            continue
        is_same = payloads.document_of(one.value).value == document.value
        if is_same and grants.may_stand(one, world):
            found[document.file] = document
    return found


def _plan(world: World, overlay: Sealed) -> Plan:
    bundle = bundling.held(world, Kind.BUNDLE)
    plan = Plan(
        namespace=world.namespace,
        publish=tuple(publishing.publish((overlay,), world.published, store_of(world))),
        overlay_version=overlay.version,
    )
    is_stuck = world.delivered is not None and world.delivered.is_stuck
    if bundle is None or is_stuck:
        return plan
    contents = {
        Kind.BUNDLE: (bundle.version, bundle.envelope),
        Kind.OVERLAY: (overlay.version, overlay.envelope),
    }
    return replace(
        plan,
        config_map=ApplyConfigMap(manifest=config_map.manifest(world.namespace, contents)),
        annotations={FLOOR_ANNOTATIONS[Kind.OVERLAY]: str(overlay.version)},
        bundle_version=bundle.version,
    )
