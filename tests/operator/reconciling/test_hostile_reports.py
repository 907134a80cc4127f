"""Whoever may write to a namespace's Redis may write any number of reports."""

import time

import pytest

from mesh7_core.delivery.reports import SourceReport
from mesh7_operator.reconciling import sidecars
from mesh7_operator.reconciling.compilation import compilation_of
from mesh7_operator.reconciling.reconcile import reconcile
from tests.operator.reconciling import worlds


@pytest.mark.promise("K12")
def test_made_up_sidecars_do_not_hold_up_the_namespaces_statuses() -> None:
    """R1, 5: 10,000 tiny reports, each of another agent, took seconds for each policy."""
    policies = tuple(
        worlds.policy(f"p{at}", selector={"matchLabels": {"x": f"y{at}"}}) for at in range(200)
    )
    sources = tuple(worlds.source(f"s{at}") for at in range(100))
    world = worlds.reported(
        worlds.world(policies=policies, sources=sources),
        *(
            worlds.sidecar(
                f"u{at}",
                agent=f"a{at}",
                labels={"x": f"y{at}"},
                sources=(SourceReport(name=f"s{at % 100}", is_ready=True),),
            )
            for at in range(3_000)
        ),
    )
    compilation = compilation_of(world)
    began_s = time.process_time()
    plan = reconcile(world, compilation)
    assert time.process_time() - began_s < 5.0
    assert len(sidecars.sidecars_of(world).alike) == sidecars.MOST_KINDS
    status = next(one.status for one in plan.statuses if one.name == "s1")
    assert status["reports"] == {"sidecars": 30, "ready": 30}


def test_kinds_that_are_frequent_are_counted_before_made_up_ones() -> None:
    real = [worlds.sidecar(f"real-{at}", agent="support") for at in range(2)]
    made_up = [worlds.sidecar(f"made-{at}", agent=f"a{at}") for at in range(1_500)]
    found = sidecars.sidecars_of(worlds.reported(worlds.world(), *made_up, *real))
    assert found.alike[("support", frozenset(), 0)] == 2
