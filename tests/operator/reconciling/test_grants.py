"""Which grants are in force, and what their statuses say."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mesh7_operator.reconciling.compilation import compilation_of
from mesh7_operator.reconciling.reconcile import reconcile
from mesh7_operator.reconciling.world import Published, StoreState, World, Written
from tests.operator.reconciling import worlds

HALF_PAST = worlds.NOON + timedelta(minutes=30)
EXACT = {
    "effect": "Allow",
    "subject": {"serviceAccount": "support"},
    "requestRef": {"name": "r-1", "uid": "u-1"},
    "digest": f"sha256:{'0' * 64}",
}


@pytest.mark.promise("K3")
@pytest.mark.parametrize(
    ("grant", "accepted", "phase", "in_force"),
    [
        (worlds.permission(), "True Valid", "Active", True),
        (worlds.permission(by=None), "False NotStamped", "Refused", False),
        (worlds.permission(by=worlds.STRANGER), "False NotStamped", "Refused", False),
        (worlds.permission(maxUses=500), "False BeyondGrantable", "Refused", False),
        (
            worlds.permission(expiresAt="2026-11-22T12:00:00Z"),
            "False BeyondGrantable",
            "Refused",
            False,
        ),
        (
            worlds.permission(policyRef={"namespace": "shop", "name": "none"}),
            "False UnknownPolicy",
            "Refused",
            False,
        ),
        (worlds.permission(when="args.amount <"), "False Invalid", "Refused", False),
        (worlds.permission(expiresAt="2026-11-21T12:00:00Z"), "False Expired", "Expired", False),
        (worlds.veto(), "True Valid", "Active", True),
        (worlds.veto(expiresAt="2026-11-21T11:59:59Z"), "False Expired", "Expired", False),
        (worlds.veto(when="args.amount <"), "False Invalid", "Active", True),
    ],
    ids=[
        "permission", "unstamped", "stamped by a stranger", "too many uses", "too long",
        "unknown policy", "broken", "over", "veto", "veto that is over", "broken veto",
    ],
)  # fmt: skip
def test_a_grant_is_in_force_or_says_why_not(
    grant: Written, accepted: str, phase: str, in_force: bool
) -> None:
    found = worlds.settled(worlds.asking_world(grants=(grant,)))
    assert " ".join(worlds.condition(found, grant.name, "Accepted")) == accepted
    assert worlds.status_of(found, grant.name)["phase"] == phase
    assert worlds.overlay_of(found) == ([grant.name] if in_force else [])


@pytest.mark.parametrize("change", [{}, {"effect": "Deny", "requestRef": None}])
def test_what_answers_one_held_call_is_none_of_the_overlays_business(
    change: dict[str, object],
) -> None:
    """`approving` judges it, so two never write one status."""
    exact = worlds.written("Grant", "exact", {**EXACT, **change})
    found = worlds.settled(worlds.asking_world(grants=(exact,)))
    assert worlds.status_of(found, "exact") == {}
    assert worlds.overlay_of(found) == []


@pytest.mark.promise("K3")
def test_a_permission_that_was_deleted_is_out_of_force_though_a_finalizer_keeps_it() -> None:
    """Attack: whoever may change Grants keeps one that an administrator takes back."""
    before = worlds.settled(worlds.asking_world(grants=(worlds.permission(),)))
    assert worlds.overlay_of(before) == ["inc-4711"]
    ending = replace(before.grants[0], is_ending=True, generation=2)
    deleted = replace(before, grants=(ending,))
    plan = reconcile(deleted, compilation_of(before))
    found = worlds.after(deleted, plan)
    assert worlds.overlay_of(found) == []
    assert worlds.condition(found, "inc-4711", "Accepted") == ("False", "BeingDeleted")
    assert worlds.status_of(found, "inc-4711")["phase"] == "Refused"


@pytest.mark.parametrize(
    "veto", [worlds.veto(), worlds.veto(when="args.amount <")], ids=["right", "broken"]
)
def test_a_veto_that_was_deleted_holds_until_it_is_gone(veto: Written) -> None:
    """Whoever may keep an object may not thereby lift what it stops."""
    ending = replace(veto, is_ending=True)
    found = worlds.settled(worlds.asking_world(grants=(ending,)))
    assert worlds.overlay_of(found) == ["stop"]
    assert worlds.status_of(found, "stop")["phase"] == "Active"


def test_permissions_that_were_deleted_take_no_others_room(many_grants: World) -> None:
    """Attack: they are kept by finalizers until the overlay has no room for any other."""
    ending = (replace(one, is_ending=True) for one in many_grants.grants)
    found = worlds.settled(replace(many_grants, grants=(*ending, worlds.permission())))
    assert worlds.overlay_of(found) == ["inc-4711", "stop"]


def test_a_stamp_is_for_one_grant_alone() -> None:
    """Who may write grants must not reuse what admission signed for another."""
    stamped = worlds.permission()
    spec = stamped.value["spec"]
    assert isinstance(spec, dict)
    moved = worlds.written("Grant", "other", spec)
    wider = worlds.written("Grant", "inc-4711", {**spec, "tools": ["billing.*"]})
    for one in (moved, wider):
        found = worlds.settled(worlds.asking_world(grants=(one,)))
        assert worlds.condition(found, one.name, "Accepted") == ("False", "NotStamped")
        assert worlds.overlay_of(found) == []


def test_without_a_stamp_key_no_permission_is_honoured() -> None:
    keys = replace(worlds.KEYS, stamps=())
    found = worlds.settled(
        worlds.asking_world(keys=keys, grants=(worlds.permission(), worlds.veto()))
    )
    assert worlds.overlay_of(found) == ["stop"]


def test_a_new_stamp_key_is_looked_at_in_a_world_that_was_compiled_before() -> None:
    from_stranger = worlds.permission(by=worlds.STRANGER)
    found = worlds.settled(worlds.asking_world(grants=(from_stranger,)))
    trusted = replace(found, keys=replace(worlds.KEYS, stamps=(worlds.STRANGER.public,)))
    plan = reconcile(trusted, compilation_of(found))
    assert worlds.overlay_of(worlds.after(trusted, plan)) == ["inc-4711"]


def test_a_broken_veto_stops_everything_for_its_subject() -> None:
    broken = worlds.veto(when="args.amount <", tools=["billing.refund"])
    found = worlds.settled(worlds.asking_world(grants=(broken,)))
    spec = worlds.overlay_content(found).documents[0].value["spec"]
    assert isinstance(spec, dict)
    assert (spec["effect"], spec["subject"]) == ("Deny", {"serviceAccount": "support"})
    assert "tools" not in spec
    told = worlds.message(found, "stop", "Accepted")
    assert told.startswith("until it is replaced it stops every call of its subject: spec.when")


def test_a_grant_ends_by_the_clock_and_the_plan_says_when_to_look() -> None:
    found = worlds.settled(worlds.asking_world(grants=(worlds.permission(), worlds.veto())))
    assert reconcile(found).look_again_at == HALF_PAST
    over = replace(found, now=HALF_PAST)
    plan = reconcile(over)
    assert plan.look_again_at is None
    ended = worlds.after(over, plan)
    assert worlds.overlay_of(ended) == ["stop"]
    assert worlds.status_of(ended, "inc-4711")["phase"] == "Expired"


def test_uses_are_what_the_store_says_of_them() -> None:
    found = _used(9)
    assert worlds.status_of(found, "inc-4711")["uses"] == 9
    assert worlds.status_of(found, "inc-4711")["phase"] == "Active"
    assert worlds.status_of(_used(10), "inc-4711")["phase"] == "Exhausted"
    assert worlds.status_of(_used(-5), "inc-4711")["uses"] == 0
    assert worlds.status_of(_used(2**63), "inc-4711")["uses"] == 1_000_000_000


def test_uses_stand_while_the_store_is_lost() -> None:
    lost = worlds.settled(replace(_used(9), store=StoreState.LOST, published=None))
    assert worlds.status_of(lost, "inc-4711")["uses"] == 9


def test_uses_that_nobody_counted_are_not_shown() -> None:
    world = worlds.asking_world(grants=(worlds.veto(),), store=StoreState.NONE, published=None)
    assert "uses" not in worlds.status_of(worlds.settled(world), "stop")


def test_a_grant_is_judged_before_its_namespace_is_enrolled() -> None:
    world = worlds.asking_world(is_enrolled=False, grants=(worlds.permission(), worlds.veto()))
    found = worlds.settled(world)
    for name in ("inc-4711", "stop"):
        assert worlds.condition(found, name, "Accepted") == ("True", "Valid")
        assert worlds.status_of(found, name)["phase"] == "Pending"


def test_a_grant_in_the_release_namespace_stands_nowhere() -> None:
    grant = replace(worlds.veto(), namespace=worlds.RELEASE)
    world = worlds.world(namespace=worlds.RELEASE, policies=(), sources=(), grants=(grant,))
    found = worlds.settled(world)
    assert worlds.condition(found, "stop", "Accepted") == ("False", "NotServedHere")
    assert worlds.status_of(found, "stop")["phase"] == "Refused"


def test_a_permission_hangs_on_its_policy() -> None:
    """Of a policy that does not compile nothing can be relaxed."""
    world = worlds.asking_world(grants=(worlds.permission(),))
    found = worlds.settled(replace(world, policies=(worlds.broken_policy("support"),)))
    assert worlds.overlay_of(found) == []
    assert worlds.condition(found, "inc-4711", "Accepted") == ("False", "UnknownPolicy")


def _used(times: int) -> World:
    world = worlds.asking_world(grants=(worlds.permission(),))
    return worlds.settled(replace(world, published=Published(uses={"shop/inc-4711": times})))


def test_permissions_give_way_when_there_are_too_many_and_vetoes_stay(
    many_grants: World,
) -> None:
    found = worlds.settled(many_grants)
    assert worlds.overlay_of(found) == ["stop"]
    assert worlds.condition(found, "g0", "Accepted") == ("False", "OverlayTooLarge")
    assert worlds.status_of(found, "g0")["phase"] == "Refused"
    assert worlds.status_of(found, "stop")["phase"] == "Active"


def test_too_many_vetoes_become_one_of_everything() -> None:
    vetoes = tuple(worlds.veto(f"v{at}", reason=_noise(at, 900)) for at in range(600))
    found = worlds.settled(worlds.asking_world(grants=vetoes))
    assert worlds.overlay_of(found) == ["overlay-too-large"]
    assert worlds.status_of(found, "v0")["phase"] == "Active"


@pytest.fixture(name="many_grants")
def make_many_grants() -> World:
    """Permissions that no ConfigMap would hold beside a bundle."""
    grants = (worlds.permission(f"g{at}", reason=_noise(at, 900)) for at in range(600))
    return worlds.asking_world(grants=(*grants, worlds.veto()))


def _noise(seed: int, length: int) -> str:
    """Text that does not pack well."""
    text = ""
    while len(text) < length:
        text += worlds.sha1(f"{seed} {len(text)}".encode())
    return text[:length]
