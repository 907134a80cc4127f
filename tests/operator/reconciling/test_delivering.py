"""What is sealed, when it is sealed anew, and when it stays as it is."""

from dataclasses import replace
from datetime import timedelta

from mesh7_core import names
from mesh7_core.compiling import delivered
from mesh7_core.delivery import keys
from mesh7_core.delivery.envelopes import Kind
from mesh7_operator.reconciling import trusted
from mesh7_operator.reconciling.compilation import compilation_of
from mesh7_operator.reconciling.plan import ApplyConfigMap
from mesh7_operator.reconciling.reconcile import reconcile
from mesh7_operator.reconciling.world import Keys, Published, StoreState
from tests.operator.reconciling import worlds


def test_a_new_namespace_gets_bundle_and_overlay_by_all_ways() -> None:
    """Design 7: a ConfigMap for the cold start, Redis for speed, a floor for new pods."""
    plan = reconcile(worlds.world())
    assert [(one.kind, one.version, one.force) for one in plan.publish] == [
        (Kind.OVERLAY, worlds.NOON_MS, False),
        (Kind.BUNDLE, worlds.NOON_MS, False),
    ]
    assert plan.annotations == {
        names.BUNDLE_FLOOR_ANNOTATION: str(worlds.NOON_MS),
        names.OVERLAY_FLOOR_ANNOTATION: str(worlds.NOON_MS),
        names.TRUST_KEYS_ANNOTATION: trusted.written(worlds.KEYS),
    }
    assert isinstance(plan.config_map, ApplyConfigMap)
    manifest = plan.config_map.manifest
    assert worlds.in_base64(manifest, names.BUNDLE_KEY) == plan.publish[1].content
    assert worlds.in_base64(manifest, names.OVERLAY_KEY) == plan.publish[0].content
    assert plan.bundle_bytes == len(plan.publish[1].content)
    assert (plan.bundle_version, plan.overlay_version) == (worlds.NOON_MS, worlds.NOON_MS)


def test_what_is_delivered_compiles_in_a_sidecar() -> None:
    before = worlds.asking_world(grants=(worlds.permission(), worlds.veto()))
    found = worlds.settled(before)
    bundle = delivered.compile_bundle(worlds.bundle_of(found))
    grants = delivered.compile_overlay(worlds.overlay_content(found), bundle)
    assert [one.id for one in bundle.policies] == ["shop/support"]
    assert list(bundle.sources) == ["billing"]
    assert [one.id for one in grants] == ["shop/inc-4711", "shop/stop"]


def test_a_settled_world_stays_as_it_is_for_ever() -> None:
    found = worlds.later(worlds.settled(worlds.world()), timedelta(days=300))
    assert worlds.is_empty(reconcile(found))
    assert reconcile(found).bundle_version == worlds.NOON_MS


def test_an_edit_makes_a_newer_bundle_and_leaves_the_overlay() -> None:
    found = worlds.later(worlds.settled(worlds.world()), timedelta(seconds=1))
    plan = reconcile(replace(found, policies=(worlds.policy(mode="Audit"),)))
    assert [(one.kind, one.version) for one in plan.publish] == [
        (Kind.BUNDLE, worlds.NOON_MS + 1000)
    ]
    assert plan.overlay_version == worlds.NOON_MS


def test_two_edits_within_a_millisecond_have_two_versions() -> None:
    found = worlds.settled(worlds.world())
    plan = reconcile(replace(found, policies=(worlds.policy(mode="Audit"),)))
    assert plan.bundle_version == worlds.NOON_MS + 1


def test_a_clock_that_was_set_back_makes_higher_versions_all_the_same() -> None:
    found = worlds.later(worlds.settled(worlds.world()), -timedelta(days=3))
    plan = reconcile(replace(found, policies=(worlds.policy(mode="Audit"),)))
    assert plan.bundle_version == worlds.NOON_MS + 1
    assert worlds.is_empty(reconcile(worlds.after(found, reconcile(found))))


def test_a_revoked_grant_is_gone_from_the_next_overlay_and_leaves_the_bundle() -> None:
    """Design 7: revocations travel first."""
    found = worlds.settled(worlds.asking_world(grants=(worlds.permission(), worlds.veto())))
    assert worlds.overlay_of(found) == ["inc-4711", "stop"]
    revoked = replace(found, grants=(worlds.veto(),))
    plan = reconcile(revoked)
    assert [one.kind for one in plan.publish] == [Kind.OVERLAY]
    assert worlds.overlay_of(worlds.after(revoked, plan)) == ["stop"]


