"""The rules of a namespace's user, and how servers list them."""

import re

import pytest

from mesh7_core.ledger import functions
from mesh7_operator.store import rules
from tests.architecture import tree

_CALLED = re.compile(r"redis\.call\('(\w+)'")
_OPERATORS = {"llen", "lpop", "type", "xadd", "xlen"}
"""Commands of functions that the operator alone calls."""
USER = "m7-shop-82909"
WANTED = {USER: rules.rules_of("shop", "secret")}
LINE = (
    f"user {USER} on sanitize-payload"
    " #2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
    " ~m7:{shop}:* %R~m7b:{shop}:* resetchannels &m7:{shop}:* &m7b:{shop}:delivered -@all "
)
APPENDS = "(%W~m7a:{shop}:inbox resetchannels -@all +rpush)"
COMMANDS = " ".join([*(f"+{command}" for command in reversed(rules.COMMANDS)), APPENDS])


@pytest.mark.promise("K14")
def test_a_user_may_use_what_the_functions_use_and_nothing_that_loads_them() -> None:
    """Design 5: no FUNCTION, SCRIPT or EVAL; FCALL needs the inner commands allowed."""
    called = {name.lower() for name in _CALLED.findall(functions.written())}
    own = {"fcall", "getrange", "hello", "ping", "subscribe"}
    assert set(rules.COMMANDS) == (called - _OPERATORS) | own


def test_the_rules_are_those_of_the_documentation() -> None:
    page = (tree.ROOT / "docs/administrator/redis.md").read_text()
    assert f"then {len(rules.COMMANDS)} commands" in page
    assert rules.rules_of("shop", "secret")[:8] == (
        "on", "#2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
        "~m7:{shop}:*", "%R~m7b:{shop}:*", "resetchannels", "&m7:{shop}:*",
        "&m7b:{shop}:delivered", "-@all",
    )  # fmt: skip
    assert f"`{APPENDS}`".replace("shop", "NAMESPACE") in page
    assert "+select" not in rules.rules_of("shop", "secret")
    assert rules.rules_of("shop", "secret", database=3)[-2:] == ("+select", APPENDS)


def test_a_user_as_it_should_be_is_left_alone() -> None:
    """Servers list commands in an order of their own, and add words that say nothing new."""
    found = rules.changes(WANTED, ["user default on nopass ~* &* +@all", LINE + COMMANDS])
    assert found == rules.Changes(made={}, restored={}, removed=())


@pytest.mark.parametrize(
    "line",
    [
        LINE + COMMANDS + " +config",
        LINE + COMMANDS + " +@all",
        LINE + COMMANDS + " (~* +@all)",
        LINE + COMMANDS.removesuffix(f" {APPENDS}"),
        LINE + COMMANDS.replace("+rpush)", "+rpush +ltrim)"),
        LINE + "+" + COMMANDS[1:].partition(" +")[2],
        (LINE + COMMANDS).replace("-@all ", "") + " -@all",
        (LINE + COMMANDS).replace("-@all", "+@all"),
        (LINE + COMMANDS).replace(" on ", " off "),
        (LINE + COMMANDS).replace("#2bb", "#3bb"),
        (LINE + COMMANDS).replace("#2bb", "nopass #2bb"),
        (LINE + COMMANDS).replace("%R~", "~"),
        (LINE + COMMANDS).replace("~m7:", "~* ~m7:"),
        (LINE + COMMANDS).replace("resetchannels &m7:{shop}:*", "resetchannels &*"),
        (LINE + COMMANDS).replace("sanitize-payload", "skip-sanitize-payload"),
        f"user {USER} off",
        f"user {USER}",
    ],
)
def test_a_user_that_somebody_changed_is_restored(line: str) -> None:
    """Issue 5: compared with what the server says, re-checked."""
    found = rules.changes(WANTED, [line])
    assert found == rules.Changes(made={}, restored=WANTED, removed=())


def test_users_that_are_missing_are_made_and_those_that_passed_removed() -> None:
    listed = ["user m7-shop-1 on", "user m7-left-82909 on", "user m7-operator on", "user x on", ""]
    assert rules.changes(WANTED, listed) == rules.Changes(
        made=WANTED, restored={}, removed=("m7-left-82909", "m7-shop-1")
    )
