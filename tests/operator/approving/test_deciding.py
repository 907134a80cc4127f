"""How people decide, who comes too late, and what faults leave of it."""

from dataclasses import replace

import pytest

from mesh7_core.ledger.asked import State
from mesh7_operator.approving.plan import plan
from tests.operator.approving import worlds
from tests.operator.approving.worlds import NOON_MS, POD, UID, World

HELD = worlds.mirrored(worlds.request())
ID = worlds.request().id
WIRE = worlds.mirrored(worlds.request(tool="billing.wire", rules=("shop/refunds/huge",)))
BOTH = worlds.mirrored(worlds.request(tool="billing.pay", rules=(worlds.BASELINE, worlds.FINANCE)))
APPROVED = worlds.settled(worlds.granted(HELD, worlds.grant(HELD)))


def quiet(found: World) -> World:
    """The world, in which nothing is left to do."""
    assert worlds.is_empty(plan(found.ground())), plan(found.ground())
    return found


@pytest.mark.promise("A12")
def test_a_yes_is_signed_for_the_pod_that_asked_until_it_lapses() -> None:
    done = quiet(APPROVED)
    signed = worlds.decision(done, ID)
    assert signed is not None
    assert (signed.digest, signed.uid, signed.is_approved, signed.by, signed.reason) == (
        worlds.request().digest, UID, True, ("jane",), "INC-4711"
    )  # fmt: skip
    assert signed.until_ms == done.store_ms + 120_000
    assert done.requests[ID].state is State.APPROVED
    status = worlds.status_of(done.mirrors)
    assert status["decisions"] == [
        {
            "username": "jane",
            "verdict": "Approve",
            "at": "2026-11-21T11:59:59.000Z",
            "groups": ["finance"],
            "reason": "INC-4711",
        }
    ]
    assert status["usableUntil"] == "2026-11-21T12:01:59.000Z"
    assert worlds.heard(done) == "Active Counted"


def test_a_no_is_signed_for_as_long_as_it_answers_the_same_call() -> None:
    done = quiet(worlds.settled(worlds.granted(HELD, worlds.grant(HELD, effect="Deny", by="bob"))))
    signed = worlds.decision(done, ID)
    assert signed is not None
    assert (signed.is_approved, signed.until_ms) == (False, done.store_ms + 300_000)
    assert worlds.state(done) == "Denied Denied"
    assert worlds.message(done) == "was denied by `bob` at 2026-11-21T11:59:59Z"


def test_two_approvers_race_and_the_first_in_the_api_server_wins() -> None:
    yes = worlds.grant(HELD, "yes", by="jane", made_s=0)
    no = worlds.grant(HELD, "no", by="bob", effect="Deny", made_s=1)
    done = quiet(worlds.settled(worlds.granted(HELD, no, yes)))
    assert worlds.state(done) == "Approved Approved"
    assert worlds.heard(done, "no") == "Refused RequestClosed"
    assert worlds.heard_message(done, "no") == (
        f"request `{ID}` was approved by `jane` at 2026-11-21T11:59:59Z, "
        "for use before 2026-11-21T12:01:59Z"
    )


def test_of_one_second_the_no_wins() -> None:
    yes, no = worlds.grant(HELD, "a"), worlds.grant(HELD, "z", by="bob", effect="Deny")
    done = quiet(worlds.settled(worlds.granted(HELD, yes, no)))
    assert worlds.state(done) == "Denied Denied"
    assert worlds.heard(done, "a") == "Refused RequestClosed"
    assert worlds.heard_message(done, "a") == (
        f"request `{ID}` was denied by `bob` at 2026-11-21T11:59:59Z"
    )


def test_the_first_decision_stands_when_one_that_was_made_before_is_seen_later() -> None:
    """A watch tells them in any order; what was signed is not taken back."""
    no = worlds.grant(HELD, "no", by="bob", effect="Deny", made_s=-5)
    done = quiet(worlds.settled(worlds.granted(APPROVED, no)))
    assert worlds.state(done) == "Approved Approved"
    assert worlds.heard(done, "no") == "Refused RequestClosed"


