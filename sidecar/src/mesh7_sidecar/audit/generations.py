"""Blocks on disk: one file that is appended to, and the older ones it became.

For one thread at a time; it blocks as long as the disk does. The state folder's lock keeps other
gateways away.
"""

import contextlib
import logging
import os
from pathlib import Path
from typing import Final

from mesh7_core.audit import blocks, chain
from mesh7_core.audit.chain import Chain
from mesh7_core.audit.heads import Head
from mesh7_sidecar.audit.private import open_private
from mesh7_sidecar.audit.sealing import Wrote
from mesh7_sidecar.audit.signing import SignedHeads
from mesh7_sidecar.audit.stream import write_all
from mesh7_sidecar.settings import DEFAULT_AUDIT_FILES

log = logging.getLogger("mesh7.audit")

_ATTEMPTS: Final = 16
"""A file that could not be rotated grows by this part of a full one before it is tried again."""
_LOOKED_BACK: Final = (64 * 1024, 1024 * 1024, 16 * 1024 * 1024)
"""Bytes from the end in which the last seal is looked for, until it is found."""


class Generations:
    """`path` and, from the newest, `path.1`, `path.2`, …; all readable by their owner alone.

    Args:
        path: in the state folder.
        maximum_bytes: a file that reaches it becomes `path.1`.
        kept: how many files there are at most, at least 2.

    Raises:
        OSError: `path` cannot be opened, is a symbolic link, or is no file of ours.
        SettingsError: the key that heads are signed with is damaged.
    """

    def __init__(self, path: Path, maximum_bytes: int, kept: int = DEFAULT_AUDIT_FILES) -> None:
        self._path = path
        self._fresh = path.with_name(f"{path.name}.new")
        self._maximum_bytes = self._full_bytes = maximum_bytes
        self._kept = kept
        self._astray: OSError | None = None
        self._trouble: OSError | None = None
        self._is_torn = False
        self._descriptor = _open(path)
        try:
            self._heads = SignedHeads(path.parent)
            self._size_bytes = os.fstat(self._descriptor).st_size
        except BaseException:
            os.close(self._descriptor)
            raise

    def continued(self, name: str) -> Chain:
        """The chain that the files end with, or a new one of this name in a file of its own.

        Raises:
            OSError: the files cannot be read or renamed.
        """
        found = _end_of(self._path)
        if found is None and not self._size_bytes:
            found = _end_of(self._generation(1))
        if found is not None and self._may_go_on(found):
            self._is_torn = found.is_torn
            return found
        if self._size_bytes:
            self._warn_of_unsealed()
            self._rotate()
        return chain.new(name)

    def write(self, content: bytes) -> Wrote:
        """Append it by one write; of one that fails nothing stays."""
        self._look()
        if self._astray is not None and not os.fstat(self._descriptor).st_nlink:
            return Wrote(0, f"`{self._path}` was deleted: {self._astray.strerror}")
        wrote = write_all(self._descriptor, content)
        if not wrote.why:
            self._is_torn = False
        elif wrote.size_bytes:
            try:
                os.ftruncate(self._descriptor, self._size_bytes)
                return Wrote(0, wrote.why)
            except OSError:
                # It stays there, and the next block covers it.
                self._is_torn = True
        self._size_bytes += wrote.size_bytes
        return wrote

    def settle(self, head: Head) -> None:
        """Begin a new file when this one is full; a trouble is raised until it is over."""
        if self._astray is not None:
            raise self._astray.with_traceback(None)
        if self._size_bytes >= self._full_bytes:
            # Whatever comes of it: the next attempt is not the next write.
            self._full_bytes = self._size_bytes + max(1, self._maximum_bytes // _ATTEMPTS)
            try:
                self.sign(head)
                self._rotate()
            except OSError as error:
                self._trouble = error
        if self._trouble is not None:
            raise self._trouble.with_traceback(None)

    def sync(self) -> None:
        """Return once everything is on the disk."""
        os.fdatasync(self._descriptor)

    def sign(self, head: Head) -> None:
        """Sign what is on the disk, never more: a power cut must not look like an attack."""
        self.sync()
        self._heads.sign(head)

    def close(self) -> None:
        """Close the file; nothing can be written any more."""
        os.close(self._descriptor)

    def _may_go_on(self, found: Chain) -> bool:
        """Not when the files end before what was signed: the chain must not hide that."""
        signed, head = self._heads.newest(found.head.chain), found.head
        if signed is None or signed.block < head.block:
            return True
        if signed.block == head.block and signed.hash == head.hash:
            return True
        log.error(
            "`%s` is not what was signed; a new chain begins – `mesh7 audit verify` says more",
            self._path,
        )
        return False

    def _warn_of_unsealed(self) -> None:
        with self._path.open("rb") as file:
            begin = file.read(len(blocks.OF_BEFORE_SEALS))
        if begin == blocks.OF_BEFORE_SEALS:
            log.warning(
                "`%s` is of before records were sealed, and older ones may be: it is kept as "
                "`%s`, and nothing vouches for what it says – move it elsewhere when you like",
                self._path,
                self._generation(1),
            )

    def _look(self) -> None:
        """Begin the file anew when somebody took it away; no generation is moved for that."""
        # What a failed write left is covered where it is.
        if self._is_torn or self._is_in_place():
            self._astray = None
            return
        try:
            fresh = _open(self._path)
        except OSError as error:
            self._astray = error
            return
        log.error(
            "`%s` was moved away or deleted while it was written; it is begun anew – "
            "`mesh7 audit verify` misses what was in it until it is back as a generation",
            self._path,
        )
        with contextlib.suppress(OSError):
            self.sync()
        self._use(fresh)

    def _is_in_place(self) -> bool:
        """Whether the path leads to the file that is written."""
        try:
            found, ours = self._path.lstat(), os.fstat(self._descriptor)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino)

    def _rotate(self) -> None:
        """Each step that fails leaves all files there, and what it did is not done again."""
        # First, because it is what fails when there is no room or too much is open.
        fresh = open_private(self._fresh, os.O_WRONLY | os.O_APPEND | os.O_TRUNC)
        try:
            self._make_room()
            newest = self._generation(1)
            self._path.replace(newest)
            try:
                self._fresh.replace(self._path)
            except OSError:
                newest.replace(self._path)
                raise
        except BaseException:
            os.close(fresh)
            with contextlib.suppress(OSError):
                self._fresh.unlink()
            raise
        self._use(fresh)

    def _make_room(self) -> None:
        """Let no file be `path.1`: what was moved once, or taken away, leaves room already."""
        numbers = range(1, self._kept)
        room = next((one for one in numbers if not os.path.lexists(self._generation(one))), None)
        if room is None:
            room = self._kept - 1
            gone = _end_of(self._generation(room))
            if gone is not None:
                self._heads.let_go(gone.head.chain, gone.head.block)
        for number in range(room - 1, 0, -1):
            self._generation(number).replace(self._generation(number + 1))

    def _use(self, fresh: int) -> None:
        os.close(self._descriptor)
        self._descriptor = fresh
        self._size_bytes = os.fstat(fresh).st_size
        self._full_bytes = self._maximum_bytes
        self._astray = self._trouble = None

    def _generation(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


def _open(path: Path) -> int:
    return open_private(path, os.O_WRONLY | os.O_APPEND)


def _end_of(path: Path) -> Chain | None:
    """The chain that a file ends with; None when it has no seal near its end, or is not there."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            for back in _LOOKED_BACK:
                file.seek(max(0, size - back))
                stored = file.read(back)
                begin = 0 if back >= size else stored.find(b"\n") + 1
                found = chain.continued(stored[begin:])
                if found is not None or back >= size:
                    return found
    except (FileNotFoundError, IsADirectoryError):
        pass
    return None
