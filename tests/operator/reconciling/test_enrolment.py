"""Who is served, and what is left of a namespace that no longer is."""

from dataclasses import replace

from mesh7_core import names
from mesh7_operator.reconciling.plan import DeleteConfigMap
from mesh7_operator.reconciling.reconcile import reconcile
from mesh7_operator.reconciling.world import StoreState
from tests.operator.reconciling import worlds


def test_a_namespace_that_leaves_keeps_its_floors_and_nothing_else() -> None:
    """Otherwise what was signed for it once would be good again when it comes back."""
    gone = replace(worlds.settled(worlds.world()), is_enrolled=False)
    plan = reconcile(gone)
    assert isinstance(plan.config_map, DeleteConfigMap)
    assert plan.forget
    assert (plan.publish, plan.bundle_version) == ((), 0)
    assert plan.annotations == {names.TRUST_KEYS_ANNOTATION: None}
    found = worlds.after(gone, plan)
    assert worlds.condition(found, "support", "Ready") == ("False", "NamespaceNotEnrolled")
    assert "bundleVersion" not in worlds.status_of(found, "support")
    assert worlds.is_empty(reconcile(found))


def test_a_namespace_that_comes_back_goes_on_above_its_floors() -> None:
    gone = worlds.settled(replace(worlds.settled(worlds.world()), is_enrolled=False))
    plan = reconcile(replace(gone, is_enrolled=True))
    assert (plan.bundle_version, plan.overlay_version) == (
        worlds.NOON_MS + 1,
        worlds.NOON_MS + 1,
    )


def test_what_is_written_is_judged_before_anybody_is_served() -> None:
    found = worlds.settled(
        worlds.world(is_enrolled=False, policies=(worlds.policy(), worlds.broken_policy()))
    )
    assert worlds.condition(found, "support", "Accepted") == ("True", "Valid")
    assert worlds.condition(found, "broken", "Accepted") == ("False", "Invalid")
    assert worlds.condition(found, "billing", "Ready") == ("False", "NamespaceNotEnrolled")


def test_a_store_that_is_lost_is_told_to_forget_when_it_is_back() -> None:
    gone = replace(worlds.settled(worlds.world()), is_enrolled=False)
    plan = reconcile(replace(gone, store=StoreState.LOST, published=None))
    assert not plan.is_converged
    assert not plan.forget
