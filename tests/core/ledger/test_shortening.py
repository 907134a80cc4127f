"""Arguments that are too long to be kept, on every home: never a part that passes for the whole."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from sqlite3 import connect

import pytest

from mesh7_core.ledger import shortening, sqlite
from mesh7_core.ledger.approvals import Request, State
from mesh7_core.ledger.protocol import Caps
from tests.conftest import Eventually
from tests.core.ledger.contract import SECOND, Home, opened, request, vote
from tests.core.ledger.homes import Clock

LONGEST = shortening.LONGEST_BYTES


def arguments(size: int) -> str:
    return json.dumps({"text": "x" * (size - len('{"text": ""}'))})


async def stored(home: Home, identifier: str) -> Request:
    found = await home.ledger.request(identifier)
    assert isinstance(found, Request)
    return found


@pytest.mark.promise("D35")
async def test_arguments_that_are_too_long_are_kept_as_head_tail_size_and_digest(
    home: Home,
) -> None:
    """Issue 4, bounds: an agent filled the store with calls of four megabytes."""
    text = '{"text":"' + "ä" * LONGEST + '"}'
    identifier = await opened(home.ledger, replace(request(), arguments=text))

    found = await stored(home, identifier)
    assert found.cut_from_bytes == len(text.encode())
    assert json.loads(found.arguments) == {
        "cut": {
            "bytes": len(text.encode()),
            "digest": "sha256:" + hashlib.sha256(text.encode()).hexdigest(),
            "head": text[: shortening.HEAD],
            "tail": text[-shortening.TAIL :],
        }
    }
    assert await home.ledger.requests() == (found,)
    voted = await home.ledger.vote(identifier, vote())
    assert isinstance(voted, Request)
    assert (voted.arguments, voted.cut_from_bytes) == (found.arguments, found.cut_from_bytes)


@pytest.mark.parametrize(("size", "cut_from"), [(LONGEST, 0), (LONGEST + 1, LONGEST + 1)])
async def test_arguments_up_to_the_bound_are_kept_whole(
    home: Home, size: int, cut_from: int
) -> None:
    asked = replace(request(), arguments=arguments(size))
    identifier = await opened(home.ledger, asked)

    found = await stored(home, identifier)
    assert found.cut_from_bytes == cut_from
    assert (found.arguments == asked.arguments) is not bool(cut_from)


@pytest.mark.promise("D35")
async def test_all_arguments_are_bounded_and_those_closed_longest_ago_go_first(home: Home) -> None:
    """Seen: 90 expired requests of 4.1 MB in ten seconds kept 352 MB in the store for a day."""
    caps = Caps(per_pod=1000, per_namespace=1000)
    many = shortening.MOST_BYTES // LONGEST + 6
    text = arguments(LONGEST)
    for number in range(many):
        one = request(number, f"sha256:{number}", timeout_ms=SECOND)
        await opened(home.ledger, replace(one, arguments=text), caps)
    open_ones = await home.ledger.requests()
    assert isinstance(open_ones, tuple)
    assert [one.arguments == text for one in open_ones] == [True] * many

    await home.advance(2 * SECOND)
    last = replace(request(many, "sha256:last"), arguments="{}")
    await opened(home.ledger, last, caps)

    found = await home.ledger.requests()
    assert isinstance(found, tuple)
    assert [one.state for one in found] == [State.EXPIRED] * many + [State.PENDING]
    assert [one.arguments for one in found] == [""] * 7 + [text] * (many - 7) + ["{}"]


@pytest.mark.promise("D35")
async def test_arguments_that_were_let_go_have_left_the_file_too(
    tmp_path: Path, eventually: Eventually
) -> None:
    """The longest closed go first after a restart as well."""
    clock, caps = Clock(), Caps(per_pod=1000, per_namespace=1000)
    many = shortening.MOST_BYTES // LONGEST
    ledger = sqlite.open_ledger(tmp_path / "ledger.db", clock)
    for number in range(many + 3):
        one = replace(request(number, f"sha256:{number}"), arguments=arguments(LONGEST))
        await ledger.withdraw(await opened(ledger, one, caps))
        clock.at_ms += 1
    await eventually(lambda: kept_in(tmp_path) == many)
    await ledger.close()

    ledger = sqlite.open_ledger(tmp_path / "ledger.db", clock)
    more = replace(request(many + 3, "sha256:more"), arguments=arguments(LONGEST))
    await ledger.withdraw(await opened(ledger, more, caps))
    found = await ledger.requests()
    await ledger.close()
    assert isinstance(found, tuple)
    assert [bool(one.arguments) for one in found] == [False] * 4 + [True] * many


def kept_in(folder: Path) -> int:
    """How many requests of the file have arguments."""
    connection = connect(folder / "ledger.db")
    try:
        query = "SELECT count(*) FROM requests WHERE length(body) > 10000"
        return int(connection.execute(query).fetchone()[0])
    finally:
        connection.close()
