"""Who may not decide a held call: each attack of the issue, by name."""

from dataclasses import replace

import pytest

from mesh7_core.ledger.asked import State
from mesh7_operator.approving.plan import plan
from mesh7_operator.reconciling.world import Written
from tests.operator.approving import worlds
from tests.operator.approving.worlds import NOON_MS, SHOP, STRANGER, World

HELD = worlds.mirrored(worlds.request())
ID = worlds.request().id


def outcome(found: World, **spec: object) -> tuple[str, str, bool]:
    """State of the request, what the Grant heard, and whether anything was signed."""
    asked = worlds.granted(found, worlds.grant(found, **spec))  # type: ignore[arg-type]
    done = worlds.settled(asked)
    assert worlds.is_empty(plan(done.ground()))
    return worlds.state(done), worlds.heard(done), ID in done.sealed


@pytest.mark.promise("A12")
@pytest.mark.parametrize(
    ("spec", "heard"),
    [
        ({"stamper": None}, "Refused NotStamped"),
        ({"stamper": STRANGER}, "Refused NotStamped"),
        ({"policyRef": {"namespace": SHOP, "name": "other"}}, "Refused PolicyDoesNotAsk"),
        (
            {"policyRef": {"namespace": "mesh7-system", "name": "refunds"}},
            "Refused PolicyDoesNotAsk",
        ),
        ({"digest": "sha256:" + "0" * 64}, "Refused DigestMismatch"),
        ({"requestRef": {"name": ID, "uid": "another"}}, "Refused NoSuchRequest"),
        ({"requestRef": {"name": "r-2", "uid": "uid-1"}}, "Refused NoSuchRequest"),
        ({"subject": {"pod": "support-2"}}, "Refused NotForThisPod"),
        ({"subject": {"serviceAccount": "support"}}, "Refused NotForThisPod"),
        ({"subject": {}}, "Refused NotForThisPod"),
        ({"groups": ("shoppers",)}, "Refused NotInGroups"),
        ({"groups": ()}, "Refused NotInGroups"),
        ({"by": "system:serviceaccount:shop:support"}, "Refused AnsweredByAgent"),
        ({"by": ""}, "Refused NotStamped"),
        ({"expiresAt": "2026-11-21T12:00:00Z"}, "Refused Expired"),
        ({"effect": "Perhaps"}, "Refused Invalid"),
    ],
    ids=[
        "made while the webhook was down", "stamped by a stranger", "for another policy",
        "through the baseline's policy of the same name", "for another call",
        "for a request of the same name", "for no request", "for another pod",
        "for an account", "for everybody", "by somebody of another group", "by nobody's group",
        "by the agent itself", "by nobody", "over", "of no effect",
    ],
)  # fmt: skip
@pytest.mark.parametrize("effect", ["Allow", "Deny"])
def test_a_grant_that_may_not_answer_is_refused_and_told_why(
    spec: dict[str, object], heard: str, effect: str
) -> None:
    assert outcome(HELD, **{"effect": effect, **spec}) == ("Pending Waits", heard, False)


@pytest.mark.promise("A12")
def test_forged_granted_by_does_not_count() -> None:
    """Whoever writes another name over the stamped one breaks the stamp."""
    real = worlds.grant(HELD)
    spec = real.value["spec"]
    assert isinstance(spec, dict)
    forged = replace(
        real,
        value={
            **real.value,
            "spec": {**spec, "grantedBy": {**spec["grantedBy"], "username": "bob"}},
        },
    )
    done = worlds.settled(worlds.granted(HELD, forged))
    assert (worlds.state(done), worlds.heard(done)) == ("Pending Waits", "Refused NotStamped")


@pytest.mark.promise("A12")
def test_an_edited_grant_does_not_count() -> None:
    """What was stamped as a no for one policy is no yes."""
    real = worlds.grant(HELD, effect="Deny")
    spec = real.value["spec"]
    assert isinstance(spec, dict)
    turned = replace(real, value={**real.value, "spec": {**spec, "effect": "Allow"}})
    done = worlds.settled(worlds.granted(HELD, turned))
    assert (worlds.state(done), worlds.heard(done)) == ("Pending Waits", "Refused NotStamped")


