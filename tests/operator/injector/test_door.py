"""The injector's door as the API server and its enemies use it: over HTTP, in process."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mesh7_core import errors
from mesh7_core.delivery import stamps
from mesh7_operator import tracing
from mesh7_operator.clock import Clock
from mesh7_operator.cluster import api_server, resources, shapes
from mesh7_operator.injector import door
from mesh7_operator.injector.asking import Asking
from mesh7_operator.injector.places import Places, weight
from tests.operator.injector import asked
from tests.operator.injector.asked import RELEASE, SHOP, Table
from tests.operator.injector.opened import Door, opened
from tests.peers import otlp_receiver


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Door]:
    async with opened(tmp_path) as found:
        yield found


async def test_a_good_policy_is_allowed_and_counted(there: Door) -> None:
    answer = await there.ask(door.VALIDATE, asked.question(asked.policy()))
    assert answer == {"uid": "0b1c", "allowed": True}
    labels = {"door": "validate", "kind": "AgentPolicy", "outcome": "allowed"}
    assert there.count("mesh7_admissions_total", **labels) == 1


async def test_an_admission_is_a_span_below_that_of_the_api_server(tmp_path: Path) -> None:
    """Promised by docs/administrator/telemetry.md; of the object it says nothing but its kind."""
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "00f067aa0ba902b7"
    clock = Clock(wall_ns=time.monotonic_ns, monotonic_s=time.monotonic)
    with otlp_receiver.running() as receiver:
        tracer = tracing.of({"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}, "x", 0.0, clock)
        async with opened(tmp_path, tracer=tracer) as there:
            body = json.dumps(asked.question(asked.policy())).encode()
            headers = {"traceparent": f"00-{trace}-{parent}-01"}
            async with there.client.post(door.VALIDATE, data=body, headers=headers) as answer:
                assert answer.status == 200
            await there.ask(door.VALIDATE, asked.question(asked.policy()))
        await asyncio.to_thread(tracer.close, 30)
        (span,) = receiver.spans()
    assert (span.name, span.trace_id.hex(), span.parent_span_id.hex()) == (
        "admission validate",
        trace,
        parent,
    )
    assert otlp_receiver.attributes(span.attributes) == {
        "mesh7.admission.door": "validate",
        "mesh7.admission.kind": "AgentPolicy",
        "mesh7.operator.outcome": "allowed",
        "http.response.status_code": 200,
    }


async def test_a_broken_one_is_refused_as_the_api_server_would(there: Door) -> None:
    broken = asked.policy(selector=None, rules=[])
    broken["spec"] = {"selector": {}, "rules": [{"name": "x", "tools": ["a.b"], "action": "Alow"}]}
    answer = await there.ask(door.VALIDATE, asked.question(broken))
    status = answer["status"]
    assert (answer["allowed"], status["code"], status["reason"]) == (False, 422, "Invalid")
    assert status["details"]["name"] == "support"
    (cause,) = status["details"]["causes"]
    assert cause["field"] == "spec.rules[0].action"
    assert cause["reason"] == "FieldValueInvalid"
    assert status["message"] == f"spec.rules[0].action: {cause['message']}"


async def test_a_warning_is_short_enough_for_the_api_server(there: Door) -> None:
    value = asked.grant(tools=["billing.create_refund", "git." + "x" * 300])
    answer = await there.ask(door.VALIDATE, asked.question(value))
    assert answer["allowed"] is True
    assert answer["warnings"]
    assert all(len(one) <= 256 for one in answer["warnings"])


async def test_a_new_grant_is_stamped(there: Door) -> None:
    value = asked.grant()
    answer = await there.ask(door.MUTATE, asked.question(value))
    (change,) = json.loads(base64.b64decode(answer["patch"]))
    value["spec"]["grantedBy"] = change["value"]
    public = [base64.b64decode(one) for one in there.table.published.values()]
    assert stamps.is_stamped(value, public)


async def test_other_kinds_and_later_changes_are_left_as_they_are(there: Door) -> None:
    plain = {"uid": "0b1c", "allowed": True}
    assert await there.ask(door.MUTATE, asked.question(asked.policy())) == plain
    changed = asked.question(asked.grant(), before=asked.grant())
    assert await there.ask(door.MUTATE, changed) == plain


_DECISIONS = {"permission": asked.grant(), "yes": asked.answer(), "no": asked.answer(effect="Deny")}


@pytest.mark.promise("A12")
@pytest.mark.parametrize("name", _DECISIONS)
async def test_whoever_may_not_approve_gets_no_stamp(there: Door, name: str) -> None:
    """Issue 7: without the admission policy nothing is approved, for the injector asks, too."""
    there.table.powerless.add("jane")
    answer = await there.ask(door.MUTATE, asked.question(_DECISIONS[name]))
    assert (answer["allowed"], answer["status"]["code"]) == (False, 403)
    assert answer["status"]["message"].startswith(
        "spec.policyRef: `jane` has no verb `approve` on agentpolicy `support` in namespace `shop`"
    )


@pytest.mark.promise("A12")
async def test_the_cluster_is_asked_about_the_maker_as_it_knows_them(there: Door) -> None:
    """Groups, uid and whatever else its authorizers look at: impersonated ones, with `--as`."""
    extra = {"scopes.example.com": ["read"]}
    maker = {"username": "bob", "uid": "u-2", "groups": ["hr"], "extra": extra}
    answer = await there.ask(door.MUTATE, asked.question(asked.answer(), userInfo=maker))
    assert answer["allowed"] is True
    assert there.table.reviewed == [
        {
            "user": "bob",
            "uid": "u-2",
            "groups": ["hr"],
            "extra": extra,
            "resourceAttributes": {
                "group": "mesh7.dev",
                "resource": "agentpolicies",
                "namespace": SHOP,
                "name": "support",
                "verb": "approve",
            },
        }
    ]


async def test_the_baselines_policy_is_asked_about_where_it_is(there: Door) -> None:
    """Attack: a tenant's policy of the same name, which its administrator may approve."""
    ref = {"namespace": RELEASE, "name": "support"}
    await there.ask(door.MUTATE, asked.question(asked.answer(policyRef=ref)))
    (reviewed,) = there.table.reviewed
    assert shapes.text(reviewed, "resourceAttributes", "namespace") == RELEASE


