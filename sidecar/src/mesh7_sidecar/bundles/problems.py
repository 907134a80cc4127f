"""Why the newest delivery of a kind is not in force: for `/readyz`, and once for the log."""

import logging

from mesh7_core import errors
from mesh7_core.delivery.envelopes import Kind
from mesh7_sidecar.bundles.found import Found

log = logging.getLogger("mesh7.delivery")


class Problems:
    """One sidecar's.

    Attributes:
        by_kind: of a kind whose newest is not in force: why.
    """

    def __init__(self) -> None:
        self.by_kind: dict[Kind, str] = {}

    def clear(self, kind: Kind) -> None:
        """The newest is in force."""
        self.by_kind.pop(kind, None)

    def unusable(self, found: Found, error: errors.Mesh7Error) -> None:
        """It is genuine, and this release has no use for it."""
        self._tell(
            found.kind,
            f"{found.kind} {found.version} cannot be used: {error.message} – what is in force "
            "stays; see whether operator and sidecar are of one release",
        )

    def stumbled(self, found: Found, error: Exception) -> None:
        """It makes us fail, by a defect of ours or for want of memory; it is tried again."""
        self._tell(
            found.kind,
            f"{found.kind} {found.version} makes mesh7 fail ({type(error).__name__}) – it is tried "
            "again; if this goes on, give the sidecar more memory, or report it",
            error,
        )

    def outdated(self, kind: Kind, kept: int, least: int) -> None:
        """What was kept (0 = nothing) is older than what was in force."""
        found = f"{kind} {kept}" if kept else "nothing that can be used"
        self._tell(
            kind,
            f"{kind} {least} was in force before the restart, and {found} is kept in the state "
            f"folder – every call is denied until {least} or a newer one arrives; see whether "
            "Redis is reached and the ConfigMap is mounted",
        )

    def _tell(self, kind: Kind, problem: str, error: Exception | None = None) -> None:
        if self.by_kind.get(kind) != problem:
            self.by_kind[kind] = problem
            log.error("%s", problem, exc_info=error)
