"""What the index looks at to answer: not everything that was ever named."""

import json
import sqlite3
from collections.abc import Iterator

import pytest

from mesh7_cli.auditing import finding, index
from mesh7_core.audit.wanted import Wanted
from mesh7_core.policy.globs import TextGlob

MANY = 200
UNREAD = "nobody reads this"


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    """An index of so many records with a made-up tool each; the rules of the older half are none.

    Whoever reads those fails.
    """
    connection = sqlite3.connect(":memory:")
    index.create(connection)
    rules = json.dumps(["shop/refunds/big"])
    for one in range(1, MANY + 1):
        connection.execute(
            "INSERT INTO traits VALUES (?, 'aaaaaaaaaaaa', 'call', 'shop/support', 'p', ?,"
            " 'Allow', '', 'ok', ?, ?, ?)",
            (one, f"api.made_up_{one}", rules if one > MANY // 2 else UNREAD, one, one),
        )
        connection.execute(
            "INSERT INTO records VALUES (?, 1, ?, 10, ?, ?, ?, NULL, NULL)",
            (one, one * 10, one, one, one),
        )
    yield connection
    connection.close()


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(decision="Allow"),
        Wanted(agent="support"),
        Wanted(tool=TextGlob.parse("api.*")),
        Wanted(rule="big"),
    ],
)
def test_a_page_is_found_without_reading_every_tool_name_that_was_made_up(
    connection: sqlite3.Connection, wanted: Wanted
) -> None:
    """Each page took 0.2 s once an agent had called 60,000 tools that there are not."""
    found = finding.newest(connection, wanted, None, 20)
    assert [place for place, *_ in found] == list(range(MANY, MANY - 20, -1))


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(agent="billing"),
        Wanted(tool=TextGlob.parse("git.git_log")),
        Wanted(rule="small"),
        Wanted(is_deed=True),
    ],
)
def test_what_nobody_did_is_not_looked_for_in_every_made_up_tool_name(
    connection: sqlite3.Connection, wanted: Wanted
) -> None:
    assert finding.newest(connection, wanted, None, 20) == []
