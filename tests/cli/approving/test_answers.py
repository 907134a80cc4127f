"""A yes or a no as the Grants that say it."""

import pytest

from mesh7_cli.approving import answers
from mesh7_cli.backend import Pin
from tests.cli.approving import worlds
from tests.cli.approving.worlds import ID, Object

LONG: Object = {"arguments": '{"a":"… [… 90000 of 100000 cut out …]', "argumentsSize": 100_000}


def made(verb: str, value: Object, reason: str = "", *, unseen: bool = False) -> list[Object]:
    """The Grants, named by numbers."""
    numbers = iter(range(100))
    return answers.manifests(verb, value, reason, lambda: f"n{next(numbers)}", unseen=unseen)


def objected(verb: str, value: Object, *, unseen: bool = False) -> str:
    """The objection's words; empty = none."""
    found = answers.objection(verb, value, unseen=unseen)
    return "" if found is None else found.message


@pytest.mark.promise("A1")
@pytest.mark.parametrize(("verb", "effect"), [("approve", "Allow"), ("deny", "Deny")])
def test_an_answer_is_bound_to_the_one_call_that_was_shown(verb: str, effect: str) -> None:
    """Design 6.4: name, uid, digest, pod and the policy whose rules are answered."""
    assert made(verb, worlds.held(), "INC-1") == [
        {
            "apiVersion": "mesh7.dev/v1alpha1",
            "kind": "Grant",
            "metadata": {"name": f"{ID}-refunds-n0", "namespace": "shop"},
            "spec": {
                "effect": effect,
                "subject": {"pod": "support-7d9f"},
                "requestRef": {"name": ID, "uid": f"uid-{ID}"},
                "digest": worlds.DIGEST,
                "policyRef": {"namespace": "shop", "name": "refunds"},
                "reason": "INC-1",
            },
        }
    ]


def test_each_policy_that_asks_is_answered_once() -> None:
    """Issue 7: a yes given through one policy says nothing for another of any namespace."""
    rules = [worlds.rule("a"), worlds.rule("a"), worlds.rule("b"), {"rule": "mesh7-system/a/x"}]
    found = made("approve", worlds.held(rules=rules))
    assert [(one["metadata"]["name"], one["spec"]["policyRef"]) for one in found] == [
        (f"{ID}-a-n0", {"namespace": "shop", "name": "a"}),
        (f"{ID}-b-n1", {"namespace": "shop", "name": "b"}),
        (f"{ID}-a-n2", {"namespace": "mesh7-system", "name": "a"}),
    ]


def test_a_name_stays_one_however_long_the_policys_is() -> None:
    """Names of objects end in a letter or digit before a hyphen, and have 253 characters."""
    (found,) = made("approve", worlds.held(rules=[worlds.rule(f"{'p' * 23}-{'q' * 39}")]))
    assert found["metadata"]["name"] == f"{ID}-{'p' * 23}-n0"


def test_unseen_is_said_of_a_yes_to_what_was_cut_and_of_nothing_else() -> None:
    """Design 6.4: a yes without having seen all must say so; a no needs not."""
    cut, whole = worlds.held(**LONG), worlds.held()
    spoken = [
        "unseen" in made(verb, value, unseen=True)[0]["spec"]
        for verb in ("approve", "deny")
        for value in (cut, whole)
    ]
    assert spoken == [True, False, False, False]


def test_cut_arguments_are_approved_only_by_whoever_says_unseen() -> None:
    """Design 6.4."""
    cut = worlds.held(**LONG)
    assert objected("approve", cut) == (
        f"request `{ID}`: not all of the arguments can be shown: of 100,000 bytes only head, "
        f"tail, size and digest were kept – look at what there is with `kubectl mesh7 show {ID} "
        "-n shop`; a yes is for all of it, and needs --unseen"
    )
    assert (objected("approve", cut, unseen=True), objected("deny", cut)) == ("", "")


@pytest.mark.promise("A11")
def test_an_http_body_that_nobody_saw_is_approved_only_by_whoever_says_unseen() -> None:
    """An attack: a short card, and a body that stands there by its digest alone."""
    short = worlds.held(unseen=True)
    assert objected("approve", short) == (
        f"request `{ID}`: not all that is forwarded can be shown: the body is long, is no text, or "
        "nothing could be hidden from it apart – look at what there is with `kubectl mesh7 show "
        f"{ID} -n shop`; a yes is for all of it, and needs --unseen"
    )
    assert (objected("approve", short, unseen=True), objected("deny", short)) == ("", "")
    assert made("approve", short, unseen=True)[0]["spec"]["unseen"] is True


@pytest.mark.promise("A1")
@pytest.mark.parametrize(
    ("pin", "is_other"),
    [
        (Pin(), False),
        (Pin(uid=f"uid-{ID}", digest=worlds.DIGEST), False),
        (Pin(digest=worlds.DIGEST), False),
        (Pin(uid="uid-of-another", digest=worlds.DIGEST), True),
        (Pin(uid=f"uid-{ID}", digest=f"sha256:{'3' * 64}"), True),
        (Pin(digest=f"sha256:{'3' * 64}"), True),
    ],
)
def test_an_id_that_was_used_again_is_no_longer_what_was_looked_at(
    pin: Pin, *, is_other: bool
) -> None:
    """An attack: pushed out between `show` and `approve`, and opened anew for another call."""
    found = answers.mistaken(worlds.held(), pin)
    assert ("" if found is None else found.message) == (
        f"request `{ID}` is for another call than the one that was looked at, nothing is said to "
        f"it – look at what it is now with `kubectl mesh7 show {ID} -n shop`"
        if is_other
        else ""
    )


def test_what_closed_is_told_in_the_controllers_words() -> None:
    """Issue 7: the second is told who decided first."""
    value = worlds.held() | {"status": worlds.DENIED}
    assert objected("approve", value) == (
        f"request `{ID}` was denied by `bob` at 2026-11-21T10:00:30Z"
    )
    bare = worlds.held() | {"status": {"state": "Lapsed"}}
    assert objected("deny", bare) == f"request `{ID}` is lapsed already"


def test_a_new_request_that_has_no_status_yet_can_be_answered() -> None:
    """Its status is written a moment after it."""
    value = worlds.held()
    del value["status"]
    assert objected("approve", value) == ""


def test_a_request_without_rules_is_answered_by_nobody() -> None:
    """No Grant could name the policy that it is for."""
    assert objected("approve", worlds.held(rules=[{"rule": "odd"}])) == (
        f"request `{ID}` names no rule that asks – see its `spec.rules`"
    )
