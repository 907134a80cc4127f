"""What people see of a held call, how long it stays, and what the pod's Events tell."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mesh7_core import names
from mesh7_core.ledger import approvals
from mesh7_core.policy import calls, judge, view
from mesh7_core.policy.bundle import Bundle
from mesh7_operator.approving.plan import plan
from mesh7_operator.approving.steps import Steps
from mesh7_sidecar.gate import asking as sidecar_asking
from mesh7_sidecar.gate import exact as sidecar_exact
from tests.crds import judging, schemas
from tests.operator.approving import worlds
from tests.operator.approving.worlds import NOON, NOON_MS, POD, SHOP, UID, World

HELD = worlds.mirrored(worlds.request())
ID = worlds.request().id


@pytest.mark.promise("A11")
def test_people_see_who_asks_for_what_and_why() -> None:
    arguments = {"amount": 5, "card": "4711", "note": "\x1b[2J\u202e"}
    steps = plan(worlds.world(worlds.request(arguments=arguments)).ground())
    assert len(steps.mirror) == 1
    assert steps.mirror[0].manifest == {
        "apiVersion": "mesh7.dev/v1alpha1",
        "kind": "ApprovalRequest",
        "metadata": {"name": ID, "namespace": SHOP},
        "spec": {
            "tool": "billing.refund",
            "source": {
                "name": "billing",
                "kind": "mcp",
                "host": "billing.shop.svc",
                "path": "/live",
            },
            "agent": {"namespace": SHOP, "serviceAccount": "support"},
            "pod": {"name": POD, "uid": UID},
            "arguments": '{"amount":5,"card":"(redacted)","note":"\\u001b[2J\\u202e"}',
            "argumentsSize": 57,
            "digest": worlds.request(arguments=arguments).digest,
            "definition": "sha256:" + "d" * 64,
            "rules": [
                {
                    "rule": "shop/refunds/big",
                    "count": 1,
                    "groups": ["finance"],
                    "reason": "money leaves",
                }
            ],
            "openedAt": "2026-11-21T11:59:00.000Z",
            "expiresAt": "2026-11-21T12:04:00.000Z",
            "traceId": "a" * 32,
            "traceparent": f"00-{'a' * 32}-{'b' * 16}-01",
            "pendingOfPod": 1,
        },
    }
    assert steps.mirror[0].status == {
        "observedGeneration": 1,
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "observedGeneration": 1,
                "lastTransitionTime": "2026-11-21T12:00:00Z",
                "reason": "Waits",
                "message": "waits for people until 2026-11-21T12:04:00Z",
            }
        ],
        "state": "Pending",
    }


def test_a_policy_of_other_accounts_hides_nothing() -> None:
    other = worlds.POLICIES["refunds.yaml"].replace("name: refunds,", "name: other,").replace(
        "selector: {}", "selector: {}\n  serviceAccounts: [billing-*]"
    ).replace("$.card", "$.amount")  # fmt: skip
    known = worlds.policies({**worlds.POLICIES, "other.yaml": other})
    steps = plan(worlds.world(worlds.request(), policies=known).ground())
    spec = steps.mirror[0].manifest["spec"]
    assert isinstance(spec, dict)
    assert spec["arguments"] == '{"amount":1}'


def test_people_see_what_else_of_the_pod_waits() -> None:
    asked = [worlds.request(n, opened_at_ms=NOON_MS - 9_000 + n) for n in (1, 2, 3)]
    steps = plan(worlds.world(*asked, room=2).ground())
    told = [one.manifest["spec"]["pendingOfPod"] for one in steps.mirror]  # type: ignore[index]
    assert told == [1, 2]


@pytest.mark.promise("A1")
def test_what_a_sidecar_asks_is_genuine() -> None:
    """Both make the digest of one call alike, and take the same times from the rules."""
    agent = calls.Agent(namespace=SHOP, service_account="support", pod=POD, uid=UID)
    call = calls.Call(agent, calls.Family.TOOLS, "billing", "refund", {"amount": 7})
    call.source_host = "billing.shop.svc"
    call.source_digest = worlds.SOURCES["billing"].digest
    call.body = b'{"params":{"name":"refund","arguments":{"amount":7.0,"to":"Zo\xc3\xab"}}}'
    seen = view.view_of(
        Bundle(
            namespace=SHOP,
            policies=tuple(worlds.COMPILED.values()),
            sources={},
            grants=(),
            digest="",
        ),
        agent,
    )
    asked = judge.needs(seen, call, NOON).asked
    what = sidecar_exact.forwarded(call)
    rules = sidecar_exact.asked_rules(seen, asked)
    request = sidecar_asking.request_for(
        sidecar_exact.exact_call(call, what.mark, "", "salt"), asked,
        digest=sidecar_exact.digest(call, what.mark, "", rules, "salt"), text=what.text,
        trace_id="",
        traceparent="",
    )  # fmt: skip
    opened = approvals.opened(request, NOON_MS - 5_000)
    steps = plan(worlds.world(opened).ground())
    assert steps.doubted == {}
    assert [one.name for one in steps.mirror] == [request.id]


@pytest.mark.promise("A11")
def test_arguments_that_the_ledger_cut_are_mirrored_as_such() -> None:
    long = worlds.request(arguments={"text": "x" * 400_000})
    steps = plan(worlds.world(approvals.opened(long, long.opened_at_ms)).ground())
    spec = steps.mirror[0].manifest["spec"]
    assert isinstance(spec, dict)
    assert spec["argumentsSize"] == 400_011
    assert spec["digest"] == long.digest


def test_what_is_written_is_what_the_api_server_takes() -> None:
    """Every state's spec and status against the CRD, as `e2e/api` asks the real one."""
    schema = schemas.whole(names.APPROVAL_REQUEST)
    steps = plan(worlds.world(worlds.request(arguments={"a": "\x7f" * 9_000})).ground())
    asked = worlds.granted(HELD, worlds.grant(HELD))
    approved = worlds.settled(asked)
    worlds_told = [
        approved,
        worlds.settled(worlds.used(approved, ID)),
        worlds.settled(worlds.later(approved, minutes=9)),
        worlds.settled(worlds.granted(HELD, worlds.grant(HELD, effect="Deny"))),
        worlds.settled(worlds.without_request(HELD, ID)),
    ]
    for mirror in steps.mirror:
        assert judging.complaints(schema, {**mirror.manifest, "status": mirror.status}) == []
    for found in worlds_told:
        for one in found.mirrors:
            assert judging.complaints(schema["properties"]["status"], one.status) == []
        for one in found.grants:
            of_grants = schemas.whole(names.GRANT)["properties"]["status"]
            assert judging.complaints(of_grants, one.status) == []


