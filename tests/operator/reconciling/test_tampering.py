"""Somebody writes where only we should: a namespace's editor, or whoever reaches Redis."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mesh7_core import names
from mesh7_core.delivery import envelopes, keys
from mesh7_core.delivery.envelopes import Kind
from mesh7_operator.reconciling import bundling, config_map
from mesh7_operator.reconciling.plan import ApplyConfigMap
from mesh7_operator.reconciling.reconcile import reconcile
from mesh7_operator.reconciling.world import Delivered, Published, World
from tests.operator.reconciling import worlds

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def _settled() -> World:
    """One whose policy was edited once, a minute ago."""
    first = worlds.settled(worlds.world(policies=(worlds.policy(mode="Audit"),)))
    edited = worlds.later(replace(first, policies=(worlds.policy(),)), timedelta(minutes=1))
    return worlds.later(worlds.settled(edited), timedelta(minutes=1))


SETTLED = _settled()
VERSION = worlds.NOON_MS + 60_000
assert SETTLED.delivered is not None
OURS = SETTLED.delivered


@pytest.mark.promise("K9")
@pytest.mark.parametrize(
    "delivered",
    [
        None,
        Delivered(bundle=None, overlay=OURS.overlay),
        Delivered(bundle=b"garbage", overlay=OURS.overlay),
        Delivered(bundle=OURS.overlay, overlay=OURS.overlay),
        Delivered(bundle=(OURS.bundle or b"")[:-1], overlay=OURS.overlay),
    ],
    ids=["deleted", "key removed", "garbage", "the overlay in its place", "cut"],
)
def test_a_tampered_config_map_is_repaired_by_something_newer(delivered: Delivered | None) -> None:
    """What stood there is not remembered elsewhere, so it is sealed anew, above every floor."""
    plan = reconcile(replace(SETTLED, delivered=delivered))
    assert isinstance(plan.config_map, ApplyConfigMap)
    assert plan.bundle_version == VERSION + 60_000
    assert [one.kind for one in plan.publish][-1] is Kind.BUNDLE


@pytest.mark.promise("K9")
def test_a_validly_signed_older_bundle_is_replaced_by_a_newer_one() -> None:
    first = worlds.settled(worlds.world(policies=(worlds.policy(mode="Audit"),)))
    assert first.delivered is not None
    plan = reconcile(replace(SETTLED, delivered=replace(OURS, bundle=first.delivered.bundle)))
    assert plan.bundle_version == VERSION + 60_000


@pytest.mark.promise("K9")
def test_an_older_bundle_that_says_what_is_wanted_again_is_not_taken_for_the_newest() -> None:
    """A was replaced by B and B by A: the first A is older than sidecars accept."""
    first = worlds.settled(worlds.world())
    second = worlds.settled(
        worlds.later(replace(first, policies=(worlds.policy(mode="Audit"),)), timedelta(minutes=1))
    )
    third = worlds.settled(
        worlds.later(replace(second, policies=(worlds.policy(),)), timedelta(minutes=1))
    )
    plan = reconcile(replace(third, delivered=first.delivered))
    assert plan.bundle_version == worlds.NOON_MS + 120_001


@pytest.mark.promise("K9")
def test_what_a_stranger_signed_counts_for_nothing() -> None:
    payload = worlds.opened(SETTLED, Kind.BUNDLE).payload
    forged = envelopes.seal(
        Kind.BUNDLE, worlds.SHOP, VERSION + 10 * DAY_MS, payload, worlds.STRANGER, ()
    )
    plan = reconcile(replace(SETTLED, delivered=replace(OURS, bundle=forged)))
    assert plan.bundle_version == VERSION + 60_000


def test_a_bundle_of_another_namespace_counts_for_nothing() -> None:
    payload = worlds.opened(SETTLED, Kind.BUNDLE).payload
    foreign = envelopes.seal(
        Kind.BUNDLE, "other", VERSION + 10 * DAY_MS, payload, worlds.SIGNER, ()
    )
    plan = reconcile(replace(SETTLED, delivered=replace(OURS, bundle=foreign)))
    assert plan.bundle_version == VERSION + 60_000


@pytest.mark.parametrize(
    ("annotations", "version"),
    [
        ({}, VERSION),
        ({names.BUNDLE_FLOOR_ANNOTATION: "garbage"}, VERSION),
        ({names.BUNDLE_FLOOR_ANNOTATION: "-5"}, VERSION),
        ({names.BUNDLE_FLOOR_ANNOTATION: "007"}, VERSION),
        ({names.BUNDLE_FLOOR_ANNOTATION: "9" * 30}, VERSION),
        ({names.BUNDLE_FLOOR_ANNOTATION: "٣"}, VERSION),
        ({names.BUNDLE_FLOOR_ANNOTATION: "1"}, VERSION),
        ({names.BUNDLE_FLOOR_ANNOTATION: str(VERSION + 9 * DAY_MS)}, VERSION + 9 * DAY_MS + 1),
    ],
    ids=["none", "a word", "negative", "zeros", "huge", "other digits", "low", "far ahead"],
)
def test_a_floor_that_was_tampered_with_is_raised_to_what_is_in_force(
    annotations: dict[str, str], version: int
) -> None:
    """New pods take nothing older than their floor: where one can be read, we go above it."""
    others = (names.OVERLAY_FLOOR_ANNOTATION, names.TRUST_KEYS_ANNOTATION)
    kept = {key: SETTLED.annotations[key] for key in others}
    plan = reconcile(replace(SETTLED, annotations={**kept, **annotations}))
    assert plan.bundle_version == version
    assert plan.annotations == {names.BUNDLE_FLOOR_ANNOTATION: str(version)}


@pytest.mark.promise("K9")
@pytest.mark.parametrize(
    ("stored", "sha1", "version", "force"),
    [
        (0, "", VERSION, False),
        (VERSION - 1, "", VERSION, False),
        (VERSION, "0" * 40, VERSION, True),
        (VERSION + 10_000, "", VERSION + 60_000, False),
        (VERSION + HOUR_MS, "", VERSION + HOUR_MS + 1, False),
        (VERSION + 2 * HOUR_MS, "", VERSION, True),
        (10**15 - 1, "", VERSION, True),
        (2**62, "", VERSION, True),
    ],
    ids=[
        "emptied", "older", "same number, other bytes", "a little ahead", "an hour ahead",
        "hours ahead", "huge", "absurd",
    ],
)  # fmt: skip
def test_what_redis_claims_is_outdone_or_overwritten(
    stored: int, sha1: str, version: int, force: bool
) -> None:
    """A plausible version may have been accepted by sidecars; an absurd one by nobody."""
    published = SETTLED.published
    assert published is not None
    plan = reconcile(
        replace(SETTLED, published=replace(published, bundle=stored, bundle_sha1=sha1))
    )
    assert [(one.kind, one.version, one.force) for one in plan.publish] == [
        (Kind.BUNDLE, version, force)
    ]


def test_a_crash_between_redis_and_config_map_is_no_way_back() -> None:
    """Sidecars have taken what was published; undoing the edit must outdo it."""
    edited = replace(SETTLED, policies=(worlds.policy(mode="Audit"),))
    crashed = replace(SETTLED, published=worlds.after(edited, reconcile(edited)).published)
    plan = reconcile(crashed)
    assert plan.bundle_version == VERSION + 60_001
    assert [one.force for one in plan.publish] == [False]


def test_a_crash_between_config_map_and_floor_is_no_way_back() -> None:
    """The signature on what is there remembers its version where nothing else does."""
    crashed = replace(SETTLED, annotations={}, published=Published(), now=worlds.NOON)
    plan = reconcile(replace(crashed, policies=(worlds.policy(mode="Audit"),)))
    assert plan.bundle_version == VERSION + 1


@pytest.mark.parametrize(
    ("change", "is_stuck"),
    [
        ({"immutable": True}, True),
        ({"data": {"notes": "mine"}}, True),
        ({"binaryData": {"junk": "eHl6"}}, True),
        ({"labels": {}}, False),
        ({"annotations": {names.BUNDLE_VERSION_ANNOTATION: "12"}}, False),
    ],
    ids=["immutable", "text beside it", "bytes beside it", "labels gone", "other version shown"],
)
def test_what_stands_beside_the_contents_is_put_right(
    change: dict[str, object], is_stuck: bool
) -> None:
    """An apply leaves others' keys in place, and an immutable one as it is: those are replaced."""
    plan = reconcile(_settled_anew())
    assert isinstance(plan.config_map, ApplyConfigMap)
    found = config_map.delivered_of(_tampered(dict(plan.config_map.manifest), change))
    again = reconcile(replace(SETTLED, delivered=found))
    assert isinstance(again.config_map, ApplyConfigMap)
    assert again.config_map.replace is is_stuck
    assert again.bundle_version == VERSION
    assert worlds.is_empty(reconcile(worlds.after(SETTLED, again)))


