"""A cluster as people's verbs want it: what is handed in, and what is told of it."""

import itertools
from collections.abc import Sequence

import pytest

from mesh7_cli import deciding, exits, reading, spelled
from mesh7_cli.approving.cluster import Cluster, Manner
from mesh7_cli.cluster.errors import ForbiddenError
from mesh7_cli.verbs import decide
from tests.cli.approving import worlds
from tests.cli.approving.worlds import ID, OTHER, Near, Object

Capture = pytest.CaptureFixture[str]
NAME = f"`{ID}`: billing.create_refund for shop/support"
BACK = f"`kubectl mesh7 revoke {ID}-refunds-n0 -n shop` (needs `delete` on grants) takes it back"
PATIENT = Manner(wait_s=30)
LACKING = (
    "ValidatingAdmissionPolicy 'mesh7-grants' with binding 'mesh7-grants' denied request: whoever "
    "grants needs the verb `approve` on that agentpolicy"
)


def cluster(kubectl: Near, manner: Manner = PATIENT, namespace: str | None = "shop") -> Cluster:
    """A backend whose names end in numbers."""
    numbers = itertools.count()
    return Cluster(kubectl, namespace, lambda: f"n{next(numbers)}", manner)


def said(verb: str, kubectl: Near, manner: Manner = PATIENT) -> str:
    """What a person reads on stdout."""
    asked = cluster(kubectl, manner)
    return deciding.said(verb, asked.decide(verb, ID, "fine"), asked.voice)


@pytest.mark.promise("C3")
def test_a_yes_that_suffices_is_told_as_on_a_laptop() -> None:
    """docs/reference/kubectl-mesh7.md: one implementation with two backends."""
    kubectl = Near([worlds.held()], said={"*": worlds.COUNTED}, after={ID: worlds.APPROVED})
    assert said("approve", kubectl) == f"approved {NAME} – usable once, until 2026-11-21T10:11:00Z"
    (grant,) = kubectl.made()
    assert grant["spec"]["requestRef"] == {"name": ID, "uid": f"uid-{ID}"}


def test_a_yes_that_needs_others_says_who_is_missing() -> None:
    """Design 6.4: `count` distinct people."""
    value = worlds.held(rules=[worlds.rule(count=3)])
    kubectl = Near([value], said={"*": worlds.COUNTED}, after={ID: worlds.waiting(worlds.said())})
    assert said("approve", kubectl) == (
        f"your yes is counted for {NAME} – still missing: 2 more by finance for `shop/refunds/big`"
        f"; {BACK}"
    )


def test_a_yes_counts_for_its_own_policy_alone() -> None:
    """Attack of issue 7: a baseline's approval through a tenant's policy of the same name."""
    rules = [worlds.rule(), worlds.rule("board")]
    kubectl = Near(
        [worlds.held(rules=rules)],
        said={"*": worlds.COUNTED},
        refused={"board": LACKING},
        after={ID: worlds.waiting(worlds.said())},
    )
    assert said("approve", kubectl) == (
        f"your yes is counted for {NAME} – still missing: 1 more by finance for `shop/board/big`"
        f"; {BACK}"
    )


def test_a_request_that_lags_behind_its_grants_is_not_called_approved() -> None:
    """The controller writes statuses one after the other; what is not said is not told."""
    value = worlds.held(rules=[worlds.rule(), worlds.rule("board")])
    lagging = {ID: worlds.waiting(worlds.said())}
    kubectl = Near([value], said={"*": worlds.COUNTED}, after=lagging)
    told = said("approve", kubectl, Manner(wait_s=0.001))
    assert told.startswith("your yes is handed in for ")


def test_a_no_is_told_at_once() -> None:
    """One no ends it."""
    denied = worlds.status(
        "Denied", "was denied by `jane` at …", decisions=[worlds.said(verdict="Deny")]
    )
    kubectl = Near([worlds.held()], said={"*": worlds.COUNTED}, after={ID: denied})
    assert said("deny", kubectl) == f"denied {NAME}"


