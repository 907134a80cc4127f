"""The index's file: private, held by one reader at a time, thrown away when it does not fit.

STATE/audit.index        the index
STATE/audit.index.lock   whoever holds it reads or writes the index
"""

import contextlib
import fcntl
import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mesh7_cli.auditing import index

NAME: Final = "audit.index"
MEMORY: Final = ":memory:"
PATIENCE_S: Final = 30.0
"""How long another reader is waited for, which may be making the index; then it is done without."""
_TURN_S: Final = 0.05
_MODE: Final = 0o600
_BESIDE: Final = ("", "-journal", "-wal", "-shm")
_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@contextlib.contextmanager
def held(state: Path, patience_s: float = PATIENCE_S) -> Iterator[bool]:
    """Whether the index in this folder may be read and written until the block ends.

    Not where nothing can be written, not in somebody else's folder, who could then not use it,
    and not while another reader keeps it for too long.
    """
    try:
        if state.stat().st_uid != os.geteuid():
            yield False
            return
        lock = os.open(state / f"{NAME}.lock", _FLAGS, _MODE)
    except OSError:
        yield False
        return
    try:
        yield _is_taken(lock, time.monotonic() + patience_s)
    finally:
        os.close(lock)


@contextlib.contextmanager
def connected(place: str) -> Iterator[sqlite3.Connection]:
    """The index at a path, or in `MEMORY`; an empty one when there is none.

    Raises:
        UnfitError: what lies there is no index of ours.
        sqlite3.DatabaseError: it is damaged, or cannot be used.
    """
    if place != MEMORY:
        _make_private(Path(place))
    with contextlib.closing(sqlite3.connect(place, isolation_level=None)) as connection:
        # A power cut may damage it; then it is made anew.
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -65536")
        if place == MEMORY or not Path(place).stat().st_size:
            index.create(connection)
        elif not index.is_ours(connection):
            raise index.UnfitError
        yield connection


def discard(state: Path) -> None:
    """Throw the index away; only whoever holds it does."""
    for end in _BESIDE:
        with contextlib.suppress(OSError):
            (state / f"{NAME}{end}").unlink(missing_ok=True)


def _is_taken(lock: int, deadline: float) -> bool:
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_TURN_S)
        except OSError:
            return False
        else:
            return True


def _make_private(path: Path) -> None:
    """SQLite would follow links and make files as the umask says."""
    try:
        descriptor = os.open(path, _FLAGS, _MODE)
    except OSError as error:
        raise index.UnfitError from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            raise index.UnfitError
        os.fchmod(descriptor, _MODE)
    finally:
        os.close(descriptor)