def test_labels_and_annotations_of_others_disturb_nobody() -> None:
    plan = reconcile(_settled_anew())
    assert isinstance(plan.config_map, ApplyConfigMap)
    more: dict[str, object] = {"labels": {**config_map.LABELS, "team": "a"}}
    found = config_map.delivered_of(_tampered(dict(plan.config_map.manifest), more))
    assert reconcile(replace(SETTLED, delivered=found)).config_map is None


@pytest.mark.parametrize(
    "found",
    [{}, {"binaryData": 5}, {"binaryData": {"bundle": "not base64!"}, "metadata": []}],
)
def test_any_config_map_can_be_read(found: dict[str, object]) -> None:
    delivered = config_map.delivered_of(found)
    assert (delivered.bundle, delivered.overlay, delivered.is_as_ours) == (None, None, False)


def test_a_report_under_another_pods_uid_is_nobodys() -> None:
    """Each sidecar writes its own; one that is there twice would count twice."""
    honest = worlds.sidecar("pod-1", bundle=VERSION)
    forged = {"pod-1": honest, "pod-2": honest, "pod-3": replace(honest, uid="pod-1")}
    published = replace(SETTLED.published or Published(), reports=forged)
    found = worlds.settled(replace(SETTLED, published=published))
    assert worlds.status_of(found, "support")["pods"] == {"matched": 1, "current": 1}


