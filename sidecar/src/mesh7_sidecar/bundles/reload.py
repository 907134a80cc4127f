"""Hot reload: a changed folder is compiled aside and swapped whole, or not at all.

A change is taken up once the folder has been still for one look, so that a file caught between
an editor's truncating and its writing is never in force. A broken edit keeps the last good set in
force and is told in the log, in `/readyz` and in `mesh7 status` until it is mended.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from mesh7_core import errors
from mesh7_core.compiling import compiler, diagnostics
from mesh7_sidecar.bundles import folder

log = logging.getLogger("mesh7.reload")

POLL_S = 0.2
MAXIMUM_RESTLESS_LOOKS = 4
"""A folder that is never still is taken as it is after so many looks."""
_State = folder.Signature | str
"""How the folder was found: its signature, or why it cannot be read."""


class Reload:
    """Watches one folder.

    Args:
        directory: the folder of manifests.
        namespace: None = the one that the folder names.
        environment: what `${NAME}` is read from.
        apply: puts a compiled set in force; or says why it cannot be.
        now: the wall clock, aware.

    Attributes:
        problems: what is wrong with the folder as it stands; empty when it is in force.
        warnings: what the compiler says of the set in force.
        loaded_at: when the set in force was put there; None before the first.
    """

    def __init__(
        self,
        directory: Path,
        *,
        namespace: str | None,
        environment: Mapping[str, str],
        apply: Callable[[compiler.Compiled], tuple[str, ...]],
        now: Callable[[], datetime],
    ) -> None:
        self.problems: tuple[str, ...] = ()
        self.warnings: tuple[str, ...] = ()
        self.loaded_at: datetime | None = None
        self._directory = directory
        self._namespace = namespace
        self._environment = environment
        self._apply = apply
        self._now = now
        self._seen: _State | None = None
        self._changing: _State | None = None
        self._restless_looks = 0

    def load(self) -> bool:
        """Compile the folder now; True when it is in force afterwards, else see `problems`.

        Raises:
            SettingsError: the folder cannot be read.
        """
        self._seen = folder.signature(self._directory)
        return self._judge(self._compile(folder.read(self._directory)))

    async def watch(self) -> None:
        """Look for changes until cancelled; nothing that is written into the folder ends it."""
        while True:
            await asyncio.sleep(POLL_S)
            await self.look()

    async def look(self) -> None:
        """Look once; `watch` does so at an interval."""
        # In a thread: thousands of files take longer to look at than a call may wait.
        seen = await asyncio.to_thread(self._state)
        if seen == self._seen:
            self._changing = None
        elif self._is_still(seen):
            await self._take(seen)

    def _state(self) -> _State:
        """What the folder looks like, or why nothing can be seen."""
        try:
            return folder.signature(self._directory)
        except errors.SettingsError as error:
            return error.message

    def _is_still(self, seen: _State) -> bool:
        if self._changing is None:
            self._restless_looks = 0
        self._restless_looks += 1
        if seen == self._changing or self._restless_looks >= MAXIMUM_RESTLESS_LOOKS:
            self._changing = None
            return True
        self._changing = seen
        return False

    async def _take(self, seen: _State) -> None:
        self._seen = seen
        if isinstance(seen, str):
            self._tell((seen,))
            return
        try:
            # Calls go on meanwhile: a compiler run over many rules takes a while.
            compiled = await asyncio.to_thread(self._read)
        except errors.SettingsError as error:
            # Not every reason shows in the signature, so look again.
            self._seen = None
            self._tell((error.message,))
            return
        was_broken = bool(self.problems)
        if self._judge(compiled):
            log.info(
                "the folder is %s", "in order again and in force" if was_broken else "in force"
            )

    def _read(self) -> compiler.Compiled:
        return self._compile(folder.read(self._directory))

    def _compile(self, files: Mapping[str, bytes]) -> compiler.Compiled:
        return compiler.compile_files(
            files, namespace=self._namespace, environment=self._environment
        )

    def _judge(self, compiled: compiler.Compiled) -> bool:
        found = [
            diagnostic.located_in(self._directory.as_posix()) for diagnostic in compiled.diagnostics
        ]
        if compiled.bundle is None:
            self._tell(_texts(found, diagnostics.Severity.ERROR))
            return False
        refused = self._apply(compiled)
        if refused:
            self._tell(refused)
            return False
        self.loaded_at = self._now()
        self.problems = ()
        self.warnings = _texts(found, diagnostics.Severity.WARNING)
        for warning in self.warnings:
            log.warning("%s", warning)
        return True

    def _tell(self, problems: tuple[str, ...]) -> None:
        if problems == self.problems:
            return
        self.problems = problems
        # At the start nothing is in force: there whoever asked for the folder is told.
        if self.loaded_at is not None:
            for problem in problems:
                log.error("%s", problem)
            log.error("the last good set stays in force")


def _texts(found: list[diagnostics.Diagnostic], severity: diagnostics.Severity) -> tuple[str, ...]:
    return tuple(str(diagnostic) for diagnostic in found if diagnostic.severity is severity)
