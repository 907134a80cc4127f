"""What this gateway has claimed, on disk before anything runs: a ledger may forget, this does not.

    STATE/claims.db      SQLite: claims with what became of them, the ledger's epoch, and the
                         grants and vetoes that were last read from it (`notes`)

A claim that is not on disk is no claim: while the file cannot be written, nothing approved runs.
Every file operation is done by one thread of the journal's own.
"""

import asyncio
import logging
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from pathlib import Path
from typing import Final, TypeVar

from mesh7_core import errors

log = logging.getLogger("mesh7.journal")

MARGIN_S: Final = 48 * 3600
"""How long a claim is remembered after its approval can be used no more."""
KEPT: Final = 10_000
"""Of the newest claims none is forgotten: a wall clock that jumps ahead must not let two run."""
MOST: Final = 1_000_000
"""When as many have to be remembered, nothing more is claimed."""
PRUNE_EVERY: Final = 1000
"""Claims, from one look at what may be forgotten to the next."""

_EPOCH: Final = "epoch"
_SCHEMA: Final = """
create table if not exists claims (
    number integer primary key, id text not null unique, until_s real not null,
    outcome text not null default ''
) strict;
create table if not exists meta (
    name text primary key, value text not null
) strict, without rowid;
"""
_PRUNE: Final = """
delete from claims where until_s < ? and number <= (select max(number) from claims) - ?
"""
_Answer = TypeVar("_Answer")


class Claim(Enum):
    """What came of a claim."""

    FIRST = "first"
    """It is on disk now, and was not before."""
    BEFORE = "before"
    """It has been claimed once; whatever ran, ran."""
    UNWRITABLE = "unwritable"
    """Nothing is known to be on disk."""


class Journal:
    """One gateway's claims.

    Args:
        path: of the file; made, for its owner alone, when it is not there.
        now_s: Unix time, for what may be forgotten.

    Raises:
        SettingsError: the file cannot be opened or is damaged.
    """

    def __init__(self, path: Path, now_s: Callable[[], float]) -> None:
        self._path = path
        self._now_s = now_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._since_pruned = 0
        self._is_told = False
        self._remembering: asyncio.Future[bool] | None = None
        try:
            self._file, self._known = self._thread.submit(_open, path, now_s()).result()
        except (sqlite3.Error, OSError) as error:
            self._thread.shutdown()
            raise errors.SettingsError(
                f"{path}: the journal of claims cannot be read ({_why(error)}) – move it away;"
                " calls that were approved before are then asked about anew"
            ) from error

    async def claim(self, request_id: str, usable_s: float) -> Claim:
        """Claim a request, once for ever; FIRST is on disk before this returns.

        Args:
            request_id: of an approved request.
            usable_s: how long its approval can still be used, at most.
        """
        return await self._done(lambda: self._claim(request_id, usable_s), Claim.UNWRITABLE)

    async def release(self, request_id: str) -> None:
        """Take a claim back: nothing ran, and its claimer knows that."""
        await self._done(lambda: self._write("delete from claims where id = ?", request_id), None)

    async def note(self, request_id: str, outcome: str) -> None:
        """Write down what became of a claimed call."""
        await self._done(
            lambda: self._write("update claims set outcome = ? where id = ?", outcome, request_id),
            None,
        )

    async def outcome(self, request_id: str) -> str:
        """What became of a claimed call; empty when that is not known."""
        return await self._done(lambda: self._outcome(request_id), "")

    def known_epoch(self) -> str:
        """The epoch of the ledger that this gateway last spoke to; empty before the first."""
        return self.known(_EPOCH)

    def remember_epoch(self, epoch: str) -> None:
        """Know it again after a restart; it is on disk soon, and when `close` returns."""
        self._remembering = asyncio.ensure_future(self.remember(_EPOCH, epoch))

    def known(self, name: str) -> str:
        """What was remembered under a name, perhaps by an earlier process; empty when nothing."""
        return self._known.get(name, "")

    async def remember(self, name: str, text: str) -> bool:
        """Know it again after a restart; whether it is on disk."""
        self._known[name] = text
        statement = "insert or replace into meta (name, value) values (?, ?)"
        return bool(await self._done(lambda: self._write(statement, name, text), 0))

    async def close(self) -> None:
        """Finish what is begun, and close the file."""
        if self._remembering is not None:
            await self._remembering
        await self._done(self._file.close, None)
        self._thread.shutdown()

    async def _done(self, work: Callable[[], _Answer], otherwise: _Answer) -> _Answer:
        loop = asyncio.get_running_loop()
        try:
            # Shielded: a claim whose caller is cancelled is on disk or is not, but never half.
            answer = await asyncio.shield(loop.run_in_executor(self._thread, work))
        except sqlite3.Error as error:
            self._tell(error)
            return otherwise
        self._is_told = False
        return answer

    def _tell(self, error: sqlite3.Error) -> None:
        if not self._is_told:
            self._is_told = True
            log.error(
                "%s: claims cannot be written (%s) – make room or make it writable;"
                " approved calls are refused until then",
                self._path,
                _why(error),
            )

    def _claim(self, request_id: str, usable_s: float) -> Claim:
        now_s = self._now_s()
        self._since_pruned += 1
        if self._since_pruned >= PRUNE_EVERY:
            left = _prune(self._file, now_s)
            if left >= MOST:
                raise sqlite3.DataError(f"{left} claims of approvals that could still be used")
            self._since_pruned = 0
        statement = "insert or ignore into claims (id, until_s) values (?, ?)"
        is_first = self._write(statement, request_id, now_s + usable_s + MARGIN_S)
        return Claim.FIRST if is_first else Claim.BEFORE

    def _write(self, statement: str, *values: str | float) -> int:
        """How many rows were changed; on disk when it returns."""
        return self._file.execute(statement, values).rowcount

    def _outcome(self, request_id: str) -> str:
        found = self._file.execute("select outcome from claims where id = ?", (request_id,))
        row: tuple[str] | None = found.fetchone()
        return "" if row is None else row[0]


def _open(path: Path, now_s: float) -> tuple[sqlite3.Connection, dict[str, str]]:
    # SQLite would make it readable for others where the umask lets it.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    path.chmod(0o600)
    # Statements are transactions of their own, each on disk before it returns.
    file = sqlite3.connect(path, isolation_level=None, timeout=1.0)
    try:
        file.execute("pragma journal_mode = delete")
        file.execute("pragma synchronous = full")
        damage = file.execute("pragma quick_check(1)").fetchone()[0]
        if damage != "ok":
            raise sqlite3.DatabaseError("it is damaged")
        file.executescript(_SCHEMA)
        _prune(file, now_s)
        known = dict(file.execute("select name, value from meta").fetchall())
    except sqlite3.Error:
        file.close()
        raise
    return file, known


def _prune(file: sqlite3.Connection, now_s: float) -> int:
    """Forget what is both too old to matter and long behind; how many are left."""
    file.execute(_PRUNE, (now_s, KEPT))
    left: int = file.execute("select count(*) from claims").fetchone()[0]
    return left


def _why(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error)
