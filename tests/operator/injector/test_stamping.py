from typing import Any

import pytest

from mesh7_core import names
from mesh7_core.delivery import keys, stamps
from mesh7_operator.injector import reviews, stamping
from tests.operator.injector import asked

KEY = keys.SigningKey(b"\x07" * 32)
REQUEST = {
    "apiVersion": names.API_VERSION, "kind": "ApprovalRequest", "name": "7f3k", "uid": "r-1",
}  # fmt: skip


def _granted_by(verdict: reviews.Verdict) -> dict[str, Any]:
    assert isinstance(verdict, reviews.Allowed), verdict
    change = verdict.patch[0]
    assert (change["op"], change["path"]) == ("add", "/spec/grantedBy")
    value = change["value"]
    assert isinstance(value, dict)
    return value


def test_a_grant_says_who_made_it_and_carries_a_stamp() -> None:
    value = asked.grant()
    granted_by = _granted_by(stamping.stamp(asked.review(value), asked.policy(), KEY))
    assert {**granted_by, "stamp": ""} == {
        "username": "jane", "uid": "u-1", "groups": ["finance"], "stamp": "",
    }  # fmt: skip
    stored = {**value, "spec": {**value["spec"], "grantedBy": granted_by}}
    assert stamps.is_stamped(stored, [KEY.public])


def test_groups_that_no_rule_names_are_nobodys_business() -> None:
    """Design 6.4: the webhook keeps only groups the rules name."""
    value = asked.grant()
    assert "groups" not in _granted_by(stamping.stamp(asked.review(value), None, KEY))


def test_what_was_written_there_is_overwritten() -> None:
    forged = asked.grant(grantedBy={"username": "boss", "groups": ["finance"], "stamp": "x"})
    granted_by = _granted_by(stamping.stamp(asked.review(forged), asked.policy(), KEY))
    assert granted_by["username"] == "jane"
    stored = {**forged, "spec": {**forged["spec"], "grantedBy": granted_by}}
    assert stamps.is_stamped(stored, [KEY.public])


def test_a_veto_says_who_made_it_and_needs_no_stamp() -> None:
    veto = asked.grant(effect="Deny", grantedBy={"username": "boss"})
    granted_by = _granted_by(stamping.stamp(asked.review(veto), None, None))
    assert granted_by == {"username": "jane", "uid": "u-1"}


def test_a_name_that_is_yet_to_be_made_up_cannot_be_stamped() -> None:
    value = asked.grant()
    del value["metadata"]["name"]
    verdict = stamping.stamp(asked.review(value), asked.policy(), KEY)
    assert isinstance(verdict, reviews.Refused)
    assert [one.path for one in verdict.causes] == ["metadata.name"]


@pytest.mark.promise("A12")
@pytest.mark.parametrize("effect", ["Allow", "Deny"])
def test_an_answer_to_a_held_call_is_stamped_whatever_it_says(effect: str) -> None:
    """Issue 7: a no ends what others say yes to, so nobody may forge it either."""
    value = asked.answer(effect=effect, grantedBy={"username": "boss", "groups": ["finance"]})
    granted_by = _granted_by(stamping.stamp(asked.review(value), asked.policy(), KEY))
    assert {**granted_by, "stamp": ""} == {
        "username": "jane", "uid": "u-1", "groups": ["finance"], "stamp": "",
    }  # fmt: skip
    stored = {**value, "spec": {**value["spec"], "grantedBy": granted_by}}
    assert stamps.is_stamped(stored, [KEY.public])


def _owners(value: dict[str, Any]) -> list[Any]:
    verdict = stamping.stamp(asked.review(value), asked.policy(), KEY)
    assert isinstance(verdict, reviews.Allowed)
    return [one for one in verdict.patch if one["path"] != "/spec/grantedBy"]


def test_an_answer_goes_with_its_request() -> None:
    value = asked.answer()
    place = "/metadata/ownerReferences"
    assert _owners(value) == [{"op": "add", "path": place, "value": [REQUEST]}]
    value["metadata"]["ownerReferences"] = [{**REQUEST, "uid": "another"}]
    assert _owners(value) == [{"op": "add", "path": f"{place}/-", "value": REQUEST}]


def test_an_answer_that_goes_with_its_request_already_is_asked_about_again() -> None:
    """Another webhook changed something (`reinvocationPolicy: IfNeeded`)."""
    value = asked.answer()
    value["metadata"]["ownerReferences"] = [{**REQUEST, "controller": True}]
    assert _owners(value) == []


@pytest.mark.parametrize("ref", [7, {}, {"name": "7f3k"}, {"name": [], "uid": {}}])
def test_a_reference_to_no_request_crashes_nothing(ref: object) -> None:
    assert _owners(asked.answer(requestRef=ref)) == []


def test_a_standing_grant_belongs_to_no_request() -> None:
    assert _owners(asked.grant()) == []


def test_an_answer_without_a_name_of_its_own_cannot_be_stamped() -> None:
    """Attack of issue 7: `generateName`, whose outcome nobody had seen."""
    value = asked.answer(effect="Deny")
    value["metadata"] = {"generateName": "7f3k-", "namespace": asked.SHOP}
    verdict = stamping.stamp(asked.review(value), asked.policy(), KEY)
    assert isinstance(verdict, reviews.Refused)
    assert [one.path for one in verdict.causes] == ["metadata.name"]


def test_a_policy_of_elsewhere_is_nobodys_to_approve() -> None:
    """Attack: a policy of a namespace where somebody is the administrator."""
    value = asked.answer(policyRef={"namespace": "mallorys", "name": "support"})
    verdict = stamping.without_policy(asked.review(value), asked.RELEASE)
    assert isinstance(verdict, reviews.Refused)
    assert [one.path for one in verdict.causes] == ["spec.policyRef"]


def test_a_grant_that_names_no_policy_gets_no_stamp_and_is_left_to_the_schema() -> None:
    found = _granted_by(stamping.without_policy(asked.review(asked.answer(policyRef=None)), "m"))
    assert "stamp" not in found


@pytest.mark.promise("A12")
@pytest.mark.parametrize("effect", ["Allow", "Deny"])
def test_an_account_that_answers_a_held_call_is_looked_into(effect: str) -> None:
    """Design 6.4: who asks cannot approve; and says no to nothing that people decide."""
    maker = {"username": "system:serviceaccount:shop:support"}
    found = asked.review(asked.answer(effect=effect), userInfo=maker)
    assert stamping.account_namespace(found) == "shop"


@pytest.mark.parametrize(
    ("username", "effect", "namespace"),
    [
        ("jane", "Allow", ""),
        ("system:serviceaccount:shop:support", "Allow", "shop"),
        ("system:serviceaccount:shop:support", "Deny", ""),
        ("system:serviceaccounts:shop", "Allow", ""),
    ],
)
def test_only_accounts_that_permit_something_are_looked_into(
    username: str, effect: str, namespace: str
) -> None:
    found = asked.review(asked.grant(effect=effect), userInfo={"username": username})
    assert stamping.account_namespace(found) == namespace