@pytest.mark.promise("A6")
@pytest.mark.parametrize("word", ["Counted", "RequestClosed"])
def test_whoever_comes_second_is_told_who_was_first(word: str) -> None:
    """Issue 7: two approvers racing approve and deny; the first wins, the second is told."""
    fates = {
        "Counted": worlds.COUNTED,
        "RequestClosed": worlds.fate(
            "False", word, f"request `{ID}` was denied by `bob` at 2026-11-21T10:00:30Z", "Refused"
        ),
    }
    kubectl = Near([worlds.held()], said={"*": fates[word]}, after={ID: worlds.DENIED})
    with pytest.raises(exits.RefusedError) as told:
        cluster(kubectl).decide("approve", ID, "")
    assert told.value.message == f"request `{ID}` was denied by `bob` at 2026-11-21T10:00:30Z"


def test_a_refusal_of_the_controller_is_told_in_its_words() -> None:
    """Issue 7: status and condition say why a grant was refused."""
    why = "`jane` is in none of the groups that policy `shop/refunds` asks: `finance`"
    kubectl = Near([worlds.held()], said={"*": worlds.fate("False", "NotInGroups", why, "Refused")})
    with pytest.raises(exits.RefusedError, match="`jane` is in none of the groups"):
        cluster(kubectl).decide("approve", ID, "")


@pytest.mark.promise("A12")
def test_bob_who_may_not_is_told_by_name_what_is_missing() -> None:
    """Issue 7: bob is refused by name."""
    kubectl = Near([worlds.held()], person="bob", refused={"refunds": LACKING})
    with pytest.raises(ForbiddenError) as told:
        cluster(kubectl).decide("approve", ID, "")
    assert told.value.message == (
        "`bob` may not approve for policy `shop/refunds`: the verb `approve` on it is missing, as "
        "`kubectl auth can-i approve agentpolicies.mesh7.dev/refunds -n shop` says – have an "
        "administrator bind ClusterRole `mesh7-approver` (kubectl create rolebinding in `shop`)"
    )
    assert kubectl.made() == []


def test_whoever_has_the_verb_is_told_what_else_admission_refused() -> None:
    """Nothing is made up about why: the API server's own words."""
    kubectl = Near([worlds.held()], may=True, refused={"refunds": "accounts of agents may not"})
    with pytest.raises(ForbiddenError, match="accounts of agents may not"):
        cluster(kubectl).decide("approve", ID, "")


def test_what_one_policy_forbids_is_a_note_where_another_lets_the_person_answer(
    capsys: Capture,
) -> None:
    """Brief: try all; a Forbidden is told with who, what, and which verb is missing."""
    value = worlds.held(rules=[worlds.rule(), worlds.rule("board")])
    kubectl = Near(
        [value],
        said={"*": worlds.COUNTED},
        refused={"board": LACKING},
        after={ID: worlds.waiting(worlds.said())},
    )
    assert decide.run(cluster(kubectl), "approve", [ID], "") == exits.Exit.OK
    assert capsys.readouterr().err.startswith(
        "mesh7: `jane` may not approve for policy `shop/board`"
    )


@pytest.mark.parametrize(
    "fate", [None, worlds.fate("Unknown", "StoreLost", "Redis is away", "Pending")]
)
def test_while_nobody_answers_the_person_is_told_how_to_look(fate: Object | None) -> None:
    """Brief: if nothing is said in time it was handed in, and how to look."""
    kubectl = Near([worlds.held()], said={"*": fate} if fate else {})
    assert said("approve", kubectl, Manner(wait_s=0.001)) == (
        f"your yes is handed in for {NAME}, and not answered yet – see `kubectl mesh7 show {ID} "
        f"-n shop`; {BACK}"
    )


def test_without_waiting_nothing_is_asked_after_the_grant() -> None:
    """`--wait=false`."""
    kubectl = Near([worlds.held()])
    assert said("deny", kubectl, Manner(wait_s=0)).startswith("your no is handed in for ")
    assert [one[0] for one in kubectl.calls] == ["get", "create"]


def test_a_grant_that_is_gone_before_it_was_answered_is_an_error() -> None:
    """Somebody deleted it, or the request with it."""

    class Losing(Near):
        def ran(
            self, *arguments: str, stdin: str | None = None, requests: int = 1
        ) -> tuple[int, str, str]:
            found = super().ran(*arguments, stdin=stdin, requests=requests)
            if arguments[0] == "create":
                self.world["objects"].pop()
            return found

    with pytest.raises(Exception, match="was deleted before the controller answered"):
        cluster(Losing([worlds.held()])).decide("approve", ID, "")


