"""Who may decide about held calls, on a real API server: what admission stops by itself.

Each attack of issue 7 that ends before the controller sees anything has a test of its name here.
"""

import itertools
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from e2e.api import approvals, controllers, installed
from e2e.api.approvals import RELEASE, Court, Object, made, refusal, said
from e2e.cluster.fixtures import need
from e2e.cluster.kubectl import KubectlError
from e2e.cluster.waiting import until
from mesh7_core import names
from mesh7_core.delivery import stamps

pytestmark = pytest.mark.promise("A12")
EFFECTS = ("Allow", "Deny")
_HOOKS = ("mutatingwebhookconfiguration,validatingwebhookconfiguration", "mesh7")
_POLICIES = "validatingadmissionpolicy,validatingadmissionpolicybinding"
_NOBODY_ANSWERS = "https://127.0.0.1:1"


@pytest.fixture(scope="module")
def court(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Court]:
    need("api")
    with approvals.sitting(tmp_path_factory.mktemp("approvals")) as found:
        yield found


@pytest.mark.parametrize("effect", EFFECTS)
def test_an_answer_names_who_made_it_whatever_they_wrote(court: Court, effect: str) -> None:
    """Attack: a forged `grantedBy`. A no is forged as gladly as a yes."""
    jane = court.person("jane", "mesh7-approver", groups=["finance", "hr"])
    request = court.held()
    forged = {"username": "boss", "uid": "0", "groups": ["board"], "stamp": "AAAA"}
    stored = made(jane, court.answer(request, effect=effect, grantedBy=forged))
    granted_by = {key: one for key, one in stored["spec"]["grantedBy"].items() if key != "stamp"}
    assert granted_by == {"username": "jane", "groups": ["finance"]}
    assert stamps.is_stamped(stored, approvals.trusted(court))
    owner = {"apiVersion": names.API_VERSION, "kind": names.APPROVAL_REQUEST}
    owner |= {key: request["metadata"][key] for key in ("name", "uid")}
    assert stored["metadata"]["ownerReferences"] == [owner]


@pytest.mark.parametrize("effect", EFFECTS)
def test_who_may_approve_another_policy_answers_nothing_of_this_one(
    court: Court, effect: str
) -> None:
    """Attack: a grant for another policy; the refusal names who, and which policy."""
    rights = ["--verb=approve", "--resource=agentpolicies.mesh7.dev", "--resource-name=orders"]
    admin = court.cluster.kubectl
    said(admin, "create", "role", "orders-only", "-n", court.shop, *rights)
    bound = ["--role=orders-only", "--user=bob"]
    said(admin, "create", "rolebinding", "orders-only", "-n", court.shop, *bound)
    bob = court.person("bob", "mesh7-policy-editor")
    told = refusal(bob, court.answer(effect=effect))
    assert "`bob` has no verb `approve` on agentpolicy `refunds` in namespace `shop`" in told
    ref = {"namespace": court.shop, "name": "orders"}
    assert refusal(bob, court.answer(effect=effect, policyRef=ref)) == ""


def test_a_baselines_approval_is_given_by_no_tenants_policy_of_its_name(court: Court) -> None:
    """Attack: the verb in one's own namespace says nothing about the baseline's policy."""
    baseline = {"namespace": RELEASE, "name": "refunds"}
    tina = court.person("tina", "wildcard")
    told = refusal(tina, court.answer(policyRef=baseline))
    assert f"on agentpolicy `refunds` in namespace `{RELEASE}`" in told
    sam = court.person("sam", "mesh7-policy-editor")
    court.person("sam", "mesh7-approver", namespace=RELEASE)
    assert refusal(sam, court.answer(policyRef=baseline)) == ""
    assert "`sam` has no verb `approve`" in refusal(sam, court.answer())


def test_a_policy_of_a_namespace_of_ones_own_opens_nothing_elsewhere(court: Court) -> None:
    """Attack: `policyRef` leads to where somebody is the administrator."""
    eve = court.person("eve", "mesh7-policy-editor")
    court.person("eve", "mesh7-admin", namespace=court.bank)
    ref = {"namespace": court.bank, "name": "refunds"}
    assert "names no agentpolicy of namespace `shop`" in refusal(eve, court.answer(policyRef=ref))


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("namespace", ["shop", "bank"])
def test_no_account_of_a_guarded_namespace_answers(
    court: Court, namespace: str, effect: str
) -> None:
    """Attack: approving one's own, or having the agent next door do it; with all rights."""
    user = f"system:serviceaccount:{namespace}:default"
    court.person(user, "mesh7-admin")
    agent = court.account(namespace)
    assert "agents approve nothing" in refusal(agent, court.answer(effect=effect))