def test_count_two_by_one_person_twice_is_one() -> None:
    first, again = worlds.grant(WIRE, "first"), worlds.grant(WIRE, "again", made_s=1)
    half = quiet(worlds.settled(worlds.granted(WIRE, first, again)))
    assert worlds.state(half) == "Pending Waits"
    assert worlds.message(half) == "waits for people until 2026-11-21T12:04:00Z, `jane` said yes"
    assert worlds.heard(half, "first") == "Active Counted"
    assert worlds.heard(half, "again") == "Refused AlreadySaid"
    second = worlds.grant(WIRE, "second", by="bob", groups=("board",), made_s=2)
    done = quiet(worlds.settled(worlds.granted(worlds.later(half, seconds=30), second)))
    assert worlds.state(done) == "Approved Approved"
    decisions = worlds.status_of(done.mirrors)["decisions"]
    assert isinstance(decisions, list)
    assert [(one["username"], one["at"]) for one in decisions] == [
        ("jane", "2026-11-21T11:59:59.000Z"),
        ("bob", "2026-11-21T12:00:29.000Z"),
    ]
    assert worlds.heard(done, "again") == "Refused AlreadySaid"


def test_who_takes_their_yes_back_is_not_counted_by_a_second_yes() -> None:
    """docs/reference/grant.md: deleting the first is told to take the answer back."""
    first, again = worlds.grant(WIRE, "first"), worlds.grant(WIRE, "again", made_s=1)
    half = worlds.settled(worlds.granted(WIRE, first, again))
    assert "by Grant `first`" in worlds.heard_message(half, "again")
    back = quiet(worlds.settled(replace(half, grants=half.grants[1:])))
    assert worlds.heard(back, "again") == "Refused AlreadySaid"
    assert "decisions" not in worlds.status_of(back.mirrors)
    anew = quiet(worlds.settled(worlds.granted(back, worlds.grant(back, "anew", made_s=2))))
    assert worlds.heard(anew, "anew") == "Active Counted"


def test_who_said_it_already_reads_which_grant_counts_and_what_takes_it_back() -> None:
    """Defect A5: it told of `that Grant`, and named neither it, the command nor the right."""
    first, again = worlds.grant(WIRE, "first"), worlds.grant(WIRE, "again", made_s=1)
    half = worlds.settled(worlds.granted(WIRE, first, again))
    assert worlds.heard_message(half, "again") == (
        "`jane` approved it already by Grant `first`, and each person counts once; `kubectl mesh7 "
        "revoke first -n shop` takes that back (needs `delete` on grants)"
    )


def test_what_counts_goes_on_counting_when_its_maker_says_it_again_within_a_second() -> None:
    """Creations are noted in whole seconds: the second yes was told that it counts."""
    half = worlds.settled(worlds.granted(WIRE, worlds.grant(WIRE, "said-first")))
    again = worlds.settled(worlds.granted(half, worlds.grant(WIRE, "again")))
    assert worlds.heard(again, "said-first") == "Active Counted"
    assert worlds.heard(again, "again") == "Refused AlreadySaid"


def test_a_no_counts_after_ones_own_yes() -> None:
    """docs/reference/grant.md: one valid no is the end, whoever said yes before."""
    half = worlds.settled(worlds.granted(WIRE, worlds.grant(WIRE)))
    no = worlds.grant(WIRE, "no", effect="Deny", made_s=1)
    done = quiet(worlds.settled(worlds.granted(half, no)))
    assert worlds.state(done) == "Denied Denied"
    assert (worlds.heard(done), worlds.heard(done, "no")) == ("Active Counted", "Active Counted")
    signed = worlds.decision(done, done.mirrors[0].name)
    assert signed is not None
    assert (signed.is_approved, signed.by) == (False, ("jane",))


