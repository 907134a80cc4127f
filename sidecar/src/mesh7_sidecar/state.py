"""The state folder: private to its owner, held by one process at a time.

    STATE/lock           flock; inside: pid, program and start time of the holder
    STATE/id             the pod name on the laptop, made once
    STATE/key            32 random bytes for keyed digests, made once
    STATE/gateway.sock   the holder's unix socket
    STATE/people.sock    another for approvers of another user (`--approvers GROUP`)

The lock decides who holds the folder, never the files: a killed holder's lock is gone with its
process, and what it left lying about is removed by the next holder, under the lock.
"""

import errno
import fcntl
import json
import os
import re
import secrets
import stat
import sys
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from pathlib import Path

from mesh7_core import errors

SOCKET_NAME = "gateway.sock"
PEOPLE_SOCKET_NAME = "people.sock"
KEY_BYTES = 32
# sockaddr_un.sun_path holds 108 bytes on Linux and 104 on macOS, one of them the closing NUL.
MAXIMUM_SOCKET_PATH_BYTES = 107 if sys.platform == "linux" else 103

_SALT = b"mesh7-call-salt"
"""What it is derived for: other keyed digests of `key` are others."""
_SALT_BYTES = 16
_FOLDER_MODE = 0o700
_FILE_MODE = 0o600
_MAXIMUM_FILE_BYTES = 4096
_IDENTIFIER = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldElsewhere:
    """Another process holds the folder.

    Attributes:
        pid: of the holder; 0 when it has not written it yet.
        program: what it is (`mesh7 run`); empty when not known.
        since: when it took the folder; None when not known.
    """

    directory: Path
    pid: int
    program: str
    since: datetime | None

    def __str__(self) -> str:
        program = f"`{self.program}`" if self.program else "another process"
        process = f" (process {self.pid})" if self.pid else ""
        since = f" since {self.since.isoformat(timespec='seconds')}" if self.since else ""
        return (
            f"state folder `{self.directory}` is held by {program}{process}{since} – stop it, "
            "or give another folder with `--state`"
        )


class Held:
    """The folder, held by this process until `release` or its death.

    Attributes:
        directory: absolute.
        identifier: a DNS label, the same at every start; the pod name on the laptop.
        key: 32 bytes, the same at every start; never shown.
        socket: where the holder listens; nothing lies there after `hold`.
        people_socket: where approvers of another user are listened to; likewise.
    """

    __slots__ = ("_lock", "directory", "identifier", "key", "people_socket", "socket")

    def __init__(self, directory: Path, lock: int, identifier: str, key: bytes) -> None:
        self.directory = directory
        self.identifier = identifier
        self.key = key
        self.socket = directory / SOCKET_NAME
        self.people_socket = directory / PEOPLE_SOCKET_NAME
        self._lock = lock

    def __repr__(self) -> str:
        return f"Held({self.directory})"

    @property
    def salt(self) -> str:
        """Of the digests of exact calls, the same at every start; it tells nothing of `key`."""
        return blake2b(key=self.key, person=_SALT, digest_size=_SALT_BYTES).hexdigest()

    def release(self) -> None:
        """Remove the sockets and let the folder go; a second call does nothing."""
        if self._lock < 0:
            return
        lock, self._lock = self._lock, -1
        try:
            self.socket.unlink(missing_ok=True)
            self.people_socket.unlink(missing_ok=True)
            os.ftruncate(lock, 0)
        finally:
            os.close(lock)


def hold(directory: Path, program: str, now: datetime) -> Held | HeldElsewhere:
    """Make the folder if need be, make it private, and take it.

    Never waits. Wrong modes of our own folder are tightened.

    Args:
        program: what to tell others who holds it, such as `mesh7 run`.
        now: aware; told to others as well.

    Raises:
        SettingsError: the folder cannot be made, is a symbolic link, belongs to somebody else,
            or lies so deep that a socket in it has no address.
    """
    directory = directory.absolute()
    socket_path(directory)
    folder = _open_folder(directory)
    try:
        lock = _open_file(directory, folder, "lock")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with os.fdopen(lock, "rb") as file:
                return _holder(directory, file.read(_MAXIMUM_FILE_BYTES))
        except OSError as error:
            os.close(lock)
            raise _unusable(directory, f"cannot be locked ({error.strerror})") from error
        try:
            return _take(directory, folder, lock, program, now)
        except BaseException:
            os.close(lock)
            raise
    finally:
        os.close(folder)


