"""Who a namespace's sidecars are in Redis, and for how long."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_operator.store import passwords
from mesh7_operator.store.passwords import Owner
from tests.operator.store.parts import MASTER, NOW

_NAMESPACES = st.from_regex(r"\A[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")


def test_controller_and_exchange_come_to_the_same_password() -> None:
    """HMAC-SHA256 over purpose, namespace and generation; the value is that of openssl."""
    assert passwords.password(b"k" * 32, Owner("shop", 82_909)) == (
        "afVyW_0yHbn6UPkk7A3mQTNhdaOZ6IEf3UJUr5tq_S8"
    )


@pytest.mark.promise("K14")
@given(one=_NAMESPACES, other=_NAMESPACES, generation=st.integers(0, 10**6))
def test_no_two_users_share_a_password(one: str, other: str, generation: int) -> None:
    owners = {
        Owner(one, generation), Owner(other, generation), Owner(one, generation + 1),
    }  # fmt: skip
    assert len({passwords.password(MASTER, owner) for owner in owners}) == len(owners)
    assert len({passwords.user_name(owner) for owner in owners}) == len(owners)


@given(namespace=_NAMESPACES, generation=st.integers(0, 10**15))
def test_a_user_name_says_whose_it_is(namespace: str, generation: int) -> None:
    owner = Owner(namespace, generation)
    assert passwords.owner_of(passwords.user_name(owner)) == owner


@pytest.mark.parametrize(
    "name",
    ["default", "mesh7-shop", "m7-shop", "m7-operator", "m7--1", "m7-shop-", "m7-shop-01",
     "m7-Shop-1", "x-m7-shop-1", "m7-shop-1 ", "m7-shop-\u0661"],
)  # fmt: skip
def test_other_names_are_nobodys_of_ours(name: str) -> None:
    assert passwords.owner_of(name) is None


@pytest.mark.promise("K14")
@given(
    now=st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    uid=st.uuids(),
)
def test_a_credential_works_for_six_to_twelve_hours_and_is_renewed_in_time(
    now: datetime, uid: object
) -> None:
    found = passwords.credential(MASTER, "shop", str(uid), now)
    assert timedelta(hours=6) < found.expires_at - now <= timedelta(hours=12)
    assert now < found.renew_at
    assert found.expires_at - found.renew_at >= timedelta(hours=3)
    next_one = passwords.credential(MASTER, "shop", str(uid), found.renew_at)
    assert next_one.user != found.user, "who comes when told gets another one"
    owner = passwords.owner_of(found.user)
    for later in (now, found.expires_at - timedelta(seconds=1)):
        assert owner is not None
        assert owner.generation in passwords.kept_generations(later)
    assert owner is not None
    assert owner.generation not in passwords.kept_generations(found.expires_at)


def test_a_password_is_not_shown() -> None:
    found = passwords.credential(MASTER, "shop", "uid", NOW)
    assert found.password not in repr(found)