def test_a_sidecar_that_claims_a_bundle_of_tomorrow_is_not_current() -> None:
    found = worlds.settled(
        worlds.reported(SETTLED, worlds.sidecar("pod-1", bundle=VERSION + DAY_MS))
    )
    assert worlds.status_of(found, "support")["pods"] == {"matched": 1, "current": 0}


def _settled_anew() -> World:
    return replace(SETTLED, delivered=replace(OURS, is_as_ours=False))


def _tampered(manifest: dict[str, object], change: dict[str, object]) -> dict[str, object]:
    metadata, binary = manifest["metadata"], manifest["binaryData"]
    assert isinstance(metadata, dict)
    assert isinstance(binary, dict)
    more = change.get("binaryData", {})
    assert isinstance(more, dict)
    inner = {key: one for key, one in change.items() if key in ("labels", "annotations")}
    outer = {key: one for key, one in change.items() if key in ("immutable", "data")}
    return {
        **manifest,
        **outer,
        "metadata": {**metadata, **inner},
        "binaryData": {**binary, **more},
    }


@pytest.mark.promise("K9")
def test_what_a_leader_with_a_fast_clock_signed_is_not_taken_for_forged() -> None:
    """R1, 11: it reached Redis alone, and sidecars obey it; what is older they refuse."""
    ahead = reconcile(worlds.later(worlds.world(), timedelta(hours=5)))
    contents = {one.kind: one for one in ahead.publish}
    bundle, overlay = contents[Kind.BUNDLE], contents[Kind.OVERLAY]
    found = Published(bundle=bundle.version, overlay=overlay.version)
    world = worlds.world(published=found)
    assert set(bundling.doubted(world)) == {Kind.BUNDLE, Kind.OVERLAY}
    vouched = {kind: one.content for kind, one in contents.items()}
    plan = reconcile(replace(world, published=replace(found, doubted=vouched)))
    assert [one.version for one in plan.publish] == [overlay.version + 1, bundle.version + 1]
    assert not any(one.force for one in plan.publish)


@pytest.mark.promise("K9")
@pytest.mark.parametrize("signer", [worlds.STRANGER, None], ids=["a stranger's", "no envelope"])
def test_nobody_elses_envelope_vouches_for_a_version(signer: keys.SigningKey | None) -> None:
    version = worlds.NOON_MS + 10 * DAY_MS
    payload = worlds.opened(SETTLED, Kind.BUNDLE).payload
    forged = (
        b"m7" if signer is None
        else envelopes.seal(Kind.BUNDLE, worlds.SHOP, version, payload, signer, ())
    )  # fmt: skip
    assert SETTLED.published is not None
    published = replace(SETTLED.published, bundle=version, doubted={Kind.BUNDLE: forged})
    plan = reconcile(replace(SETTLED, published=published))
    assert [(one.kind, one.force) for one in plan.publish] == [(Kind.BUNDLE, True)]
    assert plan.bundle_version < version


@pytest.mark.promise("K9")
@pytest.mark.parametrize("older", [True, False], ids=["put back", "deleted"])
def test_an_older_config_map_is_replaced_by_what_was_written_last(older: bool) -> None:
    """R1, 13: putting one back again and again made new versions of the same content."""
    first = worlds.settled(worlds.world(policies=(worlds.policy(mode="Audit"),)))
    there = first.delivered if older else None
    plan = reconcile(replace(SETTLED, delivered=there, sealed=SETTLED.delivered))
    assert (plan.publish, plan.annotations, plan.bundle_version) == ((), {}, VERSION)
    assert isinstance(plan.config_map, ApplyConfigMap)
    assert worlds.in_base64(plan.config_map.manifest, "bundle") == OURS.bundle


@pytest.mark.promise("K9")
def test_who_writes_to_redis_moves_versions_by_an_hour_and_no_further() -> None:
    """R2, 15: each belief raised the floor, and each floor what was believed, by an hour each."""
    found = SETTLED
    for claimed in range(200):
        assert found.published is not None
        ahead = worlds.NOON_MS + HOUR_MS + claimed * HOUR_MS
        claim = replace(found.published, bundle=ahead, bundle_sha1="0" * 40)
        found = worlds.settled(replace(found, published=claim))
    assert found.published is not None
    assert found.published.bundle <= worlds.NOON_MS + HOUR_MS + 1
    for _ in range(200):
        assert found.published is not None
        claim = replace(found.published, bundle=found.published.bundle + 1, bundle_sha1="0" * 40)
        found = worlds.settled(replace(found, published=claim))
    assert found.published is not None
    assert found.published.bundle <= worlds.NOON_MS + HOUR_MS + 500
