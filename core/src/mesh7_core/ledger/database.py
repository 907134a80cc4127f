"""The SQLite file of a ledger: its tables, opening it safely, writing batches, keeping it small.

Everything here blocks: it belongs to one worker thread, which owns the connection.
Readable by its owner alone. WAL; counts are committed without waiting for the disk (synchronous
NORMAL), people's decisions once the disk has them (FULL).
"""

import contextlib
import os
import sqlite3
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from mesh7_core import errors

FORMAT: Final = 1
"""`user_version` of the file; a greater one was written by a newer mesh7 and is refused."""
APPLICATION: Final = 0x6D657368
"""`application_id` of the file: `mesh`."""
MOST_REPEATS: Final = 100_000
VACUUMED_PAGES: Final = 1000
ROWS_AT_ONCE: Final = 1000
"""Written by one statement."""
WAITS_S: Final = 1.0
"""How long a write waits for another program that reads the file (a backup)."""

Row = tuple[str | int | bytes, ...]
_Part = TypeVar("_Part")

TABLES: Final = {
    "windows": "key TEXT PRIMARY KEY, cells BLOB, leases TEXT, lapses_at INTEGER",
    "repeats": "key TEXT PRIMARY KEY, cells BLOB, leases TEXT, lapses_at INTEGER",
    "uses": "key TEXT PRIMARY KEY, used INTEGER, expires_at INTEGER",
    "requests": "key TEXT PRIMARY KEY, body BLOB, kept_until INTEGER",
    "standing": "key TEXT PRIMARY KEY, document TEXT, made_at INTEGER, author TEXT",
}
"""Columns of each; the key comes first."""

_LAPSING = {
    "windows": "lapses_at",
    "repeats": "lapses_at",
    "uses": "expires_at",
    "requests": "kept_until",
}
"""The column that says from when a row means nothing any more; 0 = never."""


@dataclass(slots=True, kw_only=True)
class Batch:
    """What is written in one transaction.

    Attributes:
        rows: by table; each replaces what is there by its key.
        gone: keys by table.
        swept_at_ms: not 0 = drop everything that has lapsed by then, and give space back.
    """

    rows: dict[str, list[Row]] = field(default_factory=dict)
    gone: dict[str, list[str]] = field(default_factory=dict)
    swept_at_ms: int = 0


class Database:
    """One file. `open` comes first; after a failure `open` again.

    Args:
        path: the file; it is made when it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._file = (0, 0)

    def open(self) -> None:
        """Open the file anew, check it, and make its tables if need be.

        Raises:
            SettingsError: it is not a ledger, is damaged, or comes from a newer mesh7.
            OSError: it cannot be opened.
            sqlite3.Error: it cannot be read or written.
        """
        self.close()
        self._file = _private(self.path)
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=WAITS_S)
        # Text that is no UTF-8 is a damaged row, not a file that cannot be read.
        connection.text_factory = lambda text: text.decode("utf-8", "replace")
        self._connection = connection
        try:
            self._check(connection)
            _prepare(connection)
        except (errors.SettingsError, sqlite3.Error) as error:
            self.close()
            if _is_damage(error):
                raise _damaged(self.path, str(error)) from error
            raise

    def rows(self, table: str) -> Iterator[Row]:
        """Every row of a table, the longest to be kept first; requests as they closed."""
        columns = ", ".join(name.split()[0] for name in TABLES[table].split(", "))
        direction = "ASC" if table == "requests" else "DESC"
        order = f" ORDER BY {_LAPSING[table]} {direction}" if table in _LAPSING else ""
        query = f"SELECT {columns} FROM {table}{order}"  # noqa: S608 - words of this module
        yield from self._open_connection().execute(query)

    def write(self, batch: Batch, *, is_durable: bool) -> None:
        """Write all of it or nothing; a durable one is on the disk when this returns.

        Raises:
            OSError: the file was removed or replaced.
            sqlite3.Error: it cannot be written.
        """
        connection = self._open_connection()
        if not self._is_there():
            raise FileNotFoundError(2, "it was removed or replaced", str(self.path))
        connection.execute(f"PRAGMA synchronous = {'FULL' if is_durable else 'NORMAL'}")
        connection.execute("BEGIN IMMEDIATE")
        try:
            _put(connection, batch)
            connection.execute("COMMIT")
        except sqlite3.Error:
            with contextlib.suppress(sqlite3.Error):  # some failures have rolled back already
                connection.execute("ROLLBACK")
            raise
        if batch.swept_at_ms:
            # A script, because `execute` would free one page and stop.
            connection.executescript(f"PRAGMA incremental_vacuum({VACUUMED_PAGES})")

    def close(self) -> None:
        """Let the file go; what was written stays. A second call does nothing."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):  # the last checkpoint of a full disk
                connection.close()

    def _is_there(self) -> bool:
        """Whether the path still leads to the file that is open: SQLite itself would not notice."""
        try:
            return _identity(self.path.stat()) == self._file
        except OSError:
            return False

    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise sqlite3.OperationalError("it is not open")
        return self._connection

    def _check(self, connection: sqlite3.Connection) -> None:
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        if found > FORMAT:
            raise errors.SettingsError(
                f"`{self.path}` was written by a newer mesh7 (format {found}, this one reads "
                f"{FORMAT}) – start that one, or give another state folder with `--state`"
            )
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables and application != APPLICATION:
            raise _damaged(self.path, "it is no ledger of mesh7")
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise _damaged(self.path, str(verdict))


