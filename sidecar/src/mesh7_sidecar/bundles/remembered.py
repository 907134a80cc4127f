"""What a restarted container starts with: whom to believe, and the last good deliveries.

    DIRECTORY/trust      by `delivery.trust`: the chain of keys, the lowest versions
    DIRECTORY/bundle     the envelope that was in force last, as it was delivered
    DIRECTORY/overlay    the same

Files are private, written whole by a rename, and on disk before their name is; a thread writes
them, one state after another, so that a slow disk keeps no kill waiting. They are believed no more
than what is delivered: an envelope is verified again when it is read.

Envelopes are written before trust, and each on its own. An envelope that cannot be written takes
the older one with it: whatever is missing afterwards, a restart finds nothing that was replaced.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mesh7_core.delivery import envelopes, trust
from mesh7_core.delivery.envelopes import Kind

log = logging.getLogger("mesh7.delivery")

TRUST_FILE: Final = "trust"
MAXIMUM_TRUST_BYTES: Final = 256 * 1024
_FOLDER_MODE: Final = 0o700
_FILE_MODE: Final = 0o600


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What an earlier process of the pod left.

    Attributes:
        trust: laid over what the pod was made with.
        sealed: envelopes that were in force, by kind; not verified yet.
    """

    trust: trust.Trust
    sealed: Mapping[Kind, bytes] = field(repr=False)


class Remembered:
    """One sidecar's memory on disk.

    Args:
        directory: of its own, on a volume that outlives the container; made when it is not there.
        start: what the pod was made with.
    """

    def __init__(self, directory: Path, start: trust.Trust) -> None:
        self._directory = directory
        self._start = start
        self._waiting: dict[str, bytes] = {}
        self._writing: asyncio.Task[None] | None = None
        self._is_told = False

    def read(self) -> Kept:
        """What there is; nothing when nothing is, or nothing that can be read, which is told."""
        known = self._read(TRUST_FILE, MAXIMUM_TRUST_BYTES)
        found = {kind: self._read(kind, envelopes.MAXIMUM_SEALED_BYTES) for kind in Kind}
        return Kept(
            trust=self._start if known is None else trust.decode(known, self._start),
            sealed={kind: sealed for kind, sealed in found.items() if sealed is not None},
        )

    def keep_trust(self, known: trust.Trust) -> None:
        """Have it written; returns at once."""
        self._keep(TRUST_FILE, trust.encode(known))

    def keep(self, kind: Kind, sealed: bytes) -> None:
        """Have an envelope written that is in force now; returns at once."""
        self._keep(kind, sealed)

    def go_on(self) -> None:
        """Try again to write what could not be; to be called now and then."""
        if self._waiting and (self._writing is None or self._writing.done()):
            self._writing = asyncio.get_running_loop().create_task(self._write())

    async def close(self) -> None:
        """Write what is not written."""
        if self._writing is not None:
            await self._writing
        if self._waiting:
            await self._write()

    def _keep(self, name: str, content: bytes) -> None:
        self._waiting[name] = content
        self.go_on()

    async def _write(self) -> None:
        while self._waiting:
            waiting, self._waiting = self._waiting, {}
            try:
                await asyncio.to_thread(_write_all, self._directory, waiting)
            except (OSError, RuntimeError, MemoryError) as error:
                self._waiting = {**waiting, **self._waiting}
                self._tell("cannot be written", error)
                return
            self._is_told = False

    def _read(self, name: str, most: int) -> bytes | None:
        try:
            with (self._directory / name).open("rb", buffering=0) as file:
                found = file.read(most + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._tell("cannot be read", error)
            return None
        return found if len(found) <= most else None

    def _tell(self, what: str, error: Exception) -> None:
        if not self._is_told:
            self._is_told = True
            log.warning(
                "`%s` %s (%s) – mend the volume; until then a restarted container knows only what "
                "its pod was made with",
                self._directory, what, getattr(error, "strerror", None) or type(error).__name__,
            )  # fmt: skip


def _write_all(directory: Path, files: Mapping[str, bytes]) -> None:
    directory.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
    failure: OSError | None = None
    for name in sorted(files, key=lambda one: (one == TRUST_FILE, one)):
        try:
            _write_file(directory / name, files[name])
        except OSError as error:
            failure = error
            if name != TRUST_FILE:
                _remove(directory / name)
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    if failure is not None:
        raise failure


def _write_file(path: Path, content: bytes) -> None:
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE_MODE)
    try:
        with os.fdopen(file, "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        fresh.replace(path)
    except OSError:
        # What is half written may be what fills the disk.
        _remove(fresh)
        raise


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
