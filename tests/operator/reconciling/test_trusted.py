"""Which keys a new guarded pod may begin with: an annotation that keeps up with rotations."""

import base64
from dataclasses import replace

import pytest

from mesh7_core import names
from mesh7_core.delivery import keys
from mesh7_operator.cluster import signing
from mesh7_operator.reconciling import trusted
from mesh7_operator.reconciling.reconcile import reconcile
from mesh7_operator.reconciling.world import Keys, Release
from tests.operator.reconciling import worlds

SETTLED = worlds.settled(worlds.world())


def _keyrings(count: int) -> list[signing.Keyring]:
    numbers = iter(range(1, 100))

    def random(size: int) -> bytes:
        return bytes([next(numbers)]) * size

    found = [signing.new_keyring(random)]
    while len(found) < count:
        found.append(signing.rotated(found[-1], random))
    return found


def _keys(keyring: signing.Keyring) -> Keys:
    return Keys(signer=keyring.current, links=keyring.links)


def _spelled(key: keys.SigningKey) -> str:
    return base64.b64encode(key.public).decode()


def test_the_next_key_and_todays_and_those_before_it_are_said() -> None:
    """`mesh7_core.names`: an injector may know of a rotation before, or after, Namespaces do."""
    first, second, third = _keyrings(3)
    chain = (third.following, third.current, second.current, first.current)
    assert trusted.written(_keys(third)) == " ".join(map(_spelled, chain))


def test_after_a_rotation_the_key_of_today_was_said_before() -> None:
    """No pod is refused for the round that it takes to reach every Namespace."""
    first, second = _keyrings(2)
    assert _spelled(second.current) in trusted.written(_keys(first)).split()
    assert _spelled(first.current) in trusted.written(_keys(second)).split()


def test_a_rotation_writes_them_anew() -> None:
    """docs/administrator/backstops.md."""
    _, second = _keyrings(2)
    plan = reconcile(replace(SETTLED, keys=_keys(second)))
    assert plan.annotations[names.TRUST_KEYS_ANNOTATION] == trusted.written(_keys(second))


@pytest.mark.parametrize("found", [None, "", "bWluZQ=="])
def test_what_somebody_made_of_them_is_put_right(found: str | None) -> None:
    """And nothing else is written for it."""
    others = {k: v for k, v in SETTLED.annotations.items() if k != names.TRUST_KEYS_ANNOTATION}
    there = others if found is None else {**others, names.TRUST_KEYS_ANNOTATION: found}
    plan = reconcile(replace(SETTLED, annotations=there))
    assert plan.annotations == {names.TRUST_KEYS_ANNOTATION: trusted.written(worlds.KEYS)}
    assert (plan.publish, plan.config_map, plan.statuses) == ((), None, ())


@pytest.mark.promise("K15")
def test_authorities_that_a_new_pod_may_believe_are_said_beside_the_keys() -> None:
    """Attack: with the webhooks gone a pod brings an authority of its own, and a false exchange."""
    knowing = replace(SETTLED, release=Release(accepted=("one\n", "two\n")))
    assert trusted.change(knowing) == {names.AUTHORITIES_ANNOTATION: "one\ntwo\n"}
    said = {**SETTLED.annotations, names.AUTHORITIES_ANNOTATION: "one\ntwo\n"}
    assert trusted.change(replace(knowing, annotations=said)) == {}
    forged = {**said, names.AUTHORITIES_ANNOTATION: "mine\n"}
    assert trusted.change(replace(knowing, annotations=forged)) == trusted.change(knowing)
    gone = trusted.change(replace(knowing, annotations=said, is_enrolled=False))
    assert gone[names.AUTHORITIES_ANNOTATION] is None


def test_a_namespace_that_was_never_enrolled_is_left_alone() -> None:
    plan = reconcile(worlds.world(is_enrolled=False))
    assert plan.annotations == {}