def _prepare(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before the first table, or never
    connection.execute("PRAGMA journal_mode = WAL").fetchone()
    connection.execute("PRAGMA journal_size_limit = 4194304")
    connection.execute("BEGIN IMMEDIATE")
    for table, columns in TABLES.items():
        connection.execute(f"CREATE TABLE IF NOT EXISTS {table} ({columns}) WITHOUT ROWID")
    for table, column in _LAPSING.items():
        connection.execute(f"CREATE INDEX IF NOT EXISTS {table}_end ON {table} ({column})")
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {FORMAT}")
    connection.execute("COMMIT")


def _put(connection: sqlite3.Connection, batch: Batch) -> None:
    for table, rows in batch.rows.items():
        marks = "(" + ", ".join("?" * len(TABLES[table].split(", "))) + ")"
        for some in _in_parts(rows):
            values = ", ".join([marks] * len(some))
            statement = f"INSERT OR REPLACE INTO {table} VALUES {values}"  # noqa: S608 - ours
            connection.execute(statement, [one for row in some for one in row])
    for table, keys in batch.gone.items():
        for few in _in_parts(keys):
            marks = ", ".join("?" * len(few))
            statement = f"DELETE FROM {table} WHERE key IN ({marks})"  # noqa: S608 - ours
            connection.execute(statement, few)
    if batch.swept_at_ms:
        _sweep(connection, batch.swept_at_ms)


def _in_parts(rows: Sequence[_Part]) -> Iterator[Sequence[_Part]]:
    """So many at once: between two statements a busy gateway keeps this thread waiting for 5 ms."""
    for start in range(0, len(rows), ROWS_AT_ONCE):
        yield rows[start : start + ROWS_AT_ONCE]


def _sweep(connection: sqlite3.Connection, now_ms: int) -> None:
    for table, column in _LAPSING.items():
        statement = f"DELETE FROM {table} WHERE {column} BETWEEN 1 AND ?"  # noqa: S608 - ours
        connection.execute(statement, (now_ms,))
    (count,) = connection.execute("SELECT count(*) FROM repeats").fetchone()
    if count > MOST_REPEATS:
        connection.execute(
            "DELETE FROM repeats WHERE key IN (SELECT key FROM repeats ORDER BY lapses_at LIMIT ?)",
            (count - MOST_REPEATS,),
        )


def _private(path: Path) -> tuple[int, int]:
    """Make the file if need be, for its owner alone; which one it is."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    file = os.open(path, flags, 0o600)
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise _damaged(path, "it is no file")
        os.fchmod(file, 0o600)
        return _identity(status)
    finally:
        os.close(file)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _is_damage(error: Exception) -> bool:
    """SQLite's own words for a file that it cannot make sense of; a full disk is another thing."""
    return isinstance(error, sqlite3.DatabaseError) and error.sqlite_errorname in {
        "SQLITE_CORRUPT",
        "SQLITE_NOTADB",
    }


def _damaged(path: Path, why: str) -> errors.SettingsError:
    said = " ".join(why.split())
    return errors.SettingsError(
        f"`{path}` cannot be used as a ledger: {said} – move it away, and an empty one is made "
        "(counts, open requests and grants made by hand start anew)"
    )
