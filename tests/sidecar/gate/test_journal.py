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
    told = [await journal.claim("r-1") for _ in range(3)]

    assert told == [Claim.FIRST, Claim.BEFORE, Claim.BEFORE]
    assert await journal.claim("r-2") is Claim.FIRST


@pytest.mark.promise("A2")
async def test_claims_outcomes_and_the_epoch_outlive_the_process(tmp_path: Path, now: Now) -> None:
    """On disk before it returns."""
    before = Journal(tmp_path / "claims.db", now)
    await before.claim("r-1")
    await before.note("r-1", "failed")
    before.remember_epoch("e-7")
    await before.close()
    after = Journal(tmp_path / "claims.db", now)
    told = (await after.claim("r-1"), await after.outcome("r-1"), after.known_epoch())
    await after.close()

    assert told == (Claim.BEFORE, "failed", "e-7")


@pytest.mark.promise("A2")
async def test_a_claim_is_on_disk_when_it_is_told(tmp_path: Path, journal: Journal) -> None:
    """Another reader of the file sees it at once."""
    await journal.claim("r-1")
    with sqlite3.connect(tmp_path / "claims.db") as reader:
        found = reader.execute("select id from claims").fetchall()
    reader.close()

    assert found == [("r-1",)]


async def test_a_claim_that_is_taken_back_can_be_claimed(journal: Journal) -> None:
    """Its claimer knows that nothing ran."""
    await journal.claim("r-1")
    await journal.release("r-1")

    assert await journal.claim("r-1") is Claim.FIRST


async def test_claims_are_forgotten_after_two_days_by_the_given_clock(
    journal: Journal, now: Now
) -> None:
    """Longer than any approval can be used."""
    await journal.claim("old")
    now.seconds += journals.KEPT_S - 1
    await journal.claim("young")
    assert await journal.claim("old") is Claim.BEFORE
    now.seconds += journals.PRUNE_S
    assert await journal.claim("new") is Claim.FIRST

    assert [await journal.claim(one) for one in ("old", "young")] == [Claim.FIRST, Claim.BEFORE]


@pytest.mark.promise("A2")
async def test_a_file_that_cannot_be_written_claims_nothing_and_says_so_once(
    tmp_path: Path, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    """Issue 4: state folder full or read-only."""
    with sqlite3.connect(tmp_path / "claims.db", isolation_level=None) as other:
        other.execute("begin exclusive")
        told = [await journal.claim("r-1") for _ in range(2)]
        other.execute("rollback")
    other.close()

    assert told == [Claim.UNWRITABLE, Claim.UNWRITABLE]
    assert len(caplog.records) == 1
    assert await journal.claim("r-1") is Claim.FIRST


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
        await opened.claim("r-1")
    finally:
        os.umask(mask)
    await opened.close()

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