def test_an_account_of_another_namespace_answers_when_it_may(court: Court) -> None:
    """A bot that asks people elsewhere, with the verb."""
    namespace = court.cluster.new_namespace("bots")
    bot = court.account(namespace)
    court.person(f"system:serviceaccount:{namespace}:default", "mesh7-policy-editor")
    assert "has no verb `approve`" in refusal(bot, court.answer())
    court.person(f"system:serviceaccount:{namespace}:default", "mesh7-approver")
    assert refusal(bot, court.answer()) == ""


def test_nobody_answers_as_somebody_else_without_the_right(court: Court) -> None:
    """Attack: `kubectl --as`, and `--as-group` to be in a rule's group."""
    court.person("jane", "mesh7-approver")
    bob = court.person("bob", "mesh7-policy-editor")
    for how in (["--as=jane"], ["--as=bob", "--as-group=finance"]):
        # Else kubectl wants the schema first, and is refused that in fewer words.
        told = refusal(bob, court.answer(), "--validate=false", *how)
        assert "cannot impersonate resource" in told


def test_who_may_answer_as_somebody_else_is_named_by_the_audit_log(court: Court) -> None:
    """The right to impersonate is the cluster's own; the Grant names who was impersonated."""
    court.person("jane", "mesh7-approver")
    admin, request = court.cluster.kubectl, court.held()
    answer = court.answer(request)
    how = ["--as=jane", "--as-group=finance"]
    stored = admin.json("create", "-f", "-", *how, stdin=yaml.safe_dump(answer))
    assert stored["spec"]["grantedBy"]["username"] == "jane"
    assert stored["spec"]["grantedBy"]["groups"] == ["finance"]
    name = stored["metadata"]["name"]

    def both() -> set[str]:
        events = (one for one in court.server.audit() if one["verb"] == "create")
        return {
            one["impersonatedUser"]["username"]
            for one in events
            if one.get("impersonatedUser") and name in one["requestURI"] + json.dumps(one)
        }

    until(lambda: "jane" in both(), "the audit log names her", timeout_s=30)


_EDITS: list[Object] = [
    {"spec": {"effect": "Allow"}},
    {"spec": {"reason": "something else"}},
    {"spec": {"unseen": True}},
    {"spec": {"requestRef": {"name": "another", "uid": "u-2"}}},
    {"spec": {"digest": "sha256:" + "1" * 64}},
    {"spec": {"policyRef": {"namespace": "shop", "name": "orders"}}},
    {"spec": {"grantedBy": {"username": "boss", "groups": ["finance"]}}},
    {"spec": {"grantedBy": None}},
    {"metadata": {"ownerReferences": None}},
]


@pytest.mark.parametrize("edit", _EDITS, ids=json.dumps)
def test_nobody_edits_an_answer(court: Court, edit: Object) -> None:
    """Attack: a yes is seen, and is another one afterwards. Not even who made it."""
    wanda = court.person("wanda", "wildcard")
    stored = made(wanda, court.answer(court.held(), effect="Deny"))
    name = ["grant", stored["metadata"]["name"], "-n", court.shop]
    told = said(wanda, "patch", *name, "--type=merge", "-p", json.dumps(edit))
    assert "cannot be changed" in told or "goes with its ApprovalRequest" in told
    for part, change in edit.items():
        stored[part] = {key: one for key, one in (stored[part] | change).items() if one is not None}
    text = yaml.safe_dump(stored)
    assert said(wanda, "replace", "-f", "-", stdin=text) != ""
    stored["metadata"].pop("managedFields", None)
    text = yaml.safe_dump(stored)
    how = ["--server-side", "--force-conflicts", "--field-manager=mallory"]
    said(wanda, "apply", *how, "-f", "-", stdin=text)
    now = court.cluster.kubectl.json("get", *name)
    assert now["spec"]["effect"] == "Deny"
    assert stamps.is_stamped(now, approvals.trusted(court))
    assert len(now["metadata"]["ownerReferences"]) == 1


def test_an_answer_takes_labels(court: Court) -> None:
    jane = court.person("jane", "mesh7-approver")
    ada = court.person("ada", "mesh7-admin")
    stored = made(jane, court.answer(court.held()))
    assert said(ada, "label", "grant", stored["metadata"]["name"], "-n", court.shop, "a=b") == ""