def test_a_closed_request_is_refused_and_nothing_is_handed_in() -> None:
    """The Grant could come to nothing."""
    kubectl = Near([worlds.held() | {"status": worlds.DENIED}])
    with pytest.raises(exits.RefusedError, match="was denied by `bob`"):
        cluster(kubectl).decide("approve", ID, "")
    assert kubectl.made() == []


@pytest.mark.promise("A5")
@pytest.mark.parametrize(
    "begun", ["r-", ID[:-1], ID.upper(), f"{ID}x", "..", f"{ID}/status", "%2e"]
)
def test_what_is_not_a_whole_name_decides_nothing_and_names_near_ones(begun: str) -> None:
    """D11 of flux7-mesh, on the cluster: a prefix decides nothing, a path reaches nothing else."""
    kubectl = Near([worlds.held()])
    with pytest.raises(exits.UnknownError) as told:
        cluster(kubectl).decide("approve", begun, "")
    assert told.value.message.startswith(f"there is no request `{begun}` – ")
    assert kubectl.made() == []


def test_a_long_list_is_asked_page_by_page() -> None:
    """Thousands wait in many namespaces."""
    values = [worlds.held(f"r-{number:03d}", f"n{number}") for number in range(7)]
    kubectl = Near(values, page=3)
    found = cluster(kubectl, namespace=None).requests("open")
    assert [one["id"] for one in found] == [f"r-{number:03d}" for number in range(7)]
    assert [one[-1] for one in kubectl.calls] == [
        "/apis/mesh7.dev/v1alpha1/approvalrequests?limit=2000",
        "/apis/mesh7.dev/v1alpha1/approvalrequests?limit=2000&continue=3",
        "/apis/mesh7.dev/v1alpha1/approvalrequests?limit=2000&continue=6",
    ]


def test_two_thousand_that_wait_are_one_question() -> None:
    """Issue 7: 2,000 pending across 100 namespaces list in 2 s; each question is a kubectl."""
    values = [worlds.held(f"r-{at:04d}", f"n{at % 100}") for at in range(2000)]
    kubectl = Near(values, page=2000)
    assert len(cluster(kubectl, namespace=None).requests("open")) == len(values)
    assert len(kubectl.calls) == 1


def test_open_ones_are_those_that_wait_for_people_or_for_their_use() -> None:
    """docs/reference/control-api.md."""
    values = [
        worlds.held(f"r-{state.lower()}") | {"status": worlds.status(state, "…")}
        for state in ("Pending", "Approved", "Denied", "Expired", "Withdrawn", "Used", "Lapsed")
    ]
    kubectl = Near(values)
    assert [one["id"] for one in cluster(kubectl).requests("open")] == ["r-approved", "r-pending"]
    assert len(cluster(kubectl).requests("all")) == len(values)


_LOOKED_AT = {"ranBefore", "answers", "arguments"}


def test_a_request_is_the_laptops_object_with_what_only_a_cluster_knows() -> None:
    """docs/reference/control-api.md, and numbers as they were spelled."""
    ran = worlds.held(OTHER) | {
        "status": worlds.status("Used", "…", outcome="HTTP 200", decisions=[worlds.said()])
    }
    value = worlds.held(rules=[worlds.rule(count=2)]) | {"status": worlds.waiting(worlds.said())}
    kubectl = Near([value, ran, worlds.answer("g-1"), worlds.granted()])
    found = cluster(kubectl).request(ID)
    (before,) = reading.objects(found, "ranBefore")
    (handed,) = reading.objects(found, "answers")
    assert (before["id"], before["outcome"]) == (OTHER, "HTTP 200")
    assert (handed["name"], handed["by"], handed["phase"]) == ("g-1", "jane", "Active")
    assert spelled.compact(found["arguments"]) == '{"amount":900,"id":1.10}'
    left = {key: value for key, value in found.items() if key not in _LOOKED_AT}
    assert left == {
        "id": ID, "namespace": "shop", "state": "pending", "tool": "billing.create_refund",
        "source": {"name": "billing", "kind": "http", "host": "api.example", "path": "/live"},
        "agent": "shop/support", "pod": "support-7d9f", "argumentsCutFrom": None,
        "uid": f"uid-{ID}", "unseen": False,
        "rules": [worlds.rule(count=2) | {"approvedBy": ["jane"]}],
        "openedAt": worlds.OPENED, "expiresAt": "2999-01-01T00:00:00Z", "usableUntil": None,
        "definition": f"sha256:{'1' * 64}", "digest": worlds.DIGEST,
        "decisions": [
            {
                "person": "jane", "name": "jane", "groups": ["finance"], "verdict": "approve",
                "reason": "fine", "at": "2026-11-21T10:01:00Z",
            }
        ],
        "outcome": "", "pending": 1, "waiting": None, "traceId": "4bf9",
    }  # fmt: skip