def test_a_second_no_counts_when_the_first_was_taken_back_before_anybody_could_decide() -> None:
    """A no is always heard: that it was one too many is the past of a lost Redis."""
    lost = replace(WIRE, is_lost=True)
    first, again = (worlds.grant(WIRE, name, effect="Deny") for name in ("1", "2"))
    told = worlds.settled(worlds.granted(lost, first, again))
    assert worlds.heard(told, "2") == "Refused AlreadySaid"
    done = quiet(worlds.settled(replace(told, grants=told.grants[1:], is_lost=False)))
    assert worlds.state(done) == "Denied Denied"
    assert worlds.heard(done, "2") == "Active Counted"


def test_who_takes_their_yes_back_in_time_said_nothing() -> None:
    half = worlds.settled(worlds.granted(WIRE, worlds.grant(WIRE)))
    back = quiet(worlds.settled(replace(half, grants=())))
    assert "decisions" not in worlds.status_of(back.mirrors)
    assert worlds.message(back) == "waits for people until 2026-11-21T12:04:00Z"


def test_a_no_ends_what_half_of_the_people_allowed() -> None:
    half = worlds.settled(worlds.granted(WIRE, worlds.grant(WIRE)))
    no = worlds.grant(WIRE, "no", by="bob", effect="Deny")
    done = quiet(worlds.settled(worlds.granted(half, no)))
    assert worlds.state(done) == "Denied Denied"
    assert worlds.heard(done) == "Active Counted"
    signed = worlds.decision(done, done.mirrors[0].name)
    assert signed is not None
    assert signed.by == ("bob",)


def test_two_policies_ask_and_one_person_answers_each_by_a_grant_of_its_own() -> None:
    tenant = worlds.grant(BOTH, "tenant", policyRef={"namespace": "shop", "name": "refunds"})
    half = quiet(worlds.settled(worlds.granted(BOTH, tenant)))
    assert worlds.state(half) == "Pending Waits"
    base = worlds.grant(BOTH, "base", policyRef={"namespace": "mesh7-system", "name": "refunds"})
    done = quiet(worlds.settled(worlds.granted(worlds.later(half, seconds=9), base)))
    assert worlds.state(done) == "Approved Approved"
    assert (worlds.heard(done, "tenant"), worlds.heard(done, "base")) == (
        "Active Counted", "Active Counted"
    )  # fmt: skip
    signed = worlds.decision(done, done.mirrors[0].name)
    assert signed is not None
    assert signed.until_ms == done.store_ms + 120_000


def test_arguments_that_nobody_sees_need_a_word_more() -> None:
    long = worlds.mirrored(worlds.request(arguments={"text": "x" * 20_000}))
    seen = worlds.settled(worlds.granted(long, worlds.grant(long)))
    assert (worlds.state(seen), worlds.heard(seen)) == ("Pending Waits", "Refused ArgumentsUnseen")
    no = worlds.settled(worlds.granted(long, worlds.grant(long, effect="Deny")))
    assert worlds.state(no) == "Denied Denied"
    unseen = worlds.grant(long, "unseen", unseen=True, made_s=1)
    done = quiet(worlds.settled(worlds.granted(seen, unseen)))
    assert worlds.state(done) == "Approved Approved"


@pytest.mark.promise("A6")
def test_a_late_yes_is_told_that_the_request_expired() -> None:
    over = worlds.later(HELD, minutes=4, seconds=1)
    done = quiet(worlds.settled(worlds.granted(over, worlds.grant(HELD))))
    assert worlds.state(done) == "Expired Expired"
    assert worlds.heard(done) == "Refused RequestClosed"
    assert worlds.heard_message(done) == (
        f"request `{ID}` expired at 2026-11-21T12:04:00Z, before enough people had decided"
    )
    assert done.sealed == {}


@pytest.mark.promise("A6")
def test_the_last_moment_is_the_stores() -> None:
    """Redis's clock is a second behind here, and a deadline belongs to what comes after it."""
    almost = worlds.later(HELD, minutes=4, seconds=0.999)
    done = worlds.settled(worlds.granted(almost, worlds.grant(HELD)))
    assert worlds.state(done) == "Approved Approved"