@pytest.mark.parametrize("ref", [{"namespace": "mallorys", "name": "x"}, {"namespace": SHOP}, 7])
async def test_of_a_policy_that_cannot_be_meant_nothing_is_stamped(there: Door, ref: Any) -> None:
    question = asked.question(asked.answer(policyRef=ref))
    answer = await there.ask(door.MUTATE, question)
    stamped = json.loads(base64.b64decode(answer.get("patch", "W10=")))
    assert not [one for one in stamped if "stamp" in one["value"]]
    assert there.table.reviewed == []


async def test_a_veto_is_asked_about_nobody(there: Door) -> None:
    """Design 6.7: whoever stops something waits for nobody."""
    there.table.powerless.add("jane")
    answer = await there.ask(door.MUTATE, asked.question(asked.grant(effect="Deny")))
    assert (answer["allowed"], there.table.reviewed) == (True, [])


async def test_when_nobody_says_who_may_approve_nobody_does(there: Door) -> None:
    review = resources.SUBJECT_ACCESS_REVIEWS.kind
    there.table.found[review, "", ""] = api_server.Unavailable("not answered")
    answer = await there.ask(door.MUTATE, asked.question(asked.answer()))
    assert (answer["allowed"], answer["status"]["code"]) == (False, 503)


@pytest.mark.parametrize("effect", ["Allow", "Deny"])
async def test_an_agents_account_answers_no_held_call(there: Door, effect: str) -> None:
    """Attack of issue 7: approving one's own."""
    maker = {"username": f"system:serviceaccount:{SHOP}:support"}
    question = asked.question(asked.answer(effect=effect), userInfo=maker)
    answer = await there.ask(door.MUTATE, question)
    assert "agents approve nothing" in answer["status"]["message"]


