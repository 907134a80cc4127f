import contextlib
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from e2e.stories import inside, refunds
from e2e.stories.ground import Line, Story
from e2e.stories.refunds import AGENT, Person, is_paid, name_of, state_of, uid_of
from e2e.stories.releases import Release
from mesh7_core import names

_WHY = "the parcel was lost"


@pytest.mark.promise("A2")
def test_a_sidecar_is_killed_while_its_call_waits(shop: Story, order: str, jane: Person) -> None:
    """Issue 7: what was asked outlives the sidecar that asked, and is still used once."""
    pod = refunds.add_agent(shop, "restarted")
    with refunds.asked(shop, order, pod=pod) as call:
        request = refunds.await_request(shop, order, "Pending", pod=pod)
        inside.send(uid_of(shop.pod(pod)), "mesh7_sidecar", signal.SIGKILL)
        assert not is_paid(order)(call.answer())
    jane.does("approve", name_of(request), "--reason", _WHY)
    _until_paid(shop, order, pod)
    assert len(refunds.paid(shop, order)) == 1
    assert name_of(refunds.await_request(shop, order, "Used", pod=pod)) == name_of(request)
    assert len(refunds.requests(shop, order)) == 1
    [sidecar] = shop.pod(pod)["status"]["initContainerStatuses"]
    assert sidecar["restartCount"] == 1
    shop.delete("pod", pod)


@pytest.mark.promise("K8")
def test_a_leader_dies_between_a_grant_and_its_decision(
    shop: Story, release: Release, order: str, jane: Person
) -> None:
    """Issue 7: operator fail-over; the other replica finds the Grant and decides."""
    with refunds.asked(shop, order) as call, ThreadPoolExecutor(1) as aside:
        request = refunds.await_request(shop, order, "Pending")
        with _frozen(release):
            typed = aside.submit(jane.types, "approve", name_of(request), "--reason", _WHY)
            shop.until(lambda: bool(refunds.grants(shop, request)), "she has said so")
            # Nothing is said of what is there meanwhile: the other one may lead already.
        first = call.answer()
        typed.result()
    # A call that was not held long enough is answered when the agent asks again.
    if not is_paid(order)(first):
        _until_paid(shop, order)
    assert len(refunds.paid(shop, order)) == 1
    [said] = refunds.await_request(shop, order, "Used")["status"]["decisions"]
    assert said["username"] == "jane"
    release.await_program("controller")


@pytest.mark.promise("A2")
def test_a_redis_that_forgets_runs_nothing_and_people_are_asked_anew(
    shop: Story, release: Release, order: str, jane: Person
) -> None:
    """Issue 7: Redis killed and back while a call waits; it keeps nothing."""
    pod = refunds.add_agent(shop, "forgotten", hold="10s")
    with refunds.asked(shop, order, pod=pod) as call:
        request = refunds.await_request(shop, order, "Pending", pod=pod)
        [redis] = release.pods("redis")
        inside.send(uid_of(_of_release(release, redis)), "redis-server", signal.SIGKILL)
        assert not is_paid(order)(call.answer())
    shop.until(
        lambda: state_of(_again(shop, order, request)) == "Withdrawn", "the old one is closed"
    )
    late = jane.types("approve", name_of(request), "--reason", _WHY)
    assert late.returncode != 0, late
    fresh = _asked_anew(shop, order, pod, request)
    assert refunds.paid(shop, order) == []
    jane.does("approve", name_of(fresh), "--reason", _WHY)
    _until_paid(shop, order, pod)
    assert len(refunds.paid(shop, order)) == 1
    assert name_of(refunds.await_request(shop, order, "Used", pod=pod)) == name_of(fresh)
    assert state_of(_again(shop, order, request)) == "Withdrawn"
    shop.delete("pod", pod)
    # Others' tests go on with the agent that all share.
    shop.until(lambda: not refunds.troubles(shop, AGENT), "its sidecar has its store again")


@pytest.mark.promise("A12")
def test_a_pod_that_is_gone_takes_its_request_with_it(
    shop: Story, order: str, jane: Person
) -> None:
    """Issue 7: a request of a deleted pod; one that is made anew under its name is another."""
    pod = refunds.add_agent(shop, "leaving")
    with refunds.asked(shop, order, pod=pod):
        request = refunds.await_request(shop, order, "Pending", pod=pod)
        shop.delete("pod", pod)
    refunds.await_request(shop, order, "Withdrawn", pod=pod)
    late = jane.types("approve", name_of(request), "--reason", _WHY)
    assert late.returncode != 0, late
    refunds.add_agent(shop, pod)
    with refunds.asked(shop, order, pod=pod):
        another = refunds.await_request(shop, order, "Pending", pod=pod)
        assert name_of(another) != name_of(request)
        assert another["spec"]["digest"] != request["spec"]["digest"]
        assert refunds.paid(shop, order) == []
    shop.delete("pod", pod)


@contextlib.contextmanager
def _frozen(release: Release) -> Iterator[None]:
    """The controller that leads does nothing while the block runs, and dies after it."""
    where = ("lease", "mesh7-controller", "-n", names.RELEASE_NAMESPACE)
    holder = str(release.cluster.kubectl.json("get", *where)["spec"]["holderIdentity"])
    uid = uid_of(_of_release(release, holder.rpartition("-")[0]))
    [process] = inside.processes(uid, "mesh7-operator")
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        # Its kubelet does not bear it for ever, either.
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def _until_paid(shop: Story, order: str, pod: str = AGENT) -> None:
    """The agent repeats its call until it gets what was approved."""
    shop.until(lambda: is_paid(order)(refunds.answered(shop, order, pod=pod)), "a repeat gets it")


def _asked_anew(shop: Story, order: str, pod: str, before: Line) -> Line:
    """The next request for an order, which the agent repeats until people are asked."""
    found: list[Line] = []

    def look() -> bool:
        refunds.answered(shop, order, pod=pod)
        others = [one for one in refunds.requests(shop, order) if name_of(one) != name_of(before)]
        found[:] = [one for one in others if state_of(one) == "Pending"]
        return bool(found)

    shop.until(look, "people are asked anew", 100)
    return found[-1]


def _again(shop: Story, order: str, request: Line) -> Line:
    """The request as it is now."""
    [found] = [one for one in refunds.requests(shop, order) if name_of(one) == name_of(request)]
    return found


def _of_release(release: Release, pod: str) -> Line:
    return release.cluster.kubectl.json("get", "pod", pod, "-n", names.RELEASE_NAMESPACE)
