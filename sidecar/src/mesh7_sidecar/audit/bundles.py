"""Records of bundles that come into force, whoever brings them."""

from collections.abc import Callable

from mesh7_core.audit.changes import BundleChange
from mesh7_sidecar.audit.lines import AuditLines


class BundleRecords:
    """Says in the audit which bundle is in force, once for each.

    Args:
        audit: None = nobody is told.
        wall_ns: Unix time in nanoseconds.
    """

    def __init__(self, audit: AuditLines | None, wall_ns: Callable[[], int]) -> None:
        self._audit = audit
        self._wall_ns = wall_ns
        self._told = ""

    def tell(self, digest: str, origin: str, version: int = 0) -> None:
        """This one is in force; nothing happens when it was before."""
        if self._audit is None or digest == self._told:
            return
        before, self._told = self._told, digest
        self._audit.tell(BundleChange(
            at_ns=self._wall_ns(), before=before, after=digest, version=version, origin=origin,
        ))  # fmt: skip
