"""The home of one machine: what survives, and what each fault of its file comes to."""

import asyncio
import logging
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mesh7_core.errors import SettingsError
from mesh7_core.ledger.approvals import Request, State, encode
from mesh7_core.ledger.protocol import LOST, Caps, Changed, Refused, Seen, Standing, Use, Window
from mesh7_core.ledger.sqlite import SqliteLedger, open_ledger
from tests.conftest import Eventually
from tests.core.ledger.contract import (
    DAY,
    MINUTE,
    PATIENCE_S,
    SECOND,
    asked,
    observed,
    opened,
    plain,
    request,
    request_id,
    vote,
    window,
)
from tests.core.ledger.homes import Clock

ROOT = Path(__file__).parents[3]
WORKER = (sys.executable, "-m", "tests.core.ledger.sqlite_worker")


@asynccontextmanager
async def ledger_in(folder: Path, clock: Clock) -> AsyncIterator[SqliteLedger]:
    ledger = open_ledger(folder / "ledger.db", clock)
    try:
        yield ledger
    finally:
        await ledger.close()


def rows(folder: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(folder / "ledger.db")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def change(folder: Path, statement: str, *values: object) -> None:
    connection = sqlite3.connect(folder / "ledger.db", isolation_level=None)
    try:
        connection.execute(statement, values)
    finally:
        connection.close()


async def seen(ledger: SqliteLedger, *windows: Window) -> Seen:
    return (await observed(ledger, plain(*windows))).seen


@pytest.mark.promise("L8")
async def test_everything_survives_a_restart(tmp_path: Path) -> None:
    """Windows, lifetime totals, reservations, loops, uses, requests and standing grants."""
    clock = Clock()
    one, life, held = window("p/a", 1), window("p/b", 1, 0), window("p/c", 1)
    loop, use = window("p/loops:1", 1), Use("default/ops", 1, clock() + DAY)
    async with ledger_in(tmp_path, clock) as ledger:
        await observed(ledger, plain(one, life, repeats=(loop,)))
        await observed(ledger, asked(held, lease_ms=30 * SECOND))
        await observed(ledger, asked(digest="sha256:g", uses=((use,),)))
        await opened(ledger, request())
        made = await ledger.stand("night", "{}", "lea")
        before = await ledger.requests()

    async with ledger_in(tmp_path, clock) as ledger:
        assert await ledger.requests() == before
        assert await ledger.standing() == (made,)
        assert await ledger.used(["default/ops"]) == (1,)
        assert [await seen(ledger, each) for each in (one, life, held)] == [Seen.SPENT] * 3
        assert (await observed(ledger, plain(repeats=(loop,)))).seen is Seen.REPEATED
        assert (await observed(ledger, asked(held))).seen is Seen.PENDING
        await ledger.give_back("sha256:a", [held])
        assert await seen(ledger, held) is Seen.ADMITTED


@pytest.mark.promise("L8")
async def test_the_lease_of_a_holder_that_died_lapses_after_the_restart(tmp_path: Path) -> None:
    clock = Clock()
    one = window(maximum=1)
    async with ledger_in(tmp_path, clock) as ledger:
        await observed(ledger, asked(one, lease_ms=30 * SECOND))
    clock.at_ms += 29 * SECOND

    async with ledger_in(tmp_path, clock) as ledger:
        assert await seen(ledger, one) is Seen.SPENT
        clock.at_ms += SECOND
        assert await seen(ledger, one) is Seen.ADMITTED


async def run_until_killed(folder: Path) -> list[str]:
    """A real process that works on the ledger; killed as soon as it says that it is done."""
    worker = await asyncio.create_subprocess_exec(
        *WORKER, folder / "ledger.db", stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    assert worker.stdout is not None
    said = []
    async for line in worker.stdout:
        said.append(line.decode().strip())
        if said[-1] == "done":
            worker.send_signal(signal.SIGKILL)
    assert await worker.wait() == -signal.SIGKILL
    return said


@pytest.mark.promise("A2")
@pytest.mark.promise("A6")
@pytest.mark.promise("L8")
async def test_a_killed_process_loses_no_decision_and_no_older_counts(tmp_path: Path) -> None:
    """Design: a SIGKILL may lose the last 50 ms of counts, never an approval or a grant."""
    said = await run_until_killed(tmp_path)

    assert said == ["counted", "approved", "used", "stood", "done"]
    async with ledger_in(tmp_path, Clock()) as ledger:
        first, second = await ledger.request(request_id(1)), await ledger.request(request_id(2))
        assert isinstance(first, Request)
        assert isinstance(second, Request)
        assert (first.state, second.state, second.outcome) == (State.APPROVED, State.USED, "")
        assert isinstance(await ledger.claim(request_id(2), "sha256:2", []), Refused)
        assert isinstance(await ledger.claim(request_id(1), "sha256:1", []), Request)
        standing = await ledger.standing()
        assert isinstance(standing, tuple)
        assert [each.name for each in standing] == ["night"]
        assert await seen(ledger, window("p/counted", 10)) is Seen.SPENT


def modes_in(folder: Path) -> dict[str, int]:
    return {each.name: stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()}


async def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.touch(mode=0o644)
    async with ledger_in(tmp_path, Clock()) as ledger:
        await opened(ledger, request())
        modes = modes_in(tmp_path)

    assert modes == dict.fromkeys(("ledger.db", "ledger.db-wal", "ledger.db-shm"), 0o600)


async def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(SettingsError, match="cannot be opened"):
        open_ledger(tmp_path / "ledger.db", Clock())
    assert not (tmp_path / "elsewhere").exists()


async def test_a_file_of_a_newer_mesh7_is_refused(tmp_path: Path) -> None:
    async with ledger_in(tmp_path, Clock()):
        pass
    change(tmp_path, "PRAGMA user_version = 2")

    with pytest.raises(SettingsError, match=r"written by a newer mesh7 \(format 2, .* reads 1\)"):
        open_ledger(tmp_path / "ledger.db", Clock())


def garbage(path: Path) -> None:
    path.write_bytes(b"this is no database at all" * 200)


def half_a_file(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def a_page_of_rubbish(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096 * 4)


def somebody_elses(path: Path) -> None:
    path.unlink()
    change(path.parent, "CREATE TABLE browser_history (url)")


@pytest.mark.parametrize("damage", [garbage, half_a_file, a_page_of_rubbish, somebody_elses])
async def test_a_damaged_file_is_an_error_that_says_what_to_do(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """Never a silent new start: that would forget counts and approvals."""
    async with ledger_in(tmp_path, Clock()) as ledger:
        await opened(ledger, request())
    damage(tmp_path / "ledger.db")

    with pytest.raises(SettingsError, match=r"cannot be used as a ledger: .* – move it away"):
        open_ledger(tmp_path / "ledger.db", Clock())


@pytest.mark.promise("A2")
async def test_forged_and_truncated_rows_are_left_out_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A request that nobody voted for is not approved, whoever writes so into the file."""
    clock = Clock()
    one = window(maximum=2)
    async with ledger_in(tmp_path, clock) as ledger:
        for number in (1, 2, 3):
            await opened(ledger, request(number, f"sha256:{number}"))
        await seen(ledger, one)
    (body,) = rows(tmp_path, "SELECT body FROM requests ORDER BY key LIMIT 1")[0]
    assert isinstance(body, bytes)
    forged = body.replace(b'"state":"pending"', b'"state":"approved"')
    change(tmp_path, "UPDATE requests SET body = ? WHERE key = ?", forged, request_id(1))
    change(tmp_path, "UPDATE requests SET body = ? WHERE key = ?", body[:-20], request_id(2))
    change(tmp_path, "UPDATE windows SET cells = x'00ff'")
    change(tmp_path, "INSERT INTO requests VALUES (CAST(x'ff' AS TEXT), ?, 1)", body)
    change(tmp_path, "INSERT INTO uses VALUES ('g', 'often', NULL)")

    with caplog.at_level(logging.WARNING, "mesh7.ledger"):
        async with ledger_in(tmp_path, clock) as ledger:
            found = await ledger.requests()
            assert (await observed(ledger, asked(digest="sha256:1"))).seen is Seen.ADMITTED
    assert isinstance(found, tuple)
    assert [each.id for each in found] == [request_id(3)]
    assert [each.getMessage().split(":")[0] for each in caplog.records] == [
        "1 damaged rows of `windows` are left out",
        "1 damaged rows of `uses` are left out",
        "3 damaged rows of `requests` are left out",
    ]


@pytest.mark.promise("A10")
@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE standing SET document = x'00ff'",
        "UPDATE standing SET made_at = 'soon'",
        "UPDATE standing SET author = NULL",
    ],
)
async def test_a_damaged_veto_is_handed_on_as_one_that_cannot_be_read(
    tmp_path: Path, damage: str
) -> None:
    """Leaving it out would lift it; it can be revoked by its name."""
    async with ledger_in(tmp_path, Clock()) as ledger:
        await ledger.stand("night", "{}", "lea")
    change(tmp_path, damage)

    async with ledger_in(tmp_path, Clock()) as ledger:
        unread = Standing(name="night", document="", made_at_ms=0, by="")
        assert await ledger.standing() == (unread,)
        assert await ledger.fall("night") == unread
    assert rows(tmp_path, "SELECT * FROM standing") == []


async def test_a_request_under_another_ones_id_is_left_out(tmp_path: Path) -> None:
    async with ledger_in(tmp_path, Clock()) as ledger:
        await opened(ledger, request(1))
    other = encode(request(2))
    change(tmp_path, "UPDATE requests SET body = ?", other)

    async with ledger_in(tmp_path, Clock()) as ledger:
        assert await ledger.requests() == ()


async def lost(ledger: SqliteLedger) -> None:
    """Whatever is asked, the answer is LOST."""
    assert await ledger.open(request(8, "sha256:8"), Caps()) is LOST
    assert await ledger.vote(request_id(1), vote()) is LOST
    assert await ledger.claim(request_id(1), "sha256:a", []) is LOST
    assert await ledger.finish(request_id(1), "ok") is LOST
    assert await ledger.give_back("sha256:a", []) is LOST
    assert await ledger.withdraw(request_id(1)) is LOST
    assert await ledger.requests() is LOST
    assert await ledger.request(request_id(1)) is LOST
    assert await ledger.used(["g"]) is LOST
    assert await ledger.standing() is LOST
    assert await ledger.stand("night", "{}", "lea") is LOST
    assert await ledger.fall("night") is LOST
    assert await ledger.now_ms() is LOST
    assert await seen(ledger, window()) is Seen.LOST


@pytest.mark.promise("L8")
async def test_a_removed_file_loses_the_ledger_until_it_is_written_anew(tmp_path: Path) -> None:
    """Nothing is forgotten: memory holds it, and everybody is told when it is back."""
    told: asyncio.Queue[Changed] = asyncio.Queue()
    clock = Clock()
    async with ledger_in(tmp_path, clock) as ledger:
        identifier = await opened(ledger, request())
        await seen(ledger, window(maximum=1))
        ledger.subscribe(told.put_nowait)
        for name in modes_in(tmp_path):
            (tmp_path / name).unlink()
        assert await ledger.vote(identifier, vote()) is LOST
        assert "ledger.db` cannot be written: it was removed or replaced" in ledger.trouble()
        await lost(ledger)

        assert await asyncio.wait_for(told.get(), PATIENCE_S) == Changed("")
        assert ledger.trouble() == ""
        assert isinstance(await ledger.vote(identifier, vote()), Request)

    async with ledger_in(tmp_path, clock) as ledger:
        found = await ledger.request(identifier)
        assert isinstance(found, Request)
        assert found.state is State.APPROVED
        assert await seen(ledger, window(maximum=1)) is Seen.SPENT


async def test_counts_that_cannot_be_written_lose_the_ledger_too(
    tmp_path: Path, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    with caplog.at_level(logging.INFO, "mesh7.ledger"):
        async with ledger_in(folder, Clock()) as ledger:
            folder.rename(tmp_path / "elsewhere")
            assert await seen(ledger, window()) is Seen.ADMITTED
            await eventually(lambda: ledger.trouble() != "")
            assert await seen(ledger, window()) is Seen.LOST
            (tmp_path / "elsewhere").rename(folder)
            await eventually(lambda: ledger.trouble() == "")
            assert await seen(ledger, window()) is Seen.ADMITTED
    assert [each.levelname for each in caplog.records][:: len(caplog.records) - 1] == [
        "ERROR",
        "INFO",
    ]


@pytest.mark.parametrize("fault", ["full", "taken-away"])
def test_a_disk_that_takes_nothing_loses_the_ledger_and_gives_it_back(
    tmp_path: Path, fault: str
) -> None:
    """In a process of its own: no file may grow, or a folder lies where the file was."""
    worker = subprocess.run(
        [*WORKER, tmp_path / "ledger.db", fault],
        capture_output=True, text=True, check=False, timeout=60, cwd=ROOT,
    )  # fmt: skip

    assert (worker.returncode, worker.stdout.split()) == (0, ["lost", "back"]), worker.stderr


def test_a_folder_that_cannot_be_written_is_an_error_at_the_start(tmp_path: Path) -> None:
    """In a process that is not root: root may write everywhere."""
    worker = subprocess.run(
        [*WORKER, tmp_path / "ledger.db", "forbidden"],
        capture_output=True, text=True, check=False, timeout=60, cwd=ROOT,
    )  # fmt: skip

    assert worker.returncode == 0, worker.stderr
    assert "ledger.db` cannot be opened: Permission denied – mend it, or give" in worker.stdout


async def test_whoever_stops_waiting_does_not_part_memory_from_disk(tmp_path: Path) -> None:
    """A cancelled coroutine's vote may still count: then it counts in both."""
    async with ledger_in(tmp_path, Clock()) as ledger:
        identifier = await opened(ledger, request())
        waiting = asyncio.create_task(ledger.vote(identifier, vote()))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        late = await ledger.vote(identifier, vote("kim"))
    assert isinstance(late, Refused)

    async with ledger_in(tmp_path, Clock()) as ledger:
        found = await ledger.request(identifier)
        assert isinstance(found, Request)
        assert found.state is State.APPROVED


@pytest.mark.promise("D35")
@pytest.mark.promise("L8")
async def test_what_has_lapsed_leaves_the_file(tmp_path: Path) -> None:
    """The file is bounded: rows go, and pages are given back."""
    clock = Clock()
    async with ledger_in(tmp_path, clock) as ledger:
        for number in range(2000):
            await seen(ledger, window(f"p/one:{number}", 3, SECOND))
        await opened(ledger, request())
    large = (tmp_path / "ledger.db").stat().st_size
    assert rows(tmp_path, "SELECT count(*) FROM windows") == [(2000,)]
    clock.at_ms += 2 * DAY

    async with ledger_in(tmp_path, clock) as ledger:
        await seen(ledger, window("p/last", 3, MINUTE))
    assert rows(tmp_path, "SELECT key FROM windows") == [("p/last",)]
    assert rows(tmp_path, "SELECT key FROM requests") == []
    assert (tmp_path / "ledger.db").stat().st_size < large / 2


async def test_a_closed_ledger_is_lost(tmp_path: Path) -> None:
    async with ledger_in(tmp_path, Clock()) as ledger:
        pass

    await lost(ledger)
    await ledger.close()