@pytest.mark.parametrize(("namespace", "allowed"), [(SHOP, False), ("argo", True), ("gone", False)])
async def test_no_account_of_a_guarded_namespace_permits_anything(
    there: Door, namespace: str, allowed: bool
) -> None:
    """Design 6.4: who asks cannot approve."""
    maker = {"username": f"system:serviceaccount:{namespace}:support"}
    answer = await there.ask(door.MUTATE, asked.question(asked.grant(), userInfo=maker))
    assert answer["allowed"] is allowed
    if not allowed:
        assert answer["status"]["code"] == 403


@pytest.mark.parametrize("path", [door.VALIDATE, door.MUTATE])
async def test_a_policy_that_cannot_be_read_refuses_the_grant(there: Door, path: str) -> None:
    there.table.found["AgentPolicy", SHOP, "support"] = api_server.Unavailable("not answered")
    answer = await there.ask(path, asked.question(asked.grant()))
    assert (answer["allowed"], answer["status"]["code"]) == (False, 503)
    labels = {"door": path[1:], "kind": "Grant", "outcome": "unavailable"}
    assert there.count("mesh7_admissions_total", **labels) == 1


async def test_an_api_server_that_never_answers_refuses_the_grant() -> None:
    class Never(Table):
        async def get(self, *_: object) -> Any:
            await asyncio.Event().wait()

    asking = Asking(Never(), RELEASE, 0.01)
    with pytest.raises(errors.ClusterError, match="did not answer in"):
        await asking.is_guarded(SHOP)


def _with(**request: Any) -> bytes:
    return asked.spoilt(asked.policy(), **request)


_HOSTILE = {
    "nothing": b"",
    "no JSON": b"{",
    "no UTF-8": b'{"a": "\xff"}',
    "a list": b"[]",
    "a key twice": b'{"kind": 1, "kind": 2}',
    "deep": b'{"a":' * 300 + b"1" + b"}" * 300,
    "endless digits": b'{"a": ' + b"9" * 100_000 + b"}",
    "not a number": b'{"a": NaN}',
    "another kind": b'{"apiVersion": "admission.k8s.io/v1", "kind": "Pod"}',
    "an old version": json.dumps({**asked.question(asked.policy()),
                                  "apiVersion": "admission.k8s.io/v1beta1"}).encode(),
    "no request": b'{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}',
    "no uid": _with(uid=...),
    "a number as uid": _with(uid=7),
    "no kind": _with(kind=...),
    "a pod": _with(kind={"group": "", "version": "v1", "kind": "Pod"}),
    "a deletion": _with(operation="DELETE"),
    "no operation": _with(operation=...),
    "no object": _with(object=...),
    "no object before": _with(operation="UPDATE"),
    "a text as object": _with(object="AgentPolicy"),
    "an object of another kind": _with(object=asked.grant()),
    "an object of elsewhere": _with(object=asked.policy(namespace="other")),
    "an object without metadata": _with(object={"kind": "AgentPolicy"}),
    "nobody": _with(userInfo=...),
    "nameless": _with(userInfo={"username": ""}),
}  # fmt: skip


@pytest.mark.parametrize("path", [door.VALIDATE, door.MUTATE])
@pytest.mark.parametrize("name", _HOSTILE)
async def test_what_is_no_question_is_answered_so(there: Door, name: str, path: str) -> None:
    """Whoever reaches the port may send anything."""
    status, text = await there.send(_HOSTILE[name], path)
    assert status == 400
    assert len(text.splitlines()) == 1
    assert await there.ask(door.VALIDATE, asked.question(asked.policy()))


