"""Held calls on a real API server: a real controller, the real injector's stamps, a real Redis."""

import signal
from collections.abc import Iterator

import pytest

from e2e.api import approvals, held_calls
from e2e.api.controllers import Controller
from e2e.api.held_calls import Scene
from e2e.api.test_rights import refused
from e2e.cluster.fixtures import need
from mesh7_core.ledger import approvals as table
from mesh7_core.ledger.asked import Request, State, Verdict, Vote
from tests.operator.store.parts import is_refused
from tests.peers.redis_servers import Link


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A court and a Redis, for this module alone."""
    need("api")
    with held_calls.staged(tmp_path_factory.mktemp("held")) as scene:
        yield scene


@pytest.fixture
def controller(scene: Scene) -> Iterator[Controller]:
    with scene.controlling("controller") as controller:
        controller.await_line("everything is listed", held_calls.PATIENCE_S)
        yield controller


@pytest.mark.promise("A12")
def test_a_held_call_is_shown_and_a_yes_of_the_right_person_reaches_its_sidecar(
    scene: Scene, controller: Controller
) -> None:
    """Design 6.4 and 6.5, and nothing that the chart's rights do not give."""
    shop = scene.shop(controller)
    asked = shop.opens()
    mirror = shop.until_mirrored(asked)
    assert mirror["spec"]["tool"] == "wire.send"
    assert mirror["spec"]["digest"] == asked.digest
    assert mirror["spec"]["pod"] == {"name": "support-0", "uid": asked.uid}
    assert [one["rule"] for one in mirror["spec"]["rules"]] == [f"{shop.name}/payments/big"]
    grant = shop.answer(shop.person("jane", "finance"), mirror)
    found = shop.until_state(asked, State.APPROVED)
    decided = shop.decision(asked)
    assert decided is not None
    assert (decided.digest, decided.uid, decided.is_approved) == (asked.digest, asked.uid, True)
    assert (decided.by, decided.until_ms) == (("jane",), table.ends_at(found))
    shop.until_heard(grant, "Active")
    (said,) = shop.until_mirrored(asked, "Approved")["status"]["decisions"]
    assert (said["username"], said["verdict"]) == ("jane", "Approve")
    # Refused is one that was done already, and whose answer was lost.
    shop.answered(lambda ledger: ledger.claim(asked.id, asked.digest, ()))
    shop.until_state(asked, State.USED)
    shop.answered(lambda ledger: ledger.finish(asked.id, "succeeded"))
    shop.until_mirrored(asked, "Used")
    assert refused(scene.court.server) == []


def test_a_no_ends_it_and_a_later_yes_is_told_so(scene: Scene, controller: Controller) -> None:
    """Issue 7: two approvers racing approve and deny."""
    shop = scene.shop(controller)
    asked = shop.opens()
    mirror = shop.until_mirrored(asked)
    shop.answer(shop.person("jane", "finance"), mirror, "Deny")
    shop.until_state(asked, State.DENIED)
    decided = shop.decision(asked)
    assert decided is not None
    assert not decided.is_approved
    late = shop.answer(shop.person("joe", "finance"), mirror)
    assert "jane" in shop.until_heard(late, "Refused")
    shop.until_mirrored(asked, "Denied")


def test_two_are_two_people(scene: Scene, controller: Controller) -> None:
    """Issue 7: count 2 by one person twice."""
    shop = scene.shop(controller)
    asked = shop.opens("all", "wire.all")
    mirror = shop.until_mirrored(asked)
    jane = shop.person("jane", "finance")
    first = shop.answer(jane, mirror)
    shop.until_heard(first, "Active")
    again = shop.answer(jane, mirror)
    # Of two that were made in the same second either may be the one that counts.
    shop.until_heard(again, "Active", "Refused")
    assert shop.decision(asked) is None
    assert shop.mirror(asked)["status"]["state"] == "Pending"
    shop.answer(shop.person("joe", "finance"), mirror)
    shop.until_state(asked, State.APPROVED)
    decided = shop.decision(asked)
    assert decided is not None
    assert set(decided.by) == {"jane", "joe"}


