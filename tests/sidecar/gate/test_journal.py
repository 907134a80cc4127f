"""Claims on disk: first once, known after a restart, and never taken for granted."""

import os
import sqlite3
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mesh7_core import errors
from mesh7_sidecar.gate import journal as journals
from mesh7_sidecar.gate.journal import Claim, Journal

USABLE_S = 300.0


class Now:
    """The wall clock of a test."""

    def __init__(self) -> None:
        self.seconds = 1_000_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
async def journal(tmp_path: Path, now: Now) -> AsyncIterator[Journal]:
    opened = Journal(tmp_path / "claims.db", now)
    yield opened
    await opened.close()


@pytest.mark.promise("A2")
async def test_a_request_is_claimed_first_once(journal: Journal) -> None:
    """Design 6.5."""
    told = [await journal.claim("r-1", USABLE_S) for _ in range(3)]

    assert told == [Claim.FIRST, Claim.BEFORE, Claim.BEFORE]
    assert await journal.claim("r-2", USABLE_S) is Claim.FIRST


@pytest.mark.promise("A2")
async def test_claims_outcomes_and_the_epoch_outlive_the_process(tmp_path: Path, now: Now) -> None:
    """On disk before it returns."""
    before = Journal(tmp_path / "claims.db", now)
    await before.claim("r-1", USABLE_S)
    await before.note("r-1", "failed")
    before.remember_epoch("e-7")
    await before.close()
    after = Journal(tmp_path / "claims.db", now)
    told = (await after.claim("r-1", USABLE_S), await after.outcome("r-1"), after.known_epoch())
    await after.close()

    assert told == (Claim.BEFORE, "failed", "e-7")


@pytest.mark.promise("A2")
async def test_a_claim_is_on_disk_when_it_is_told(tmp_path: Path, journal: Journal) -> None:
    """Another reader of the file sees it at once."""
    await journal.claim("r-1", USABLE_S)
    with sqlite3.connect(tmp_path / "claims.db") as reader:
        found = reader.execute("select id from claims").fetchall()
    reader.close()

    assert found == [("r-1",)]


async def test_a_claim_that_is_taken_back_can_be_claimed(journal: Journal) -> None:
    """Its claimer knows that nothing ran."""
    await journal.claim("r-1", USABLE_S)
    await journal.release("r-1")

    assert await journal.claim("r-1", USABLE_S) is Claim.FIRST


@pytest.mark.promise("A2")
async def test_a_claim_is_remembered_for_as_long_as_its_approval_could_be_used(
    tmp_path: Path, now: Now
) -> None:
    """Docs, approvals: `useWithin` may be 366 days; a claim was forgotten after two."""
    month_s = 30 * 86400.0
    before = Journal(tmp_path / "claims.db", now)
    await before.claim("r-1", month_s)
    _claim_many(tmp_path / "claims.db", journals.KEPT)
    now.seconds += month_s
    after = Journal(tmp_path / "claims.db", now)
    told = [await after.claim("r-1", month_s)]
    await after.close()
    now.seconds += journals.MARGIN_S + 1
    later = Journal(tmp_path / "claims.db", now)
    told.append(await later.claim("r-1", month_s))
    await later.close()
    await before.close()

    assert told == [Claim.BEFORE, Claim.FIRST]


@pytest.mark.promise("A2")
async def test_a_wall_clock_that_jumps_ahead_lets_nothing_run_twice(
    tmp_path: Path, journal: Journal, now: Now
) -> None:
    """Design 13: time is not to be trusted; the newest claims stay whatever it says."""
    await journal.claim("r-1", USABLE_S)
    now.seconds += 10 * 366 * 86400
    _claim_many(tmp_path / "claims.db", journals.KEPT - 1)
    again = Journal(tmp_path / "claims.db", now)
    told = await again.claim("r-1", USABLE_S)
    await again.close()

    assert told is Claim.BEFORE


def _claim_many(path: Path, count: int) -> None:
    """As many short ones, without a write to the disk for each."""
    with sqlite3.connect(path) as file:
        rows = ((f"x-{number}",) for number in range(count))
        file.executemany("insert into claims (id, until_s) values (?, 0)", rows)
    file.close()


@pytest.mark.promise("A2")
async def test_a_file_that_cannot_be_written_claims_nothing_and_says_so_once(
    tmp_path: Path, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    """Issue 4: state folder full or read-only."""
    with sqlite3.connect(tmp_path / "claims.db", isolation_level=None) as other:
        other.execute("begin exclusive")
        told = [await journal.claim("r-1", USABLE_S) for _ in range(2)]
        other.execute("rollback")
    other.close()

    assert told == [Claim.UNWRITABLE, Claim.UNWRITABLE]
    assert len(caplog.records) == 1
    assert await journal.claim("r-1", USABLE_S) is Claim.FIRST


@pytest.mark.promise("A2")
def test_a_damaged_file_is_refused_at_the_start(tmp_path: Path, now: Now) -> None:
    """Fail closed: a journal that cannot be read knows no claim."""
    path = tmp_path / "claims.db"
    path.write_bytes(b"no database at all" * 100)

    with pytest.raises(errors.SettingsError, match="move it away"):
        Journal(path, now)


async def test_the_file_is_its_owners_alone(tmp_path: Path, now: Now) -> None:
    """Design 10: private by its own mode, whatever the umask says."""
    path = tmp_path / "open.db"
    mask = os.umask(0)
    try:
        opened = Journal(path, now)
        await opened.claim("r-1", USABLE_S)
    finally:
        os.umask(mask)
    await opened.close()

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