@pytest.mark.promise("A12")
def test_without_stamp_keys_nothing_is_approved_or_denied() -> None:
    keyless = replace(HELD, stamps=())
    assert outcome(keyless) == ("Pending Waits", "Refused NotStamped", False)


@pytest.mark.promise("A5")
def test_a_baselines_approval_is_not_given_through_a_tenants_policy_of_the_same_name() -> None:
    asks = worlds.request(tool="billing.pay", rules=(worlds.BASELINE,))
    found = worlds.mirrored(asks)
    tenant = {"policyRef": {"namespace": SHOP, "name": "refunds"}}
    assert outcome(found, **tenant) == ("Pending Waits", "Refused PolicyDoesNotAsk", False)
    assert outcome(found) == ("Approved Approved", "Active Counted", True)


@pytest.mark.promise("A12")
@pytest.mark.promise("K9")
@pytest.mark.parametrize("told", [State.APPROVED, State.DENIED, State.USED, State.LAPSED])
@pytest.mark.parametrize("is_mirrored", [True, False])
def test_what_a_redis_writer_decides_is_ignored_said_and_repaired(
    told: State, *, is_mirrored: bool
) -> None:
    asked = worlds.request()
    found = HELD if is_mirrored else worlds.world(asked)
    at_ms = NOON_MS - 50_000 if told is not State.LAPSED else asked.opened_at_ms + 1
    steps = plan(worlds.with_request(found, worlds.forged(asked, told, at_ms)).ground())
    assert [one.forged for one in steps.settle] == [
        f"it says `{told}`, and no decision of the operator does"
    ]
    assert [one.decision for one in steps.settle] == [b""]
    done = worlds.after(worlds.with_request(found, worlds.forged(asked, told, at_ms)), steps)
    assert worlds.state(done) == "Pending Waits"
    assert done.requests[ID].state is State.PENDING
    assert worlds.is_empty(plan(done.ground()))


@pytest.mark.promise("A12")
@pytest.mark.parametrize("sealed", [b"", b"{}\n\n", b"\xff" * 100])
def test_a_forged_decision_is_replaced_by_what_people_decided(sealed: bytes) -> None:
    done = worlds.settled(worlds.granted(HELD, worlds.grant(HELD)))
    meant = worlds.decision(done, ID)
    forged = replace(done, sealed={ID: sealed})
    steps = plan(forged.ground())
    assert len(steps.settle) == 1
    assert worlds.decision(worlds.after(forged, steps), ID) == meant


@pytest.mark.promise("A12")
def test_a_yes_signed_for_another_call_or_pod_decides_nothing() -> None:
    """Both lie under `m7b:`; whoever could write there still has no signature for this call."""
    other = worlds.request(2)
    both = worlds.mirrored(worlds.request(), other)
    done = worlds.settled(worlds.granted(both, worlds.grant(both, to=other.id)))
    moved = replace(done, sealed={**done.sealed, ID: done.sealed[other.id]})
    after = worlds.settled(moved)
    assert worlds.state(after, ID) == "Pending Waits"


@pytest.mark.promise("A11")
@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"agent": "other/support"}, "its agent is of another namespace"),
        ({"pod": "support-9"}, "its pod is not there"),
        ({"uid": "99999999-2222-3333-4444-555555555555"}, "its pod is not there"),
        ({"tool": "billing.\x1b[2Jrefund"}, "its tool or its account has no name"),
        ({"tool": "billing.\u202erefund"}, "its tool or its account has no name"),
        ({"tool": "b." + "x" * 300}, "its tool or its account has no name"),
        ({"arguments": '{"amount":2}'}, "the arguments that it shows are not those"),
        ({"arguments": '"\ud800"'}, "the arguments that it shows are not those"),
        ({"cut_from_bytes": 20}, "its arguments are not so long"),
        ({"timeout_ms": 3_600_000}, "its times are not those of the rules"),
        ({"use_within_ms": 3_600_000}, "its times are not those of the rules"),
        ({"opened_at_ms": NOON_MS + 5_000}, "it was opened in the future"),
        ({"id": "r-1"}, "its id is none"),
        ({"id": "R-" + "0" * 26}, "its id is none"),
        ({"definition": "none"}, "its definition is no digest"),
    ],
)
def test_a_forged_request_is_never_mirrored(change: dict[str, object], why: str) -> None:
    """Its digest fits what it claims; who approves must not be shown another call."""
    forged = replace(worlds.digested(replace(worlds.request(), **change)), **change)  # type: ignore[arg-type]
    steps = plan(worlds.world(forged).ground())
    assert steps.mirror == ()
    assert steps.settle == ()
    assert [one.startswith(why) for one in steps.doubted.values()] == [True], steps.doubted