def socket_path(directory: Path) -> Path:
    """Where the holder of a folder listens, whether or not anybody holds it.

    Raises:
        SettingsError: no unix socket can have so long a path.
    """
    path = directory.absolute() / SOCKET_NAME
    if len(os.fsencode(path)) > MAXIMUM_SOCKET_PATH_BYTES:
        message = (
            f"state folder `{directory}`: its socket's path would be longer than "
            f"{MAXIMUM_SOCKET_PATH_BYTES} bytes – give a shorter one with `--state`"
        )
        raise errors.SettingsError(message)
    return path


def _take(directory: Path, folder: int, lock: int, program: str, now: datetime) -> Held:
    content = json.dumps({"pid": os.getpid(), "program": program, "since": now.isoformat()})
    os.ftruncate(lock, 0)
    os.pwrite(lock, content.encode(), 0)
    for name in (SOCKET_NAME, PEOPLE_SOCKET_NAME):
        _remove_stale_socket(directory, folder, name)
    identifier = _lasting(directory, folder, "id", f"laptop-{secrets.token_hex(5)}".encode())
    if _IDENTIFIER.fullmatch(identifier.decode("latin-1").strip()) is None:
        raise _damaged(directory, "id")
    key = _lasting(directory, folder, "key", secrets.token_bytes(KEY_BYTES))
    if len(key) != KEY_BYTES:
        raise _damaged(directory, "key")
    return Held(directory, lock, identifier.decode("ascii").strip(), key)


def _open_folder(directory: Path) -> int:
    """A descriptor of the folder; everything in it is opened through that, not by path again."""
    try:
        directory.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        folder = os.open(directory, flags)
    except OSError as error:
        if directory.is_symlink():
            reason = "is a symbolic link"
        else:
            reason = f"cannot be used ({error.strerror})"
        raise _unusable(directory, reason) from error
    status = os.fstat(folder)
    if status.st_uid != os.geteuid():
        os.close(folder)
        raise _unusable(directory, "belongs to another user")
    if stat.S_IMODE(status.st_mode) != _FOLDER_MODE:
        os.fchmod(folder, _FOLDER_MODE)
    return folder


def _open_file(directory: Path, folder: int, name: str) -> int:
    """A descriptor for reading and writing a private file of ours; made when it is not there."""
    # O_NONBLOCK: a FIFO lying there must not hang us.
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        file = os.open(name, flags, _FILE_MODE, dir_fd=folder)
    except OSError as error:
        link = error.errno in (errno.ELOOP, errno.EMLINK)
        reason = "is a symbolic link" if link else f"cannot be used ({error.strerror})"
        raise _unusable(directory / name, reason) from error
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
        os.close(file)
        raise _unusable(directory / name, "is not a file of yours")
    if stat.S_IMODE(status.st_mode) != _FILE_MODE:
        os.fchmod(file, _FILE_MODE)
    return file


def _lasting(directory: Path, folder: int, name: str, fresh: bytes) -> bytes:
    """The content of a file that is written once; `fresh` when there is none yet."""
    with os.fdopen(_open_file(directory, folder, name), "r+b", buffering=0) as file:
        content = file.read(_MAXIMUM_FILE_BYTES)
        if content:
            return content
        file.write(fresh)
        os.fsync(file.fileno())
        return fresh


def _remove_stale_socket(directory: Path, folder: int, name: str) -> None:
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise _unusable(directory / name, "is not a socket")
    os.unlink(name, dir_fd=folder)


def _holder(directory: Path, content: bytes) -> HeldElsewhere:
    """Who wrote the lock; unknown when it was read between taking and writing."""
    try:
        written = json.loads(content)
        pid, program = int(written["pid"]), str(written["program"])
        since = datetime.fromisoformat(written["since"])
    except (ValueError, KeyError, TypeError):
        return HeldElsewhere(directory=directory, pid=0, program="", since=None)
    return HeldElsewhere(directory=directory, pid=pid, program=program, since=since)


def _unusable(path: Path, reason: str) -> errors.SettingsError:
    message = f"`{path}` {reason} – give another state folder with `--state`"
    return errors.SettingsError(message)


def _damaged(directory: Path, name: str) -> errors.SettingsError:
    message = f"`{directory / name}` is damaged – remove it, and a new one is made"
    return errors.SettingsError(message)