@pytest.mark.parametrize(
    "spec",
    [
        None, [], "x", 7, {"rules": None}, {"rules": {}}, {"rules": [None]}, {"selector": 7},
        {"selector": {}, "rules": [{"name": {"a": []}, "tools": [[]], "action": 10**300}]},
        {"selector": {"matchLabels": {"a": 1e308}}, "rules": [], "mode": {}},
        {"rules": [{"approval": {"groups": 7}}, {"approval": []}, 7]},
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["AgentPolicy", "ToolSource", "Grant"])
async def test_a_question_about_nonsense_is_refused_and_crashes_nothing(
    there: Door, kind: str, spec: object
) -> None:
    value = {**asked.policy(), "kind": kind, "spec": spec}
    answer = await there.ask(door.VALIDATE, asked.question(value))
    assert (answer["allowed"], answer["status"]["code"]) == (False, 422)
    await there.ask(door.MUTATE, asked.question(value))


async def test_policies_written_by_nobody_sane_crash_no_stamp(there: Door) -> None:
    for rules in (7, [7], [{"approval": {"groups": 7}}], [{"approval": {"groups": [7]}}]):
        odd = asked.policy()
        odd["spec"]["rules"] = rules
        there.table.found["AgentPolicy", SHOP, "support"] = odd
        answer = await there.ask(door.MUTATE, asked.question(asked.grant()))
        assert answer["allowed"] is True


async def test_six_mebibytes_are_judged(there: Door) -> None:
    """Two objects as large as the API server takes."""
    policy = asked.policy()
    policy["spec"]["rules"][0]["when"] = "x" * (6 * 1024 * 1024)
    answer = await there.ask(door.VALIDATE, asked.question(policy))
    assert answer["status"]["details"]["causes"][0]["field"].startswith("spec")
    assert len(answer["status"]["message"]) <= 4096


async def test_six_mebibytes_of_rules_are_judged_in_time(there: Door) -> None:
    """Issue 5: an answer within five seconds."""
    rule = {"name": "r", "tools": ["a.b"], "when": "args.x == 1", "action": "Allow"}
    policy = asked.policy(rules=[rule] * 80_000)
    answer = await there.ask(door.VALIDATE, asked.question(policy))
    assert answer["allowed"] is False


async def test_more_than_seven_mebibytes_are_too_large(there: Door) -> None:
    status, _ = await there.send(b" " * (door.MOST_BYTES + 1))
    assert status == 413


@pytest.mark.parametrize("path", [door.VALIDATE, door.MUTATE, door.INJECT])
@pytest.mark.parametrize(
    "junk", [b"{},", b"[" * 190 + b"]" * 190 + b",", b'{"":' * 9 + b"0" + b"}" * 9]
)
async def test_a_review_that_is_small_and_would_be_parsed_into_much_is_not_parsed(
    there: Door, path: str, junk: bytes
) -> None:
    """Whoever reaches the port would have the injector run out of memory."""
    status, text = await there.send(junk * (3 * 1024 * 1024 // len(junk)), path)
    assert (status, text) == (413, "the review has too many objects and lists in it\n")


async def test_many_reviews_weigh_together_what_they_would_be_parsed_into(tmp_path: Path) -> None:
    """Each has a place for its bytes, and none for what is in them."""
    body = json.dumps({**asked.question(asked.policy()), "junk": [{}] * 1000}).encode()
    async with opened(tmp_path, places=Places(most_bytes=len(body))) as full:
        assert await full.send(body) == (503, "too many admissions at once; try again\n")
    async with opened(tmp_path, places=Places(most_bytes=weight(body))) as free:
        for _ in range(3):
            assert (await free.send(body))[0] == 200


async def test_too_many_at_once_are_refused_at_once(tmp_path: Path) -> None:
    async with opened(tmp_path, places=Places(most=0)) as full:
        status, text = await full.send(json.dumps(asked.question(asked.policy())).encode())
        assert (status, text) == (503, "too many admissions at once; try again\n")
        labels = {"door": "validate", "kind": "unknown", "outcome": "overloaded"}
        assert full.count("mesh7_admissions_total", **labels) == 1


async def test_places_are_given_back() -> None:
    places = Places(most=1, most_bytes=10)
    with places.place(10) as first, places.place(1) as second:
        assert (first, second) == (True, False)
    with places.place(11) as too_large:
        assert too_large is False
    with places.place(10) as again:
        assert again is True


async def test_whoever_ends_sends_connections_elsewhere(there: Door) -> None:
    there.ending.set()
    async with there.client.post(door.VALIDATE, json=asked.question(asked.policy())) as answer:
        assert answer.status == 200
        assert answer.headers["Connection"] == "close"
