import contextlib

import pytest

from e2e.cluster.api_server import ApiServer
from e2e.cluster.node import NodeCluster
from e2e.stories import refunds
from e2e.stories.ground import Line, Story, is_refused
from e2e.stories.refunds import AGENT, Person, is_paid, name_of, state_of, uid_of

_WHY = "the parcel was lost"


@pytest.mark.promise("A12")
def test_jane_approves_and_the_held_call_runs_at_once_and_once(
    shop: Story, order: str, jane: Person, node_cluster: NodeCluster
) -> None:
    """Issue 7: held, approved with the plugin, run once; the audit log names her."""
    with refunds.asked(shop, order) as call:
        request = refunds.await_request(shop, order, "Pending")
        assert refunds.paid(shop, order) == []
        _is_told(shop, request)
        assert name_of(request) in jane.does("requests")
        assert order in jane.does("show", name_of(request))
        jane.does("approve", name_of(request), "--reason", _WHY)
        answer = call.answer()
    assert is_paid(order)(answer), answer
    [paid] = refunds.paid(shop, order)
    # The call that was held, and no repeat: the agent has called once.
    assert answer["took"] > 0
    assert paid["amount"] == 700
    used = refunds.await_request(shop, order, "Used")
    assert used["status"]["outcome"]
    [said] = used["status"]["decisions"]
    assert (said["username"], said["verdict"], said["reason"]) == ("jane", "Approve", _WHY)
    [grant] = refunds.grants(shop, request)
    assert grant["spec"]["reason"] == _WHY
    assert grant["spec"]["grantedBy"]["username"] == "jane"
    assert grant["spec"]["grantedBy"]["groups"] == ["finance"]
    [audited] = _audited(node_cluster.api_server, name_of(grant))
    assert (audited["user"]["username"], audited["responseStatus"]["code"]) == ("jane", 201)
    refunds.await_event(shop, request, "CallHeld")
    assert "`jane`" in refunds.await_event(shop, request, "CallApproved")


@pytest.mark.promise("A12")
def test_bob_may_look_and_is_refused_by_name(shop: Story, order: str, bob: Person) -> None:
    """Issue 7: bob is refused by name."""
    with refunds.asked(shop, order):
        request = refunds.await_request(shop, order, "Pending")
        assert name_of(request) in bob.does("requests")
        done = bob.types("approve", name_of(request), "--reason", _WHY)
        assert done.returncode != 0
        assert "bob" in done.stderr, done
        _is_undecided(shop, request, order)
        assert refunds.grants(shop, request) == []


@pytest.mark.promise("A12")
def test_who_is_in_no_group_that_the_rule_names_is_not_counted(
    shop: Story, order: str, mallory: Person, jane: Person
) -> None:
    """Design 6.4: the verb lets somebody speak, and `groups` says who is heard."""
    with refunds.asked(shop, order) as call:
        request = refunds.await_request(shop, order, "Pending")
        mallory.types("approve", name_of(request), "--reason", _WHY)
        why = refunds.await_refused(shop, request, "mallory", "NotInGroups")
        assert "`mallory`" in why
        assert "`finance`" in why
        _is_undecided(shop, request, order)
        jane.does("approve", name_of(request), "--reason", _WHY)
        assert is_paid(order)(call.answer())
    [said] = refunds.await_request(shop, order, "Used")["status"]["decisions"]
    assert said["username"] == "jane"


def test_a_no_reaches_the_agent_with_its_reason(shop: Story, order: str, jane: Person) -> None:
    """Design 6.3: a denial answers the same call, and who asks again is not asked about."""
    with refunds.asked(shop, order) as call:
        request = refunds.await_request(shop, order, "Pending")
        jane.does("deny", name_of(request), "--reason", "the parcel was found")
        answer = call.answer()
    assert "the parcel was found" in answer["refused"], answer
    assert is_refused("denied-by-person")(answer), answer
    denied = refunds.await_request(shop, order, "Denied")
    assert "the parcel was found" in refunds.answered(shop, order)["refused"]
    assert refunds.requests(shop, order) == [denied]
    assert "`jane`" in refunds.await_event(shop, request, "CallDenied")
    late = jane.types("approve", name_of(request), "--reason", _WHY)
    assert late.returncode != 0
    assert refunds.paid(shop, order) == []