def test_a_pod_that_is_gone_takes_its_question_with_it() -> None:
    for pods in ({}, {POD: "99999999-0000-0000-0000-000000000000"}):
        gone = replace(HELD, pods=pods)
        done = quiet(worlds.settled(worlds.granted(gone, worlds.grant(HELD))))
        assert worlds.state(done) == "Withdrawn PodGone"
        assert done.requests[ID].state is State.WITHDRAWN
        assert worlds.heard_message(done) == f"request `{ID}` was withdrawn: pod `{POD}` is gone"


def test_a_pod_that_is_gone_takes_its_approval_with_it() -> None:
    done = quiet(worlds.settled(replace(APPROVED, pods={})))
    assert worlds.state(done) == "Withdrawn PodGone"
    assert done.requests[ID].state is State.WITHDRAWN


def test_what_was_used_is_told_with_its_outcome() -> None:
    done = quiet(worlds.settled(worlds.used(APPROVED, ID)))
    assert worlds.state(done) == "Used Used"
    assert worlds.status_of(done.mirrors)["outcome"] == "succeeded"
    assert worlds.heard(done) == "Active Counted"


def test_an_outcome_that_is_known_later_is_told_later() -> None:
    claimed = worlds.used(APPROVED, ID)
    unknown = worlds.with_request(claimed, replace(claimed.requests[ID], outcome=""))
    first = quiet(worlds.settled(unknown))
    assert "outcome" not in worlds.status_of(first.mirrors)
    done = quiet(worlds.settled(worlds.with_request(first, claimed.requests[ID])))
    assert worlds.status_of(done.mirrors)["outcome"] == "succeeded"


def test_an_approval_that_nobody_used_lapses() -> None:
    done = quiet(worlds.settled(worlds.later(APPROVED, minutes=2)))
    assert worlds.state(done) == "Lapsed Lapsed"
    assert worlds.message(done) == (
        "was approved by `jane` at 2026-11-21T11:59:59Z and not used before 2026-11-21T12:01:59Z"
    )


@pytest.mark.promise("A2")
def test_a_fail_over_of_redis_prolongs_no_approval() -> None:
    """It fell back to the moment before the decision: the same is said again, with its old end."""
    later = worlds.later(APPROVED, minutes=1)
    forgot = worlds.with_request(replace(later, sealed={}), worlds.request())
    steps = plan(forgot.ground())
    assert [one.forged for one in steps.settle] == [""]
    done = quiet(worlds.after(forgot, steps))
    assert worlds.decision(done, ID) == worlds.decision(APPROVED, ID)
    assert done.requests[ID].decided_at_ms == APPROVED.store_ms


def test_a_revoked_yes_is_not_said_again_after_a_fail_over() -> None:
    forgot = worlds.with_request(replace(APPROVED, sealed={}, grants=()), worlds.request())
    done = quiet(worlds.settled(forgot))
    assert (worlds.state(done), done.sealed) == ("Approved Forgotten", {})


def test_nobody_elses_late_yes_stands_in_for_one_that_was_revoked() -> None:
    late = worlds.grant(HELD, "late", by="carol")
    forgot = worlds.with_request(replace(APPROVED, sealed={}, grants=(late,)), worlds.request())
    done = quiet(worlds.settled(forgot))
    assert (worlds.state(done), done.sealed) == ("Approved Forgotten", {})
    assert worlds.heard(done, "late") == "Refused RequestClosed"


def test_a_controller_that_died_between_redis_and_status_says_the_same() -> None:
    """Redis was told, the ApprovalRequest was not; the next leader reads its own signature."""
    steps = plan(worlds.granted(HELD, worlds.grant(HELD)).ground())
    half = worlds.after(worlds.granted(HELD, worlds.grant(HELD)), replace(steps, statuses=()))
    done = quiet(worlds.settled(worlds.later(half, seconds=40)))
    assert worlds.status_of(done.mirrors)["usableUntil"] == "2026-11-21T12:01:59.000Z"
    assert worlds.decision(done, ID) == worlds.decision(APPROVED, ID)
    assert worlds.heard(done) == "Active Counted"
    run = quiet(worlds.settled(worlds.used(half, ID)))
    assert worlds.state(run) == "Used Used"


