"""What other programs mount: which keys are trusted, and who gets into the release's Redis."""

import base64
import re
from pathlib import Path

from mesh7_core.delivery import keys
from mesh7_operator.cluster import furniture, signing
from mesh7_operator.reconciling.world import Keys
from mesh7_operator.store import rules

DOCS = Path(__file__).parents[3] / "docs" / "administrator"


def counted() -> signing.Randomness:
    numbers = iter(range(1, 100))
    return lambda size: bytes([next(numbers)]) * size


def of(keyring: signing.Keyring) -> Keys:
    return Keys(signer=keyring.current, links=keyring.links)


def spelled(key: keys.SigningKey) -> str:
    return base64.b64encode(key.public).decode()


def test_the_key_of_today_and_those_before_it_are_trusted_and_the_next_one_is_not() -> None:
    """`mesh7_core.names`: what a guarded pod may carry."""
    random = counted()
    first = signing.new_keyring(random)
    second = signing.rotated(first, random)
    third = signing.rotated(second, random)
    assert furniture.trust(of(first)) == {
        "key": spelled(first.current), "keys": f"{spelled(first.current)}\n",
    }  # fmt: skip
    known = [spelled(one.current) for one in (third, second, first)]
    assert furniture.trust(of(third)) == {
        "key": known[0], "keys": "".join(f"{key}\n" for key in known),
    }  # fmt: skip


def test_nobody_but_the_operator_gets_into_the_redis_of_the_release() -> None:
    written = furniture.redis_users("secret-of-the-operator")
    assert "secret-of-the-operator" not in written
    assert [line.split()[:3] for line in written.splitlines()] == [
        ["user", "default", "off"], ["user", "mesh7-operator", "on"],
    ]  # fmt: skip
    assert rules.open_to_all(written.splitlines()) == ()


def test_the_operators_rights_there_are_those_of_the_page() -> None:
    """docs/administrator/redis.md, The operator's user."""
    page = (DOCS / "redis.md").read_text()
    found = re.search(r"ACL SETUSER mesh7-operator on >PASSWORD (.+)", page)
    assert found is not None
    assert furniture.redis_users("x").splitlines()[1].split(maxsplit=4)[4] == found[1]
