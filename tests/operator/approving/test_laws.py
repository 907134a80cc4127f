"""What holds however requests, Grants, time and faults come between each other."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_core.ledger.asked import State
from mesh7_operator.approving.plan import plan
from mesh7_operator.approving.steps import Steps
from tests.operator.approving import worlds
from tests.operator.approving.worlds import NOON_MS, POD, SIGNER, STAMPER, STRANGER, UID, World

Deed = Callable[[World], World]

KINDS = {
    1: ("billing.refund", (worlds.FINANCE,)),
    2: ("billing.wire", ("shop/refunds/huge",)),
    3: ("billing.pay", (worlds.BASELINE, worlds.FINANCE)),
}
CLOSED = ("Denied", "Expired", "Withdrawn", "Used", "Lapsed")


def identity(number: int) -> str:
    return f"r-{number:026d}"


def opening(number: int) -> Deed:
    tool, rules = KINDS[number]

    def deed(found: World) -> World:
        if identity(number) in found.requests:
            return found
        at_ms = found.store_ms
        return worlds.with_request(
            found, worlds.request(number, tool=tool, rules=rules, opened_at_ms=at_ms)
        )

    return deed


def granting(number: int, by: str, effect: str, namespace: str, *, is_real: bool) -> Deed:
    def deed(found: World) -> World:
        if identity(number) not in {one.name for one in found.mirrors}:
            return found
        name = f"{number}-{len(found.grants)}-{by}-{effect.lower()}-{found.now:%d%H%M%S}"
        made = worlds.grant(
            found,
            name,
            to=identity(number),
            by=by,
            effect=effect,
            policyRef={"namespace": namespace, "name": "refunds"},
            stamper=STAMPER if is_real else STRANGER,
        )
        return worlds.granted(found, made)

    return deed


def forging(number: int, told: State) -> Deed:
    def deed(found: World) -> World:
        one = found.requests.get(identity(number))
        if one is None or one.state is State.USED:
            return found
        return worlds.with_request(found, worlds.forged(one, told, max(found.store_ms, NOON_MS)))

    return deed


def using(number: int) -> Deed:
    """As a sidecar does: the ledger says approved, and so does a decision of ours."""

    def deed(found: World) -> World:
        one, signed = found.requests.get(identity(number)), worlds.decision(found, identity(number))
        if one is None or signed is None or not signed.is_approved:
            return found
        is_usable = found.store_ms < min(signed.until_ms, one.decided_at_ms + one.use_within_ms)
        if one.state is not State.APPROVED or not is_usable:
            return found
        return worlds.used(found, one.id)

    return deed


def dying(kept: int) -> Deed:
    """A controller that dies after some of its steps."""

    def deed(found: World) -> World:
        steps = plan(found.ground())
        return worlds.after(
            found,
            Steps(
                settle=steps.settle,
                mirror=steps.mirror if kept > 0 else (),
                statuses=steps.statuses[: max(kept - 1, 0)],
            ),
        )

    return deed


numbers = st.sampled_from(sorted(KINDS))
deeds: st.SearchStrategy[Deed] = st.one_of(
    st.builds(opening, numbers),
    st.builds(
        granting,
        numbers,
        st.sampled_from(["jane", "bob", "system:serviceaccount:shop:support"]),
        st.sampled_from(["Allow", "Allow", "Deny"]),
        st.sampled_from(["shop", "mesh7-system"]),
        is_real=st.sampled_from([True, True, True, False]),
    ),
    st.builds(forging, numbers, st.sampled_from(sorted(State))),
    st.builds(using, numbers),
    st.builds(dying, st.integers(0, 3)),
    st.sampled_from([1, 50, 130, 320, 90_000]).map(
        lambda span: lambda found: worlds.later(found, seconds=span)
    ),
    st.booleans().map(lambda is_lost: lambda found: replace(found, is_lost=is_lost)),
    st.sampled_from([{POD: UID}, {POD: UID}, {}, None]).map(
        lambda pods: lambda found: replace(found, pods=pods)
    ),
    st.sampled_from([worlds.COMPILED, worlds.COMPILED, None]).map(
        lambda known: lambda found: replace(found, policies=known)
    ),
    numbers.map(lambda number: lambda found: worlds.without_request(found, identity(number))),
    st.binary(max_size=8).map(
        lambda junk: lambda found: replace(found, sealed=dict.fromkeys(found.sealed, junk))
    ),
    st.just(lambda found: replace(found, mirrors=found.mirrors[1:])),
    st.just(lambda found: replace(found, grants=found.grants[1:])),
    st.just(worlds.settled),
    st.just(worlds.settled),
)


def states(found: World) -> dict[str, str]:
    return {one.uid: str(one.status.get("state", "Pending")) for one in found.mirrors}


@pytest.mark.promise("A12")
@given(st.lists(deeds, max_size=30))
def test_a_plan_that_was_carried_out_leaves_nothing_to_do(done: list[Deed]) -> None:
    """Level-triggered: whatever happened, one round makes it right."""
    found = worlds.world()
    for deed in done:
        found = deed(found)
    settled = worlds.settled(found)
    steps = plan(settled.ground())
    assert worlds.is_empty(steps), steps
    assert steps.look_again_at is None or steps.look_again_at > settled.now


@pytest.mark.promise("A12")
@given(st.lists(deeds, max_size=30))
def test_nothing_is_signed_that_people_did_not_say_in_time(done: list[Deed]) -> None:
    """Whatever Redis said meanwhile: enough stamped yeses of people, none of an agent."""
    found = worlds.world()
    heard: set[tuple[str, str]] = set()
    for deed in done:
        found = worlds.settled(deed(found))
        heard |= {
            (str(worlds.spec(one)["requestRef"]["name"]), str(worlds.spec(one)["effect"]))
            for one in found.grants
            if worlds.is_counted(one)
        }
        for name, one in found.requests.items():
            signed = worlds.decision(found, name)
            if signed is None:
                continue
            assert set(signed.by) <= {"jane", "bob"}
            assert len(signed.by) >= (2 if signed.is_approved and name == identity(2) else 1)
            assert (name, "Allow" if signed.is_approved else "Deny") in heard
            assert signed.until_ms <= one.opened_at_ms + 2 * 600_000
            assert signed.digest == one.digest


@pytest.mark.promise("A2")
@given(st.lists(deeds, max_size=30))
def test_what_is_closed_stays_closed(done: list[Deed]) -> None:
    """But that a call ran is said even when it was thought lapsed or withdrawn."""
    found = worlds.world()
    before: dict[str, str] = {}
    for deed in done:
        found = worlds.settled(deed(found))
        now = states(found)
        for uid, was in before.items():
            is_said = now.get(uid, was)
            assert is_said == was or was not in CLOSED or is_said == "Used", (was, is_said)
        before |= now


def test_the_stamps_and_decisions_of_these_worlds_have_keys_of_their_own() -> None:
    assert len({one.public for one in (SIGNER, STAMPER, STRANGER)}) == 3