@pytest.mark.promise("A11")
@pytest.mark.parametrize(
    "change",
    [
        {"digest": "sha256:" + "0" * 64},
        {"tool": "billing.look"},
        {"family": "prompts"},
        {"mark": "arguments:" + "0" * 64},
        {"salt": "another"},
    ],
)
def test_a_request_whose_digest_is_not_of_what_it_shows_is_never_mirrored(
    change: dict[str, object],
) -> None:
    steps = plan(worlds.world(replace(worlds.request(), **change)).ground())  # type: ignore[arg-type]
    assert steps.mirror == ()
    assert list(steps.doubted.values()) == ["its digest is not that of the call that it shows"]


_ELSEWHERE = [
    ("/live", "/test"),
    ("https:", "http:"),
    ("svc/", "svc:8443/"),
    ("}}", "}, headers: [{name: X-Tenant, value: b}]}"),
    ("}}", "}, auth: {key: admin}}"),
]


@pytest.mark.promise("A11")
@pytest.mark.parametrize(("before", "after"), _ELSEWHERE, ids=[one for _, one in _ELSEWHERE])
def test_a_yes_is_not_asked_for_a_source_that_leads_elsewhere_by_now(
    before: str, after: str
) -> None:
    """Whoever edits a ToolSource could otherwise have a yes to one API run at another."""
    assert before in worlds.SOURCE
    changed = worlds.sources(worlds.SOURCE.replace(before, after))
    steps = plan(worlds.world(worlds.request(), sources=changed).ground())
    assert steps.mirror == ()
    assert list(steps.doubted.values()) == ["its source is not what ToolSource says"]
    again = worlds.request(2, source=changed["billing"].digest)
    assert plan(worlds.world(again, sources=changed).ground()).doubted == {}
    assert again.digest != worlds.request(2).digest


@pytest.mark.promise("A11")
@pytest.mark.parametrize(
    "change",
    [
        {"source_host": "evil.example"},
        {"source_kind": "http"},
        {"source": ""},
        {"tool": "nowhere.refund"},
    ],
)
def test_where_a_call_goes_is_what_the_tool_source_says_and_never_what_redis_says(
    change: dict[str, object],
) -> None:
    """With a digest that fits, too."""
    forged = worlds.digested(replace(worlds.request(), **change))  # type: ignore[arg-type]
    steps = plan(worlds.world(forged).ground())
    assert steps.mirror == ()
    assert list(steps.doubted.values()) == ["its source is not what ToolSource says"]


@pytest.mark.promise("A12")
def test_groups_and_counts_are_the_rules_and_not_what_redis_says() -> None:
    asked = worlds.request(tool="billing.wire", rules=("shop/refunds/huge",))
    eased = replace(asked, asking=(replace(asked.asking[0], groups=(), count=1, text="harmless"),))
    found = worlds.mirrored(eased)
    spec = found.mirrors[0].value["spec"]
    assert isinstance(spec, dict)
    assert spec["rules"] == [
        {"rule": "shop/refunds/huge", "count": 2, "groups": ["finance", "board"]}
    ]
    assert outcome(found) == ("Pending Waits", "Active Counted", False)
    assert outcome(found, groups=()) == ("Pending Waits", "Refused NotInGroups", False)


@pytest.mark.promise("A12")
def test_a_rule_that_does_not_ask_is_not_answered() -> None:
    asked = worlds.request()
    silent = replace(asked, asking=(replace(asked.asking[0], rule="shop/refunds/look"),))
    gone = replace(asked, asking=(replace(asked.asking[0], rule="shop/refunds/none"),))
    nobody = replace(asked, asking=())
    twice = replace(asked, asking=(*asked.asking, *asked.asking))
    for one in (silent, gone, nobody, twice):
        steps = plan(worlds.world(worlds.digested(one)).ground())
        assert steps.mirror == ()
        assert list(steps.doubted.values()) == ["a rule that it names is not there or does not ask"]