def test_a_rotated_key_signs_everything_anew() -> None:
    """`mesh7-operator keys rotate`: sidecars are led to the next key by what it signs."""
    found = worlds.settled(worlds.world())
    link = keys.endorse(worlds.SIGNER, worlds.NEXT_SIGNER.public)
    rotated = replace(
        found, keys=Keys(signer=worlds.NEXT_SIGNER, links=(link,), stamps=worlds.KEYS.stamps)
    )
    plan = reconcile(rotated)
    assert [one.version for one in plan.publish] == [worlds.NOON_MS + 1, worlds.NOON_MS + 1]
    settled = worlds.after(rotated, plan)
    header = worlds.opened(settled, Kind.BUNDLE).header
    assert (header.key, header.links) == (worlds.NEXT_SIGNER.public, (link,))
    assert worlds.is_empty(reconcile(settled))


def test_a_new_link_travels_although_nothing_else_changed() -> None:
    found = worlds.settled(worlds.world())
    link = keys.endorse(worlds.SIGNER, worlds.NEXT_SIGNER.public)
    plan = reconcile(replace(found, keys=replace(worlds.KEYS, links=(link,))))
    assert [one.kind for one in plan.publish] == [Kind.OVERLAY, Kind.BUNDLE]


def test_without_redis_the_config_map_is_all_there_is() -> None:
    plan = reconcile(worlds.world(store=StoreState.NONE, published=None))
    assert plan.publish == ()
    assert isinstance(plan.config_map, ApplyConfigMap)
    assert plan.is_converged


def test_a_lost_store_is_owed_what_it_gets_when_it_is_back() -> None:
    lost = worlds.settled(worlds.world(store=StoreState.LOST, published=None))
    assert not reconcile(lost).is_converged
    back = replace(lost, store=StoreState.CONNECTED, published=Published())
    plan = reconcile(back)
    assert [(one.kind, one.version) for one in plan.publish] == [
        (Kind.OVERLAY, worlds.NOON_MS),
        (Kind.BUNDLE, worlds.NOON_MS),
    ]
    assert plan.config_map is None


def test_the_order_in_which_objects_are_listed_means_nothing() -> None:
    policies = (worlds.policy("a"), worlds.policy("b"), worlds.broken_policy())
    forth = worlds.world(policies=policies, grants=(worlds.veto("x"), worlds.veto("y")))
    back = replace(forth, policies=policies[::-1], grants=forth.grants[::-1])
    assert reconcile(forth) == reconcile(back)


def test_a_round_of_reports_compiles_nothing() -> None:
    """Whoever reconciles hands the last compilation back: the very same one is used."""
    found = worlds.world()
    last = compilation_of(found)
    heard = worlds.reported(found, worlds.sidecar(bundle=1))
    assert compilation_of(heard, last) is last
    assert reconcile(heard, last) == reconcile(heard)


def test_what_is_written_anew_is_compiled_anew() -> None:
    found = worlds.world()
    edited = replace(found, policies=(worlds.policy(mode="Audit"),))
    assert reconcile(edited, compilation_of(found)) == reconcile(edited)


def test_the_baseline_of_a_release_namespace_of_another_name_is_delivered() -> None:
    fence = worlds.policy("fence", namespace="guards")
    found = worlds.settled(worlds.world(release_namespace="guards", baseline=(fence,)))
    bundle = delivered.compile_bundle(worlds.bundle_of(found))
    assert [one.id for one in bundle.policies] == ["guards/fence", "shop/support"]


def test_objects_of_other_namespaces_are_none_of_ours() -> None:
    both = (worlds.policy(), worlds.policy("else", namespace="other"))
    plan = reconcile(worlds.world(policies=both))
    assert [one.name for one in plan.statuses] == ["support", "billing"]
    found = worlds.after(worlds.world(), plan)
    assert [one.name for one in worlds.bundle_of(found).documents] == ["support", "billing"]


def test_another_authority_of_the_exchange_makes_a_newer_bundle_that_names_it() -> None:
    """docs/administrator/certificates.md: pods outlive a rotation."""
    pem = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n"
    found = worlds.later(worlds.settled(worlds.world()), timedelta(seconds=1))
    rotated = replace(found, release=replace(found.release, authorities=(pem,)))
    plan = reconcile(rotated)
    assert [(one.kind, one.version) for one in plan.publish] == [
        (Kind.BUNDLE, worlds.NOON_MS + 1000)
    ]
    after = worlds.settled(rotated)
    assert worlds.bundle_of(after).authorities == (pem,)
    assert delivered.compile_bundle(worlds.bundle_of(after)).authorities == (pem,)
    assert worlds.is_empty(reconcile(worlds.later(after, timedelta(days=1))))