def test_a_request_that_the_release_before_mirrored_says_nothing_of_its_source() -> None:
    """An ApprovalRequest lasts a day; an update comes between."""
    before = worlds.held()
    del before["spec"]["source"]
    assert cluster(Near([before])).request(ID)["source"] is None


def test_grants_may_be_hidden_and_the_request_is_shown_all_the_same() -> None:
    """A person with few rights sees part of the picture."""
    kubectl = Near([worlds.held()], forbidden=["list grants", "list approvalrequests"])
    assert cluster(kubectl).request(ID)["answers"] == []


def test_standing_grants_are_listed_and_answers_only_where_they_are_asked_for() -> None:
    """docs/reference/kubectl-mesh7.md, grants."""
    kubectl = Near([worlds.granted(), worlds.answer("g-1")])
    names = [one["name"] for one in cluster(kubectl).grants()]
    every = cluster(kubectl, Manner(has_answers=True)).grants()
    assert (names, [one["name"] for one in every]) == (["hand-abcde"], ["g-1", "hand-abcde"])
    (shown,) = cluster(kubectl).grants()
    assert shown == {
        "name": "hand-abcde", "id": "shop/hand-abcde", "namespace": "shop", "effect": "Allow",
        "tools": ["billing.create_refund"], "agent": "support", "pod": None,
        "policy": "shop/refunds", "when": None, "expiresAt": "2999-01-01T00:00:00Z", "maxUses": 5,
        "used": 2, "reason": "INC-1", "by": "ann", "madeAt": "2026-11-21T10:00:00Z",
        "from": "hand", "request": None, "phase": "Active", "why": None,
    }  # fmt: skip


def wish(**changed: object) -> Object:
    """A permission for half an hour."""
    return {
        "tool": "billing.create_refund", "forSeconds": 1800, "uses": 5, "when": None,
        "reason": "INC-1", "agent": "support", "policy": None,
    } | changed  # fmt: skip


VALID = worlds.fate("True", "Valid", "it is valid", "Active")


def test_a_permission_names_the_one_policy_that_asks() -> None:
    """Brief: the one asking policy in the namespace whose rules match."""
    kubectl = Near([worlds.policy()], said={"*": VALID})
    made = cluster(kubectl).grant(wish())
    assert (made["policy"], made["phase"], "note" in made) == ("shop/refunds", "Active", False)
    (stored,) = kubectl.made()
    assert stored["spec"]["subject"] == {"serviceAccount": "support"}
    assert stored["spec"]["maxUses"] == 5
    assert stored["metadata"]["name"] == "hand-n0"


def test_a_permission_for_a_pod_is_for_that_one() -> None:
    """Grant: exactly one of `serviceAccount` and `pod`."""
    pod = worlds.namespaced("Pod", "support-7d9f", spec={"serviceAccountName": "support"})
    kubectl = Near([worlds.policy(), pod], said={"*": VALID})
    cluster(kubectl).grant(wish(agent=None, pod="support-7d9f"))
    assert kubectl.made()[0]["spec"]["subject"] == {"pod": "support-7d9f"}
    with pytest.raises(exits.UnknownError, match="there is no pod `gone` in namespace `shop`"):
        cluster(kubectl).grant(wish(agent=None, pod="gone"))