@pytest.mark.promise("A8")
def test_a_flood_is_mirrored_as_far_as_there_is_room_the_oldest_first() -> None:
    flood = [worlds.of_another_pod(n, opened_at_ms=NOON_MS - 60_000 + n) for n in range(1, 300)]
    pods = worlds.MANY_PODS
    steps = plan(worlds.world(*reversed(flood), room=7, pods=pods).ground())
    assert [one.name for one in steps.mirror] == [one.id for one in flood[:7]]
    full = worlds.settled(worlds.world(*flood, room=1_000, pods=pods))
    assert len(full.mirrors) == 200
    assert worlds.is_empty(plan(full.ground()))


@pytest.mark.promise("A8")
def test_forged_requests_take_no_genuine_ones_room() -> None:
    forged = [
        replace(worlds.request(n, opened_at_ms=NOON_MS - 90_000 + n), digest="sha256:" + "0" * 64)
        for n in range(1, 100)
    ]
    steps = plan(worlds.world(*forged, worlds.request(500), room=1).ground())
    assert [one.name for one in steps.mirror] == [worlds.request(500).id]
    assert len(steps.doubted) == 99


@pytest.mark.promise("A12")
def test_what_is_put_under_a_mirrored_id_is_not_decided_for() -> None:
    """A Redis writer exchanges the call after people looked at it: the old one is withdrawn."""
    other = replace(worlds.request(arguments={"amount": 99999}), id=ID)
    swapped = worlds.granted(worlds.with_request(HELD, other), worlds.grant(HELD))
    done = worlds.settled(swapped)
    assert worlds.state(done) == "Withdrawn Forgotten"
    assert worlds.heard(done) == "Refused RequestClosed"
    assert done.sealed == {}
    steps = plan(done.ground())
    assert worlds.is_empty(steps)
    assert steps.doubted == {ID: "its ApprovalRequest is of another call"}


@pytest.mark.promise("A12")
def test_a_redis_writer_neither_hastens_nor_prolongs_a_request() -> None:
    asked = worlds.request()
    stretched = replace(asked, timeout_ms=10**9, use_within_ms=10**9, version=2)
    found = worlds.with_request(HELD, stretched)
    done = worlds.settled(worlds.granted(found, worlds.grant(found)))
    signed = worlds.decision(done, ID)
    assert signed is not None
    assert signed.until_ms == done.store_ms + 120_000
    assert done.requests[ID].use_within_ms == 120_000
    assert done.requests[ID].timeout_ms == 300_000
    late = worlds.settled(worlds.later(found, minutes=5))
    assert worlds.state(late) == "Expired Expired"


def test_an_approvalrequest_that_the_controller_did_not_write_is_removed() -> None:
    stray = replace(HELD.mirrors[0], name="hello", uid="x", value={"spec": {"tool": "t"}})
    steps = plan(replace(HELD, mirrors=(*HELD.mirrors, stray)).ground())
    assert steps.deleted == (("hello", "x"),)


ASKS_ALL = worlds.mirrored(worlds.request(tool="billing.wire", rules=("shop/refunds/huge",)))


@pytest.mark.promise("A12")
def test_a_yes_that_was_taken_back_does_not_count_though_a_finalizer_keeps_it() -> None:
    """Attack: whoever may change Grants keeps one that was deleted, until the second yes comes."""
    by_jane = worlds.settled(worlds.granted(ASKS_ALL, worlds.grant(ASKS_ALL)))
    assert worlds.heard(by_jane) == "Active Counted"
    taken_back = replace(by_jane, grants=tuple(_ending(one) for one in by_jane.grants))
    by_joe = worlds.grant(ASKS_ALL, "joes", by="joe")
    done = worlds.settled(worlds.granted(taken_back, by_joe))
    assert (worlds.state(done), ID in done.sealed) == ("Pending Waits", False)
    assert worlds.heard(done) == "Refused BeingDeleted"
    assert worlds.heard(done, "joes") == "Active Counted"
    again = worlds.settled(worlds.granted(done, worlds.grant(ASKS_ALL, "again")))
    assert worlds.state(again) == "Approved Approved"


