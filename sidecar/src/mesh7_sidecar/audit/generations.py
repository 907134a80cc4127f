"""Blocks on disk: one file that is appended to, and the older ones it became.

For one thread at a time; it blocks as long as the disk does. The state folder's lock keeps other
gateways away.
"""

import logging
import os
from pathlib import Path
from typing import Final

from mesh7_core.audit import chain
from mesh7_core.audit.chain import Chain
from mesh7_core.audit.heads import Head
from mesh7_sidecar.audit.private import open_private
from mesh7_sidecar.audit.sealing import Wrote
from mesh7_sidecar.audit.signing import SignedHeads
from mesh7_sidecar.audit.stream import write_all
from mesh7_sidecar.settings import DEFAULT_AUDIT_FILES

log = logging.getLogger("mesh7.audit")

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
        self._maximum_bytes = maximum_bytes
        self._kept = kept
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
            return found
        if self._size_bytes:
            self._rotate()
        return chain.new(name)

    def write(self, content: bytes) -> Wrote:
        """Append it by one write; of one that fails nothing stays."""
        wrote = write_all(self._descriptor, content)
        if wrote.why and wrote.size_bytes:
            try:
                os.ftruncate(self._descriptor, self._size_bytes)
                return Wrote(0, wrote.why)
            except OSError:
                # It stays there, and the next block covers it.
                pass
        self._size_bytes += wrote.size_bytes
        return wrote

    def settle(self, head: Head) -> None:
        """Begin a new file when this one is full."""
        if self._size_bytes >= self._maximum_bytes:
            self.sign(head)
            self._rotate()

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

    def _rotate(self) -> None:
        oldest = self._generation(self._kept - 1)
        gone = _end_of(oldest)
        if gone is not None:
            self._heads.let_go(gone.head.chain, gone.head.block)
        for number in range(self._kept - 2, 0, -1):
            older = self._generation(number)
            if older.exists():
                older.replace(self._generation(number + 1))
        self._path.replace(self._generation(1))
        fresh = _open(self._path)
        # Only now: when something above fails, the old file goes on being written.
        os.close(self._descriptor)
        self._descriptor = fresh
        self._size_bytes = 0

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