def test_a_decision_of_ours_stands_when_its_grant_is_gone_before_its_status() -> None:
    steps = plan(worlds.granted(HELD, worlds.grant(HELD)).ground())
    half = worlds.after(HELD, replace(steps, statuses=()))
    done = quiet(worlds.settled(half))
    assert worlds.state(done) == "Approved Approved"
    assert worlds.message(done).startswith("was approved by `jane`")


def test_a_redis_that_forgot_a_pending_request_withdraws_it() -> None:
    forgot = worlds.without_request(HELD, ID)
    done = quiet(worlds.settled(worlds.granted(forgot, worlds.grant(HELD))))
    assert worlds.state(done) == "Withdrawn Forgotten"
    assert worlds.message(done).startswith("was withdrawn: Redis has forgotten it")


def test_a_redis_that_forgot_an_approval_is_told_and_lapses_in_time() -> None:
    forgot = quiet(worlds.settled(worlds.without_request(APPROVED, ID)))
    assert worlds.state(forgot) == "Approved Forgotten"
    done = quiet(worlds.settled(worlds.later(forgot, minutes=2)))
    assert worlds.state(done) == "Lapsed Forgotten"
    assert "nobody knows here whether it ran" in worlds.message(done)


@pytest.mark.parametrize(
    ("change", "heard"),
    [
        ({"is_lost": True}, "Pending StoreLost"),
        ({"policies": None}, "Pending NoPolicies"),
        ({"pods": None}, "Pending PodsUnknown"),
    ],
)
def test_nothing_is_decided_while_something_is_not_known(
    change: dict[str, object], heard: str
) -> None:
    asked = replace(worlds.granted(HELD, worlds.grant(HELD)), **change)  # type: ignore[arg-type]
    blind = quiet(worlds.settled(asked))
    assert (worlds.state(blind), worlds.heard(blind), blind.sealed) == ("Pending Waits", heard, {})
    seeing = replace(blind, is_lost=False, policies=worlds.COMPILED, pods={POD: UID})
    done = quiet(worlds.settled(seeing))
    assert (worlds.state(done), worlds.heard(done)) == ("Approved Approved", "Active Counted")


def test_nothing_is_closed_while_redis_is_lost() -> None:
    lost = replace(worlds.later(APPROVED, minutes=30), is_lost=True, pods={})
    assert worlds.is_empty(plan(lost.ground()))
    waiting = replace(worlds.later(HELD, minutes=30), is_lost=True, pods={})
    assert worlds.is_empty(plan(waiting.ground()))


@pytest.mark.parametrize(
    "change", ["groups: [finance], timeout: 5m", "timeout: 5m, useWithin: 2m", ""]
)
def test_a_rule_that_changes_while_people_think_withdraws_the_question(change: str) -> None:
    text = worlds.POLICIES["refunds.yaml"]
    was = "approval: {groups: [finance], timeout: 5m, useWithin: 2m}"
    to = f"approval: {{{change.replace('5m', '6m')}}}" if change else "reason: none"
    edited = text.replace(f"    {was}\n", "" if not change else f"    {to}\n", 1)
    known = worlds.policies({**worlds.POLICIES, "refunds.yaml": edited})
    done = quiet(worlds.settled(worlds.granted(replace(HELD, policies=known), worlds.grant(HELD))))
    assert worlds.state(done) == "Withdrawn RulesChanged"
    assert done.requests[ID].state is State.WITHDRAWN
    assert worlds.heard(done) == "Refused RequestClosed"


def test_an_edit_of_another_rule_withdraws_nothing() -> None:
    text = worlds.POLICIES["refunds.yaml"].replace("billing.look", "billing.glance")
    known = worlds.policies({**worlds.POLICIES, "refunds.yaml": text})
    assert worlds.is_empty(plan(replace(HELD, policies=known).ground()))


def test_a_sidecar_that_withdraws_is_followed() -> None:
    back = worlds.forged(worlds.request(), State.WITHDRAWN, NOON_MS - 2_000)
    done = quiet(worlds.settled(worlds.with_request(HELD, back)))
    assert worlds.state(done) == "Withdrawn Withdrawn"