@pytest.mark.parametrize("way", [[], ["--server-side"]], ids=str)
def test_an_answer_that_is_applied_again_stays_as_it_is(court: Court, way: list[str]) -> None:
    """What admission filled in is nobody's to take away, and hinders nobody."""
    ada = court.person("ada", "mesh7-admin")
    answer = yaml.safe_dump(court.answer(court.held()))
    stored = ada.json("apply", *way, "-f", "-", stdin=answer)
    again = ada.json("apply", *way, "-f", "-", stdin=answer)
    assert again["spec"] == stored["spec"]
    assert again["metadata"]["ownerReferences"] == stored["metadata"]["ownerReferences"]
    assert stamps.is_stamped(again, approvals.trusted(court))


@pytest.mark.parametrize("effect", EFFECTS)
def test_an_answer_needs_a_name_that_was_seen(court: Court, effect: str) -> None:
    """Attack: `generateName`, which the stamp could not cover."""
    jane = court.person("jane", "mesh7-approver")
    answer = court.answer(effect=effect)
    answer["metadata"] = {"generateName": "r-1-", "namespace": court.shop}
    assert "metadata.name: is missing" in refusal(jane, answer)


@contextmanager
def _asking_nobody(court: Court) -> Iterator[None]:
    court.lead(_NOBODY_ANSWERS)
    try:
        yield
    finally:
        court.lead(court.injector.url)
        approvals.await_in_force(court)


def test_while_the_webhook_is_down_nothing_is_answered_but_a_veto_is_made(court: Court) -> None:
    """Attack: a Grant created while the webhook is down."""
    jane = court.person("jane", "mesh7-approver")
    with _asking_nobody(court):
        for effect in EFFECTS:
            answer = court.answer(effect=effect)
            until(
                lambda a=answer: "failed calling webhook" in refusal(jane, a),  # type: ignore[misc]
                "it is refused", timeout_s=30,
            )  # fmt: skip
        assert refusal(jane, approvals.veto(court.shop, "dark")) == ""


def test_without_the_webhook_configuration_no_answer_is_stored(court: Court) -> None:
    """Attack: it is deleted, and what it would fill in is written by hand, or taken from others."""
    jane = court.person("jane", "mesh7-approver")
    paul = court.person("paul", "mesh7-approver", groups=["hr"])
    genuine = made(jane, court.answer(court.held()))
    copied = {**genuine, "metadata": {"name": "copied", "namespace": court.shop}}
    forged = {"username": "paul", "groups": ["finance"], "stamp": "AAAA"}
    court.cluster.kubectl("delete", *_HOOKS)
    try:
        for effect in EFFECTS:
            answer = court.answer(effect=effect)
            until(
                lambda a=answer: "spec.grantedBy" in refusal(jane, a),  # type: ignore[misc]
                "the stamp is missed", timeout_s=30,
            )  # fmt: skip
            by_hand = court.answer(effect=effect, grantedBy=forged)
            assert "uid or groups that whoever makes this grant has not" in refusal(paul, by_hand)
            assert "is not who makes this grant" in refusal(jane, by_hand)
        assert "is not who makes this grant" in refusal(paul, copied)
        nobody = court.person("nora", "mesh7-policy-editor")
        assert "needs the verb `approve`" in refusal(nobody, court.answer())
    finally:
        court.lead(court.injector.url)
        approvals.await_in_force(court)


def test_without_the_admission_policy_whoever_may_not_approve_gets_no_stamp(court: Court) -> None:
    """Attack: it is deleted. The controller honours stamps alone, and the injector asks, too."""
    nobody = court.person("nora", "mesh7-policy-editor")
    grant = _standing(court)
    both = (_HOOKS, (_POLICIES, "mesh7-grants"))
    for which in both:
        court.cluster.kubectl("delete", *which)
    try:
        until(lambda: not refusal(nobody, court.answer()), "both are gone", timeout_s=30)
        court.lead(court.injector.url)
        for decision in (court.answer(), court.answer(effect="Deny"), grant):
            until(
                lambda d=decision: "`nora` has no verb `approve`" in refusal(nobody, d),  # type: ignore[misc]
                "it is refused", timeout_s=30,
            )  # fmt: skip
    finally:
        court.cluster.apply(installed.admission(kinds=installed.POLICIES))
        court.lead(court.injector.url)
        approvals.await_in_force(court)


def _standing(court: Court, **spec: object) -> Object:
    """A standing permission."""
    ends = {"tools": ["billing.*"], "expiresAt": "2099-01-01T00:00:00Z"}
    return court.answer(None, requestRef=None, digest=None, **(ends | spec))


