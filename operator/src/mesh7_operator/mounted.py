"""Files that a program is given: taken up when they come and when they change, never half.

Whoever holds one goes on with what it had while the file cannot be used; each trouble is told once.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

from mesh7_core import errors

LOOK_S: Final = 1.0
_LOG: Final = logging.getLogger(__name__)
Value = TypeVar("Value")


class File(Generic[Value]):
    """One file, and what it meant when it last meant something.

    Args:
        path: of the file.
        flag: that names it, for messages.
        read: from its bytes; raises SettingsError.
    """

    def __init__(self, path: Path, flag: str, read: Callable[[bytes], Value]) -> None:
        self._path = path
        self._flag = flag
        self._read = read
        self._content: bytes | None = None
        self._value: Value | None = None

    @property
    def value(self) -> Value | None:
        """What is in use; None = not yet anything."""
        return self._value

    async def refresh(self) -> bool:
        """Take up what lies there now; whether it is another than before.

        Raises:
            SettingsError: it cannot be used; what was in use stays so.
        """
        try:
            content = self._path.read_bytes()
            if content == self._content:
                return False
            self._value = self._read(content)
        except (OSError, errors.SettingsError) as error:
            raise errors.SettingsError(
                f"{self._flag} `{self._path}`: cannot be used: {error}"
            ) from error
        self._content = content
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One thing to look at.

    Attributes:
        what: for the log.
        refresh: whether there is another than before; raises Mesh7Error when it cannot be used.
    """

    what: str
    refresh: Callable[[], Awaitable[bool]]


async def keep(looks: Sequence[Look], every_s: float = LOOK_S) -> None:
    """Look at all of them, each second, until cancelled.

    Each for itself: one that waits for the API server must not keep a certificate from being
    served.
    """
    async with asyncio.TaskGroup() as beside:
        for look in looks:
            beside.create_task(_keep(look, every_s))


async def _keep(look: Look, every_s: float) -> None:
    trouble = ""
    while True:
        try:
            if await look.refresh():
                _LOG.info("taken up", extra={"file": look.what})
            trouble = ""
        except errors.Mesh7Error as error:
            if trouble != error.message:
                trouble = error.message
                _LOG.warning(
                    "a file cannot be taken up", extra={"file": look.what, "error": trouble}
                )
        await asyncio.sleep(every_s)
