"""Files that are ours alone: opened without following a link, waiting for a pipe or trusting."""

import os
import stat
from errno import EINVAL
from pathlib import Path
from typing import Final

_MODE: Final = 0o600


def open_private(path: Path, flags: int) -> int:
    """A descriptor of a regular file of ours, which is made when it is not there.

    Args:
        flags: how it is opened, such as `os.O_RDWR`.

    Raises:
        OSError: it is something else, somebody else's, or cannot be opened.
    """
    # O_NONBLOCK: a named pipe lying there must not hang us.
    flags |= os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags, _MODE)
    try:
        _make_ours(descriptor, path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _make_ours(descriptor: int, path: Path) -> None:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        raise OSError(EINVAL, "it is not a file of yours", str(path))
    os.fchmod(descriptor, _MODE)