def told(steps: Steps) -> list[tuple[str, str, str, str]]:
    return [(one.kind, one.name, one.type.value, one.reason) for one in steps.events]


def test_the_pods_events_tell_when_a_call_waits_is_decided_and_lapses() -> None:
    pod = ("Pod", POD)
    assert told(plan(worlds.world(worlds.request()).ground())) == [(*pod, "Normal", "CallHeld")]
    asked = worlds.granted(HELD, worlds.grant(HELD))
    assert told(plan(asked.ground())) == [(*pod, "Normal", "CallApproved")]
    approved = worlds.settled(asked)
    assert told(plan(worlds.used(approved, ID).ground())) == []
    assert told(plan(worlds.later(approved, minutes=9).ground())) == [
        (*pod, "Warning", "CallLapsed")
    ]
    assert told(plan(worlds.later(HELD, minutes=9).ground())) == [(*pod, "Warning", "CallExpired")]
    denied = worlds.granted(HELD, worlds.grant(HELD, effect="Deny"))
    assert told(plan(denied.ground())) == [(*pod, "Warning", "CallDenied")]
    forgot = worlds.without_request(HELD, ID)
    assert told(plan(forgot.ground())) == [(*pod, "Normal", "CallWithdrawn")]
    assert told(plan(replace(HELD, pods={}).ground())) == []


def test_an_event_says_which_call_and_who() -> None:
    steps = plan(worlds.granted(HELD, worlds.grant(HELD, by="\x1b[2Jjane")).ground())
    said = (
        f"the call of `billing.refund` (request `{ID}`) was approved by ` [2Jjane` at "
        "2026-11-21T11:59:59Z, for use before 2026-11-21T12:01:59Z"
    )
    assert [one.message for one in steps.events] == [said]
    assert [(one.uid, one.api_version) for one in steps.events] == [(UID, "v1")]


def test_a_closed_request_stays_for_a_day() -> None:
    closed = worlds.settled(worlds.granted(HELD, worlds.grant(HELD, effect="Deny")))
    assert plan(closed.ground()).look_again_at == NOON + timedelta(days=1)
    almost = worlds.later(closed, hours=23.99)
    assert plan(almost.ground()).deleted == ()
    over = worlds.later(closed, hours=24)
    assert plan(over.ground()).deleted == ((ID, closed.mirrors[0].uid),)
    after = worlds.settled(replace(over, requests={}))
    assert (after.mirrors, after.grants) == ((), ())
    assert plan(after.ground()).look_again_at is None


def test_a_day_is_kept_while_redis_is_lost() -> None:
    closed = worlds.settled(worlds.granted(HELD, worlds.grant(HELD, effect="Deny")))
    lost = replace(worlds.later(closed, hours=24), is_lost=True)
    assert plan(lost.ground()).deleted == ((ID, closed.mirrors[0].uid),)


def test_look_again_when_a_request_expires_or_an_approval_lapses() -> None:
    """By the store's clock, which is a second behind here."""
    second = timedelta(seconds=1)
    assert plan(HELD.ground()).look_again_at == NOON + timedelta(minutes=4) + second
    approved = worlds.settled(worlds.granted(HELD, worlds.grant(HELD)))
    assert plan(approved.ground()).look_again_at == NOON + timedelta(minutes=2)


@pytest.mark.promise("A8")
def test_of_more_than_a_thousand_the_longest_closed_are_deleted() -> None:
    found = worlds.world(pods=worlds.MANY_PODS)
    for batch in range(5):
        found = denied(worlds.later(found, seconds=5), first=batch * 200 + 1)
    assert len(found.mirrors) == 1_000
    more = [worlds.of_another_pod(9_000 + n, opened_at_ms=found.store_ms - 5) for n in range(3)]
    found = replace(found, requests={one.id: one for one in more}, room=1_000)
    steps = plan(found.ground())
    assert sorted(name for name, _ in steps.deleted) == [f"r-{n:026d}" for n in (1, 2, 3)]
    after = worlds.after(found, steps)
    assert len(after.mirrors) == 1_000
    assert worlds.is_empty(plan(after.ground()))


def denied(found: World, first: int) -> World:
    """The world with 200 more that were denied."""
    at_ms = found.store_ms - 10
    asked = [worlds.of_another_pod(n, opened_at_ms=at_ms) for n in range(first, first + 200)]
    held = worlds.settled(replace(found, requests={one.id: one for one in asked}, room=1_000))
    no = [worlds.grant(held, f"no-{one.id}", to=one.id, effect="Deny") for one in asked]
    return replace(worlds.settled(worlds.granted(held, *no)), requests={}, grants=())
