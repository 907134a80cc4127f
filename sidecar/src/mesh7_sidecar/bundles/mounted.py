"""The ConfigMap as the kubelet mounts it: a folder whose content is swapped whole by one link.

    DIRECTORY/..data -> ..2026_11_21_10_00_00.123    the link that is swapped
    DIRECTORY/..data/bundle, DIRECTORY/..data/overlay

Only plain files in the folder behind that link are read, and no further than an envelope may be
long. A look costs a few system calls; what looks the same is read all the same now and then.
"""

import asyncio
import logging
import os
import stat
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mesh7_core import names
from mesh7_core.delivery.envelopes import MAXIMUM_SEALED_BYTES, Kind
from mesh7_core.delivery.reports import Origin
from mesh7_sidecar.bundles.believed import REVOCATIONS_FIRST, worked

log = logging.getLogger("mesh7.delivery")

POLL_S: Final = 1.0
REREAD_LOOKS: Final = 5
"""Of as many looks one reads, whatever it sees."""
_LINK: Final = "..data"
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: a FIFO lying there must not hang us.
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

Take = Callable[[Kind, bytes, Origin], Awaitable[bool]]
_State = tuple[str | tuple[int, ...], ...]


class Mounted:
    """One mounted ConfigMap.

    Args:
        directory: where it is mounted; it need not be there.
        take: gets what is found, and judges it.
    """

    def __init__(self, directory: Path, take: Take) -> None:
        self._directory = directory
        self._take = take
        self._seen: _State | None = None
        self._looks = 0
        self._is_told = False

    async def watch(self) -> None:
        """Look for changes until cancelled; nothing that lies there ends it."""
        while True:
            await self.look()
            await asyncio.sleep(POLL_S)

    async def look(self) -> None:
        """Look once, and hand on what is there when it may have changed."""
        seen = _state(self._directory)
        self._looks += 1
        if seen == self._seen and self._looks % REREAD_LOOKS:
            return
        found = await worked(MAXIMUM_SEALED_BYTES, lambda: _read(self._directory))
        # Swapped while it was read: the next look sees the new state.
        self._seen = seen if _state(self._directory) == seen else None
        self._tell(is_there=bool(found))
        for kind in REVOCATIONS_FIRST:
            if kind in found:
                await self._take(kind, found[kind], Origin.CONFIG_MAP)

    def _tell(self, *, is_there: bool) -> None:
        if not is_there and not self._is_told:
            log.warning(
                "there is no ConfigMap `%s` in `%s` – it comes when the operator has written it; "
                "if it stays away, see whether the operator runs",
                names.BUNDLE_CONFIG_MAP, self._directory,
            )  # fmt: skip
        self._is_told = not is_there


def _state(directory: Path) -> _State:
    """What tells two contents apart without reading them; empty when there is none."""
    try:
        with _opened(directory) as (target, folder):
            return (target, *(_of_file(folder, kind) for kind in Kind))
    except OSError:
        return ()


def _of_file(folder: int, name: str) -> tuple[int, ...]:
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return ()
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)


def _read(directory: Path) -> dict[Kind, bytes]:
    try:
        with _opened(directory) as (_, folder):
            found = {kind: _read_file(folder, kind) for kind in Kind}
    except OSError:
        return {}
    return {kind: content for kind, content in found.items() if content is not None}


def _read_file(folder: int, name: str) -> bytes | None:
    """One byte more than may be, so that too long a file is told; None when there is no file."""
    try:
        with os.fdopen(os.open(name, _FILE, dir_fd=folder), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return None
            return file.read(MAXIMUM_SEALED_BYTES + 1)
    except OSError:
        return None


@contextmanager
def _opened(directory: Path) -> Iterator[tuple[str, int]]:
    """The folder that the link names now, and its name; it stays the same while it is open."""
    outer = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        target = os.readlink(_LINK, dir_fd=outer)
        if "/" in target or target in {".", ".."}:
            raise NotADirectoryError(target)
        inner = os.open(target, _FOLDER, dir_fd=outer)
    finally:
        os.close(outer)
    try:
        yield target, inner
    finally:
        os.close(inner)