def test_a_request_that_rises_from_the_dead_is_withdrawn_again() -> None:
    """A replica of old takes over after the request was closed; nobody shall wait for it."""
    closed = worlds.settled(replace(HELD, pods={}))
    risen = replace(worlds.with_request(closed, worlds.request()), pods={POD: UID})
    done = quiet(worlds.settled(risen))
    assert done.requests[ID].state is State.WITHDRAWN
    assert worlds.state(done) == "Withdrawn PodGone"


def test_a_denial_that_somebody_turns_is_told_again() -> None:
    denied = worlds.settled(worlds.granted(HELD, worlds.grant(HELD, effect="Deny")))
    turned = worlds.forged(denied.requests[ID], State.APPROVED)
    steps = plan(worlds.with_request(denied, turned).ground())
    told = "it says `approved`, and people decided `denied`"
    assert [one.forged for one in steps.settle] == [told]
    done = quiet(worlds.after(worlds.with_request(denied, turned), steps))
    assert done.requests[ID].state is State.DENIED


def test_a_deleted_approvalrequest_of_a_waiting_call_is_made_anew() -> None:
    """Grants for the old one are for another object: its uid says so."""
    old = worlds.grant(HELD, "old")
    done = quiet(worlds.settled(replace(HELD, mirrors=(), grants=(old,))))
    assert worlds.state(done) == "Pending Waits"
    assert done.mirrors[0].uid != HELD.mirrors[0].uid
    after = quiet(worlds.settled(done))
    assert worlds.heard(after, "old") == "Refused NoSuchRequest"


def test_a_deleted_approvalrequest_of_a_decided_call_undoes_no_decision() -> None:
    """What we signed is our word, whether or not anybody can read of it."""
    gone = quiet(replace(APPROVED, mirrors=(), grants=()))
    assert gone.requests[ID].state is State.APPROVED


def test_a_grant_that_is_seen_before_its_request_counts_when_that_is_seen() -> None:
    """Two watches tell of them, in any order."""
    early = worlds.granted(replace(HELD, mirrors=(), room=0), worlds.grant(HELD))
    refused = quiet(worlds.settled(early))
    assert worlds.heard(refused) == "Refused NoSuchRequest"
    done = quiet(worlds.settled(replace(refused, mirrors=HELD.mirrors)))
    assert (worlds.state(done), worlds.heard(done)) == ("Approved Approved", "Active Counted")


def signed_otherwise(found: World) -> World:
    """The world in which a leader that was just replaced had signed a no."""
    no = worlds.settled(worlds.granted(HELD, worlds.grant(HELD, "no", by="bob", effect="Deny")))
    return replace(found, sealed=no.sealed, requests=no.requests)


def test_of_two_leaders_that_sign_different_words_the_no_stands() -> None:
    done = quiet(worlds.settled(signed_otherwise(APPROVED)))
    assert worlds.state(done) == "Denied Denied"
    assert worlds.message(done).startswith("was denied by `bob`")
    signed = worlds.decision(done, ID)
    assert signed is not None
    assert not signed.is_approved


def test_of_two_leaders_that_sign_different_words_a_no_is_put_over_the_yes() -> None:
    denied = worlds.settled(worlds.granted(HELD, worlds.grant(HELD, effect="Deny")))
    torn = replace(denied, sealed=APPROVED.sealed, requests=APPROVED.requests)
    done = quiet(worlds.settled(torn))
    signed = worlds.decision(done, ID)
    assert signed is not None
    assert not signed.is_approved
    assert done.requests[ID].state is State.DENIED


def test_what_ran_by_a_yes_that_another_leader_denied_is_said_to_have_run() -> None:
    """The status never says less than what happened."""
    denied = worlds.settled(worlds.granted(HELD, worlds.grant(HELD, effect="Deny")))
    ran = worlds.used(APPROVED, ID)
    done = quiet(worlds.settled(replace(denied, sealed=ran.sealed, requests=ran.requests)))
    assert worlds.state(done) == "Used Used"
