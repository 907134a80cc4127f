"""Hot reload: a changed folder is compiled aside and swapped whole, or not at all.

A broken edit keeps the last good set in force and is told in the log, in `/readyz` and in
`mesh7 status` until it is mended.
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

POLL_S = 0.25


class Reload:
    """Watches one folder.

    Args:
        directory: the folder of manifests.
        namespace: None = the one that the folder names.
        environment: what `${NAME}` is read from.
        apply: puts a compiled set in force.
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
        apply: Callable[[compiler.Compiled], None],
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
        self._seen: folder.Signature | None = None

    def load(self) -> bool:
        """Compile the folder now; True when it is in force afterwards.

        Raises:
            SettingsError: the folder cannot be read.
        """
        self._seen = folder.signature(self._directory)
        return self._judge(self._compile(folder.read(self._directory)))

    async def watch(self) -> None:
        """Look for changes until cancelled; no error ends it."""
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await self._look()
            except errors.Mesh7Error as error:
                self._tell((error.message,))

    async def _look(self) -> None:
        seen = folder.signature(self._directory)
        if seen == self._seen:
            return
        # A compiler run over many rules takes a while; calls go on meanwhile.
        files = folder.read(self._directory)
        compiled = await asyncio.to_thread(self._compile, files)
        self._seen = seen
        self._judge(compiled)

    def _compile(self, files: Mapping[str, bytes]) -> compiler.Compiled:
        return compiler.compile_files(
            files, namespace=self._namespace, environment=self._environment
        )

    def _judge(self, compiled: compiler.Compiled) -> bool:
        found = [
            diagnostic.located_in(self._directory.as_posix()) for diagnostic in compiled.diagnostics
        ]
        self.warnings = _texts(found, diagnostics.Severity.WARNING)
        if compiled.bundle is None:
            self._tell(_texts(found, diagnostics.Severity.ERROR))
            return False
        self._apply(compiled)
        self.loaded_at = self._now()
        if self.problems:
            log.info("the folder is in order again and in force")
        self.problems = ()
        return True

    def _tell(self, problems: tuple[str, ...]) -> None:
        if problems == self.problems:
            return
        self.problems = problems
        for problem in problems:
            log.error("%s", problem)
        if self.loaded_at is not None:
            log.error("the last good set stays in force")


def _texts(found: list[diagnostics.Diagnostic], severity: diagnostics.Severity) -> tuple[str, ...]:
    return tuple(str(diagnostic) for diagnostic in found if diagnostic.severity is severity)
