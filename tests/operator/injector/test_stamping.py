from typing import Any

import pytest

from mesh7_core.delivery import keys, stamps
from mesh7_operator.injector import reviews, stamping
from tests.operator.injector import asked

KEY = keys.SigningKey(b"\x07" * 32)


def _granted_by(verdict: reviews.Verdict) -> dict[str, Any]:
    assert isinstance(verdict, reviews.Allowed), verdict
    (change,) = verdict.patch
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