def test_a_namespaces_administrator_lifts_no_veto(court: Court) -> None:
    """Attack: every verb of ours that is an ordinary one, and stock `admin` beside it."""
    mallory = court.person("mallory", "writer")
    court.person("mallory", "admin")
    court.cluster.apply(yaml.safe_dump(approvals.veto(court.shop, "halt")))
    about = ["grant", "halt", "-n", court.shop]
    assert "whoever lifts a veto" in said(mallory, "delete", *about)
    assert "whoever lifts a veto" in said(mallory, "delete", "grants", "--all", "-n", court.shop)
    relaxed = {**approvals.veto(court.shop, "halt")}
    relaxed["spec"] = relaxed["spec"] | {"tools": ["nothing.at_all"]}
    assert "whoever lifts a veto" in said(
        mallory, "replace", "--force", "-f", "-", stdin=yaml.safe_dump(relaxed)
    )
    assert "cannot be changed" in said(
        mallory, "patch", *about, "--type=merge", "-p", json.dumps({"spec": relaxed["spec"]})
    )
    ada = court.person("ada", "mesh7-admin")
    assert said(ada, "delete", *about) == ""


def test_a_no_is_taken_back_by_those_alone_who_may_say_it(court: Court) -> None:
    """Attack: a no is deleted before anybody has counted it."""
    mallory = court.person("mallory", "writer")
    jane = court.person("jane", "mesh7-approver")
    no = made(jane, court.answer(court.held(), effect="Deny"))["metadata"]["name"]
    assert "whoever takes back a no" in said(mallory, "delete", "grant", no, "-n", court.shop)
    yes = made(jane, court.answer(court.held()))["metadata"]["name"]
    assert said(mallory, "delete", "grant", yes, "-n", court.shop) == ""
    ada = court.person("ada", "mesh7-admin")
    assert said(ada, "delete", "grant", no, "-n", court.shop) == ""


def _grants(court: Court) -> list[Object]:
    """One of each kind: a yes, a no, a permission, a veto."""
    answers = [court.answer(court.held(), effect=effect) for effect in EFFECTS]
    veto = approvals.veto(court.shop, f"halt-{secrets.token_hex(4)}")
    return [*answers, _permission(court), veto]


def _permission(court: Court) -> Object:
    """A standing one that a policy lets be given."""
    rule = {
        "name": "ask", "tools": ["errands.*"], "action": "RequireApproval",
        "approval": {"grantable": {"maxDuration": "24h"}},
    }  # fmt: skip
    policy = {
        "apiVersion": names.API_VERSION,
        "kind": names.AGENT_POLICY,
        "metadata": {"name": "errands", "namespace": court.shop},
        "spec": {"selector": {}, "rules": [rule]},
    }
    court.cluster.apply(yaml.safe_dump(policy))
    ends_at = datetime.now(UTC) + timedelta(hours=12)
    ref = {"namespace": court.shop, "name": "errands"}
    return _standing(court, policyRef=ref, tools=["errands.*"], expiresAt=ends_at.isoformat())


def test_nobody_keeps_a_grant_that_others_take_back(court: Court) -> None:
    """Attack: a finalizer, so that what was deleted lingers and counts."""
    wanda = court.person("wanda", "wildcard")
    for grant in _grants(court):
        kept = {**grant, "metadata": {**grant["metadata"], "finalizers": [approvals.KEPT]}}
        assert "nothing keeps a Grant" in refusal(wanda, kept)
        name = made(wanda, grant)["metadata"]["name"]
        for who in (wanda, court.cluster.kubectl):
            for finalizer in (approvals.KEPT, "foregroundDeletion", "orphan"):
                told = approvals.finalized(who, court.shop, name, finalizer)
                assert "nothing keeps a Grant" in told
        how = ["--server-side", "--force-conflicts", "--field-manager=mallory"]
        text = yaml.safe_dump(kept)
        assert "nothing keeps a Grant" in said(wanda, "apply", *how, "-f", "-", stdin=text)
        status = json.dumps({"metadata": {"finalizers": [approvals.KEPT]}})
        about = ["grant", name, "-n", court.shop]
        said(court.controller, "patch", *about, "--subresource=status", "--type=merge",
             "-p", status)  # fmt: skip
        now = court.cluster.kubectl.json("get", *about)
        assert "finalizers" not in now["metadata"]


