"""Lines on disk: one file that is appended to, and the older ones it became.

For one thread at a time; it blocks as long as the disk does.
"""

import os
import stat
from errno import EINVAL
from pathlib import Path

from mesh7_sidecar.gate.stream import Loss, Stream

KEPT = 4
_MODE = 0o600


class Generations:
    """`path` and, from the newest, `path.1` to `path.4`; all readable by their owner alone.

    Raises:
        OSError: `path` cannot be opened, is a symbolic link, or is no file of ours.
    """

    def __init__(self, path: Path, maximum_bytes: int) -> None:
        self._path = path
        self._maximum_bytes = maximum_bytes
        self._descriptor = _open_private(path)
        self._stream = Stream(self._descriptor)

    def write(self, lines: list[bytes], dropped: int) -> Loss | None:
        """Append `lines`, and how many were dropped before them unless that is 0.

        Returns:
            None when all is written; else how many records are not, those dropped included.
        """
        loss = self._stream.write(lines, dropped)
        if loss is None:
            try:
                if os.fstat(self._descriptor).st_size >= self._maximum_bytes:
                    self._rotate()
            except OSError as error:
                return Loss(0, error.strerror or "it fails")
        return loss

    def close(self) -> None:
        """Close the file; nothing can be written any more."""
        os.close(self._descriptor)

    def _rotate(self) -> None:
        for number in range(KEPT - 1, 0, -1):
            older = self._generation(number)
            if older.exists():
                older.replace(self._generation(number + 1))
        self._path.replace(self._generation(1))
        fresh = _open_private(self._path)
        # Only now: when something above fails, the old file goes on being written.
        os.close(self._descriptor)
        self._descriptor = fresh
        self._stream = Stream(fresh)

    def _generation(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


def _open_private(path: Path) -> int:
    # O_NONBLOCK: a named pipe lying there must not hang us.
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags, _MODE)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        os.close(descriptor)
        raise OSError(EINVAL, "it is not a file of yours", str(path))
    os.fchmod(descriptor, _MODE)
    return descriptor