def test_a_no_that_was_deleted_holds_until_it_is_gone() -> None:
    """Whoever may keep an object may not thereby turn a no into nothing."""
    no = _ending(worlds.grant(HELD, "no", effect="Deny"))
    done = worlds.settled(worlds.granted(HELD, no, worlds.grant(HELD)))
    assert worlds.state(done) == "Denied Denied"


def test_what_was_said_of_a_yes_that_counted_stays_when_it_is_deleted_later() -> None:
    """The first decision stands, and deletion is a new generation of the Grant."""
    done = worlds.settled(worlds.granted(HELD, worlds.grant(HELD)))
    late = replace(done, grants=tuple(_ending(one) for one in done.grants))
    assert worlds.is_empty(plan(late.ground()))
    assert worlds.heard(late) == "Active Counted"


def _ending(one: Written) -> Written:
    """Somebody deleted it, and a finalizer keeps it."""
    return replace(one, is_ending=True, generation=one.generation + 1)


def test_a_status_approved_without_grants_signs_nothing() -> None:
    """Also where the API server's backstops are gone, nobody's status makes a signature."""
    approved = worlds.settled(worlds.granted(HELD, worlds.grant(HELD)))
    forged = replace(HELD, mirrors=approved.mirrors)
    steps = plan(forged.ground())
    assert steps.settle == ()
    done = worlds.after(forged, steps)
    assert worlds.state(done) == "Approved Forgotten"
    assert worlds.is_empty(plan(done.ground()))


# One yes, one call


@pytest.mark.promise("C3", "A2")
def test_one_call_is_not_asked_about_twice_at_the_same_time() -> None:
    """Security review of issue 7, F8: two yeses for who dropped a pointer."""
    first = worlds.request(1)
    second = replace(first, id="r-" + "9" * 26, opened_at_ms=first.opened_at_ms + 5)
    both = worlds.mirrored(first, second)
    assert [one.name for one in both.mirrors] == [first.id]
    assert plan(both.ground()).doubted.keys() == {second.id}
    approved = worlds.settled(worlds.granted(both, worlds.grant(both)))
    assert worlds.settled(approved).sealed.keys() == {first.id}
    used = worlds.settled(worlds.used(approved, first.id))
    assert {one.name for one in used.mirrors} == {first.id, second.id}


@pytest.mark.promise("C3", "A2")
def test_a_yes_that_redis_forgot_is_closed_by_whoever_asks_about_the_call_anew() -> None:
    """The same: a forgotten one waits for Redis no longer, and nobody waits for it to lapse."""
    first = worlds.request(1)
    found = worlds.mirrored(first)
    found = worlds.settled(worlds.granted(found, worlds.grant(found)))
    found = worlds.settled(worlds.without_request(found, first.id))
    assert worlds.state(found) == "Approved Forgotten"
    second = replace(first, id="r-" + "9" * 26, opened_at_ms=first.opened_at_ms + 5)
    found = worlds.settled(worlds.with_request(found, second))
    assert worlds.state(found, first.id) == "Lapsed Forgotten"
    assert worlds.state(found, second.id) == "Pending Waits"
    found = worlds.settled(worlds.with_request(found, worlds.forged(first, State.APPROVED)))
    assert found.requests[first.id].state is State.WITHDRAWN


@pytest.mark.promise("C3")
def test_an_id_whose_request_was_pushed_out_is_nobodys_any_more() -> None:
    """Security review of issue 7, F7: another call under an id just looked at."""
    first = worlds.request(1)
    found = worlds.mirrored(first)
    found = worlds.settled(worlds.without_request(found, first.id))
    found = worlds.settled(worlds.later(found, hours=25))
    assert (found.mirrors, found.gone) == ((), (first.id,))
    now_ms = NOON_MS + 25 * 60 * worlds.MINUTE - worlds.MINUTE
    other = worlds.digested(replace(worlds.request(2, opened_at_ms=now_ms), id=first.id))
    found = worlds.settled(worlds.with_request(found, other))
    assert found.mirrors == ()
    assert plan(found.ground()).doubted.keys() == {first.id}