def test_a_finalizer_that_is_older_than_the_policy_can_be_taken_away(court: Court) -> None:
    ada = court.person("ada", "mesh7-admin")
    name = made(ada, _permission(court))["metadata"]["name"]
    approvals.keep(court, court.shop, name)
    # Another one each time: what came before the policy was in force is none that is added.
    others = (f"example.com/more-{number}" for number in itertools.count())

    def is_refused() -> bool:
        more = (approvals.KEPT, next(others))
        return "nothing keeps a Grant" in approvals.finalized(ada, court.shop, name, *more)

    until(is_refused, "the policy is in force again", timeout_s=60)
    about = ["grant", name, "-n", court.shop]
    assert said(ada, "label", *about, "a=b") == ""
    freed = '{"metadata": {"finalizers": null}}'
    assert said(ada, "patch", *about, "--type=merge", "-p", freed) == ""


@pytest.mark.parametrize("cascade", ["background", "foreground", "orphan"])
def test_a_grant_that_is_deleted_goes_however_it_is_deleted(court: Court, cascade: str) -> None:
    """The API server's own finalizers are set by no change, and the collector takes them away."""
    ada = court.person("ada", "mesh7-admin")
    found = [made(ada, grant)["metadata"]["name"] for grant in _grants(court)]
    ada("delete", "grant", *found, "-n", court.shop, f"--cascade={cascade}", "--wait=false")

    def left() -> set[str]:
        listed = court.cluster.kubectl.json("get", "grants", "-n", court.shop)["items"]
        return {one["metadata"]["name"] for one in listed}.intersection(found)

    until(lambda: not left(), "they are gone", timeout_s=90)


@pytest.mark.parametrize("role", ["wildcard", "writer", "mesh7-admin"])
def test_nobody_forges_a_request(court: Court, role: str) -> None:
    """Attack: people are shown another call than the one they approve."""
    mallory = court.person(f"mallory-{role}", role)
    admin, name = court.cluster.kubectl, court.held()["metadata"]["name"]
    forged = approvals.request_of(court.shop, "forged")
    about = ["approvalrequest", name, "-n", court.shop]
    status = ["--subresource=status", "--type=merge", "-p", '{"status": {"state": "Approved"}}']
    kept = json.dumps({"metadata": {"finalizers": [approvals.KEPT]}})
    for who in (mallory, admin):
        is_without_right = who is mallory and role == "mesh7-admin"
        refused = "forbidden" if is_without_right else "controller alone"
        assert refused in refusal(who, forged)
        assert refused in said(who, "patch", *about, *status)
        assert refused in said(who, "label", *about, "seen=yes")
        assert refused in said(who, "patch", *about, "--type=merge", "-p", kept)
        assert refused in said(who, "delete", *about)
        assert refused in said(who, "delete", "approvalrequests", "--all", "-n", court.shop)
    assert said(court.controller, "patch", *about, *status) == ""


@pytest.mark.parametrize("role", ["wildcard", "writer"])
def test_nobody_forges_a_status(court: Court, role: str) -> None:
    """Attack: a grant that looks as if it counted, a source that looks as if it were unchanged."""
    mallory = court.person(f"mallory-{role}", role)
    jane = court.person("jane", "mesh7-approver")
    grant = made(jane, court.answer(court.held()))["metadata"]["name"]
    forged = {"status": {"phase": "Active", "uses": 7}}
    patch = ["--subresource=status", "--type=merge", "-p"]
    about = ["grant", grant, "-n", court.shop]
    assert "controller alone" in said(mallory, "patch", *about, *patch, json.dumps(forged))
    policy = ["agentpolicy", "refunds", "-n", court.shop]
    bundle = json.dumps({"status": {"bundleVersion": 7}})
    assert "controller alone" in said(mallory, "patch", *policy, *patch, bundle)
    assert said(court.controller, "patch", *about, *patch, json.dumps(forged)) == ""


def test_answers_go_with_their_request(court: Court) -> None:
    """The cluster's garbage collector takes them, a no as well; it approves nothing."""
    jane = court.person("jane", "mesh7-approver")
    request = court.held()
    for effect in EFFECTS:
        made(jane, court.answer(request, effect=effect))
    name = request["metadata"]["name"]
    court.controller("delete", "approvalrequest", name, "-n", court.shop)

    def left() -> list[str]:
        found = court.cluster.kubectl("get", "grants", "-n", court.shop, "-o", "name")
        return [one for one in found.splitlines() if name in one]

    until(lambda: left() == [], "they are gone", timeout_s=60)


def test_a_namespace_goes_with_what_waits_in_it(court: Court) -> None:
    gone = controllers.enrol(court.cluster, court.cluster.new_namespace("gone"))
    request = approvals.request_of(gone, "r-1")
    made(court.controller, request)
    court.cluster.kubectl("delete", "namespace", gone, "--timeout=90s", timeout_s=100)
    with pytest.raises(KubectlError, match="NotFound"):
        court.cluster.kubectl("get", "namespace", gone)