@pytest.mark.parametrize(
    ("policies", "changed", "why"),
    [
        (["a", "b"], {}, "policies `shop/a` and `shop/b` ask about `billing.create_refund`, name"),
        (["a"], {"forSeconds": 7200}, "rule `shop/a/big` lets a grant last 1h at most"),
        ([], {}, "no rule asks people about `billing.create_refund`"),
        (["a"], {"policy": "shop/b"}, "no policy `shop/b` bears on the agent"),
    ],
)
def test_what_cannot_be_granted_is_refused_before_anything_is_handed_in(
    policies: Sequence[str], changed: Object, why: str
) -> None:
    """The laptop's words, by the compiler's own drafts."""
    kubectl = Near([worlds.policy(name) for name in policies])
    with pytest.raises(exits.RefusedError, match=why.replace("(", "\\(")):
        cluster(kubectl).grant(wish(**changed))
    assert kubectl.made() == []


def test_policies_that_cannot_be_seen_are_said() -> None:
    """Never guessed."""
    kubectl = Near([worlds.policy()], forbidden=["list agentpolicies"])
    with pytest.raises(exits.RefusedError, match="`jane` may not list agentpolicies"):
        cluster(kubectl).grant(wish())


def test_a_standing_grant_that_is_not_in_force_says_why_and_how_to_take_it_away() -> None:
    """Issue 7: status and condition say why a grant was refused."""
    fate = worlds.fate("False", "OverlayTooLarge", "the grants are too many", "Refused")
    kubectl = Near([worlds.policy()], said={"*": fate})
    with pytest.raises(exits.RefusedError) as told:
        cluster(kubectl).grant(wish())
    assert told.value.message == (
        "`hand-n0` is not in force: the grants are too many – `kubectl mesh7 revoke hand-n0 -n "
        "shop` (needs `delete` on grants) takes it away"
    )


def test_a_kill_stops_every_call_and_notes_a_name_that_nobody_has() -> None:
    """docs/reference/kubectl-mesh7.md, kill."""
    account = worlds.namespaced("ServiceAccount", "support")
    kubectl = Near([account], said={"*": VALID})
    assert "note" not in cluster(kubectl).kill("support", "it loops")
    made = cluster(kubectl).kill("suport", "")
    assert made["note"] == (
        "there is no service account `suport` in namespace `shop` – is it spelled as `kubectl "
        "mesh7 requests -n shop` shows agents?"
    )
    assert [one["spec"]["subject"] for one in kubectl.made()] == [
        {"serviceAccount": "support"}, {"serviceAccount": "suport"},
    ]  # fmt: skip
    cluster(kubectl).kill(None, "")
    assert kubectl.made()[-1]["spec"]["subject"] == {}


def test_a_kill_that_no_controller_has_seen_says_so() -> None:
    """It is stored, and nobody knows yet whether sidecars have it."""
    made = cluster(Near([]), Manner(wait_s=0.001)).kill(None, "")
    assert made["note"] == ("no controller has answered yet – see `kubectl mesh7 grants -n shop`")


@pytest.mark.parametrize(("dry_run", "left"), [("", 0), ("none", 0), ("client", 1), ("server", 1)])
def test_a_revoked_grant_is_deleted_but_not_in_a_dry_run(dry_run: str, left: int) -> None:
    """docs/reference/kubectl-mesh7.md, revoke."""
    kubectl = Near([worlds.granted()])
    was = cluster(kubectl, Manner(dry_run=dry_run)).revoke("hand-abcde")
    assert (was["name"], len(kubectl.made())) == ("hand-abcde", left)


def test_an_answer_is_taken_back_only_while_its_call_waits() -> None:
    """The controller counts no Grant that is gone; what was decided stays decided."""
    kubectl = Near([worlds.held(), worlds.answer("g-1")])
    assert cluster(kubectl).revoke("g-1")["request"] == ID
    decided = Near([worlds.held() | {"status": worlds.APPROVED}, worlds.answer("g-1")])
    with pytest.raises(exits.RefusedError, match="what was decided stays decided"):
        cluster(decided).revoke("g-1")
    assert len(decided.made()) == 1