@pytest.mark.promise("A12")
def test_two_people_are_needed_and_one_twice_is_one(
    shop: Story, order: str, jane: Person, joan: Person
) -> None:
    """Issue 7: count 2 by one person twice."""
    with refunds.asked(shop, order, 9000) as call:
        request = refunds.await_request(shop, order, "Pending")
        jane.does("approve", name_of(request), "--reason", _WHY)
        jane.types("approve", name_of(request), "--reason", "and once more")
        refunds.await_refused(shop, request, "jane", "AlreadySaid")
        _is_undecided(shop, request, order)
        joan.does("approve", name_of(request), "--reason", "so be it")
        assert is_paid(order, 9000)(call.answer())
    used = refunds.await_request(shop, order, "Used")
    said = [(one["username"], one["verdict"]) for one in used["status"]["decisions"]]
    assert said == [("jane", "Approve"), ("joan", "Approve")]
    assert len(refunds.paid(shop, order)) == 1


def test_what_nobody_answers_expires_and_a_late_yes_is_refused(
    shop: Story, order: str, jane: Person
) -> None:
    """Promise A6, in a cluster."""
    with refunds.asked(shop, order, tool="create_voucher") as call:
        answer = call.answer()
    assert is_refused("approval-expired")(answer), answer
    request = refunds.await_request(shop, order, "Expired")
    late = jane.types("approve", name_of(request), "--reason", _WHY)
    assert late.returncode != 0
    assert "expired" in late.stderr.lower(), late
    assert state_of(refunds.await_request(shop, order, "Expired")) == "Expired"
    assert refunds.paid(shop, order) == []


def test_when_the_caller_is_gone_nothing_runs_until_it_asks_again(
    shop: Story, order: str, jane: Person
) -> None:
    """Promise A7, in a cluster."""
    with refunds.asked(shop, order) as call:
        request = refunds.await_request(shop, order, "Pending")
        call.kill()
    jane.does("approve", name_of(request), "--reason", _WHY)
    refunds.await_request(shop, order, "Approved")
    assert refunds.paid(shop, order) == []
    assert is_paid(order)(refunds.answered(shop, order))
    assert len(refunds.paid(shop, order)) == 1
    assert name_of(refunds.await_request(shop, order, "Used")) == name_of(request)


def test_who_repeats_joins_and_all_get_the_one_result(
    shop: Story, order: str, jane: Person
) -> None:
    """Promise A4, in a cluster: people are asked once."""
    with contextlib.ExitStack() as calls:
        first = calls.enter_context(refunds.asked(shop, order))
        request = refunds.await_request(shop, order, "Pending")
        others = [calls.enter_context(refunds.asked(shop, order)) for _ in range(2)]
        jane.does("approve", name_of(request), "--reason", _WHY)
        answers = [one.answer() for one in (first, *others)]
    assert all(is_paid(order)(one) for one in answers), answers
    assert len(refunds.paid(shop, order)) == 1
    assert len(refunds.requests(shop, order)) == 1


def test_two_replicas_ask_each_for_themselves(shop: Story, order: str, jane: Person) -> None:
    """Issue 7: two replicas; a yes is for the pod that asked, and for no other."""
    refunds.add_agent(shop, "replica")
    with refunds.asked(shop, order) as call, refunds.asked(shop, order, pod="replica") as other:
        request = refunds.await_request(shop, order, "Pending")
        another = refunds.await_request(shop, order, "Pending", pod="replica")
        assert request["spec"]["digest"] != another["spec"]["digest"]
        jane.does("approve", name_of(request), "--reason", _WHY)
        assert is_paid(order)(call.answer())
        refunds.await_request(shop, order, "Used")
        assert len(refunds.paid(shop, order)) == 1
        assert state_of(refunds.await_request(shop, order, "Pending", pod="replica")) == "Pending"
        assert not other.is_over()
    shop.delete("pod", "replica")


def _is_told(shop: Story, request: Line) -> None:
    """Whoever looks at it with plain kubectl knows what is asked."""
    spec = request["spec"]
    assert spec["tool"] == refunds.REFUND
    assert spec["agent"]["serviceAccount"] == "default"
    assert spec["pod"] == {"name": AGENT, "uid": uid_of(shop.pod(AGENT))}
    [rule] = spec["rules"]
    assert rule["rule"] == f"{shop.namespace}/refunds/big"
    assert (rule["groups"], rule["count"]) == (["finance"], 1)
    assert '"amount":700' in spec["arguments"]
    assert "ownerReferences" not in request["metadata"]


def _is_undecided(shop: Story, request: Line, order: str) -> None:
    assert name_of(refunds.await_request(shop, order, "Pending")) == name_of(request)
    assert refunds.paid(shop, order) == []


def _audited(api_server: ApiServer, grant: str) -> list[Line]:
    """Who asked the API server to make it, whoever that was and whatever came of it."""
    return [
        one
        for one in api_server.audit()
        if one["verb"] == "create"
        and one.get("objectRef", {}).get("resource") == "grants"
        and one["objectRef"].get("name") == grant
    ]