def test_a_yes_that_was_taken_back_does_not_count_though_a_finalizer_keeps_it(
    scene: Scene, controller: Controller
) -> None:
    """Attack: whoever may change Grants keeps one that was deleted, until the second yes comes."""
    shop = scene.shop(controller)
    asked = shop.opens("all", "wire.all")
    mirror = shop.until_mirrored(asked)
    jane = shop.person("jane", "finance")
    first = shop.answer(jane, mirror)
    shop.until_heard(first, "Active")
    approvals.keep(scene.court, shop.name, first)
    ada = scene.court.person("ada", "mesh7-admin", namespace=shop.name)
    ada("delete", "grant", first, "-n", shop.name, "--wait=false")
    assert "somebody deleted it" in shop.until_heard(first, "Refused")
    joes = shop.answer(shop.person("joe", "finance"), mirror)
    shop.until_heard(joes, "Active")
    assert shop.decision(asked) is None
    assert shop.mirror(asked)["status"]["state"] == "Pending"
    shop.answer(jane, mirror)
    shop.until_state(asked, State.APPROVED)
    decided = shop.decision(asked)
    assert decided is not None
    assert set(decided.by) == {"jane", "joe"}


def test_whom_the_rule_does_not_name_is_told_so(scene: Scene, controller: Controller) -> None:
    """Issue 7: bob is refused by name."""
    shop = scene.shop(controller)
    asked = shop.opens()
    grant = shop.answer(shop.person("bob", "sales"), shop.until_mirrored(asked))
    assert "finance" in shop.until_heard(grant, "Refused")
    assert shop.decision(asked) is None


@pytest.mark.promise("A12")
def test_what_is_forged_in_redis_is_put_right(scene: Scene, controller: Controller) -> None:
    """Issue 7: a Redis writer forging a decision."""
    shop = scene.shop(controller)
    asked = shop.opens()
    shop.until_mirrored(asked)
    mallory = Vote(person="x", name="x", groups=("finance",), verdict=Verdict.APPROVE)
    forged = shop.answered(lambda ledger: ledger.vote(asked.id, mallory))
    # Refused is one that counted already, and whose answer was lost.
    if isinstance(forged, Request):
        assert forged.state is State.APPROVED
    else:
        assert "was approved by `x`" in str(forged)
    assert shop.until_state(asked, State.PENDING).votes == ()
    who = shop.server()
    with Link(scene.redis.port) as link:
        assert link.ask("AUTH", who.user, who.password) == b"OK"
        key = f"m7b:{{{shop.name}}}:v:{asked.id}"
        assert is_refused(link.ask("SET", key, "forged"))
    name = f'mesh7_forged_requests_total{{namespace="{shop.name}"}}'
    controller.until(lambda: controller.metrics().get(name, 0) >= 1, "it is counted")
    assert shop.mirror(asked)["status"]["state"] == "Pending"


@pytest.mark.promise("A12")
def test_a_leader_that_dies_between_the_grant_and_the_decision_is_succeeded(scene: Scene) -> None:
    """Issue 7: operator fail-over while waiting: still once."""
    with scene.controlling("first") as first:
        first.await_line("everything is listed", held_calls.PATIENCE_S)
        shop = scene.shop(first)
        asked = shop.opens()
        mirror = shop.until_mirrored(asked)
        held_calls.stopped(first)
        grant = shop.answer(shop.person("jane", "finance"), mirror)
        assert shop.decision(asked) is None
        first.end(signal.SIGKILL)
    with scene.controlling("second"):
        found = shop.until_state(asked, State.APPROVED)
        shop.until_heard(grant, "Active")
        shop.until_mirrored(asked, "Approved")
        assert (found.version, [one.name for one in found.votes]) == (2, ["jane"])
        assert shop.decision(asked) is not None


def test_a_redis_that_forgot_closes_what_it_forgot_and_goes_on(
    scene: Scene, controller: Controller
) -> None:
    """Issue 7: Redis restarted while a call waits: not at all, and the status tells it."""
    shop = scene.shop(controller)
    asked = shop.opens()
    mirror = shop.until_mirrored(asked)
    scene.redis.kill()
    grant = shop.answer(shop.person("jane", "finance"), mirror)
    scene.redis.start()
    shop.until_mirrored(asked, "Withdrawn")
    shop.until_heard(grant, "Refused")
    controller.until(shop.has_user, "its users are there", held_calls.PATIENCE_S)
    anew = shop.opens()
    shop.answer(shop.person("jane", "finance"), shop.until_mirrored(anew))
    shop.until_state(anew, State.APPROVED)


def test_a_pod_that_is_deleted_takes_its_request_with_it(
    scene: Scene, controller: Controller
) -> None:
    """Design 6.5: a pod that is gone takes its approvals with it."""
    shop = scene.shop(controller)
    asked = shop.opens()
    mirror = shop.until_mirrored(asked)
    shop.kubectl("delete", "pod", "support-0", "-n", shop.name, "--grace-period=0", "--force")
    grant = shop.answer(shop.person("jane", "finance"), mirror)
    shop.until_mirrored(asked, "Withdrawn")
    shop.until_state(asked, State.WITHDRAWN)
    shop.until_heard(grant, "Refused")
    assert shop.decision(asked) is None
