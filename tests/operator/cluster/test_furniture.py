"""What other programs mount: who gets into the release's Redis."""

import re
from pathlib import Path

from mesh7_operator.cluster import furniture
from mesh7_operator.store import rules

DOCS = Path(__file__).parents[3] / "docs" / "administrator"


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
