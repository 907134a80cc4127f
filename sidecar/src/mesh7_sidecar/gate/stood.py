"""What one standing document comes to under a bundle: a grant, nothing, or a veto of everything.

Anybody may write to a shared store. What cannot be compiled and does not say that it allows
something may be a veto, so it stops everything, until it is revoked by its name.
"""

import logging
from typing import Final

from mesh7_core.compiling import grants
from mesh7_core.compiling import standing as compiling
from mesh7_core.ledger.protocol import Standing
from mesh7_core.policy import bundle
from mesh7_sidecar.gate import edge

log = logging.getLogger("mesh7.standing")

UNREAD: Final = "not-read-yet"
"""The name of the veto that stands in for all that have never been read."""
_FAILED: Final = ("it makes mesh7 fail",)


def compiled(standing: Standing, in_force: bundle.Bundle) -> bundle.Grant | None:
    """What is in force of it; None for a grant that is none. What is wrong is told in the log."""
    found = edge.guarded(
        lambda: grants.compile_standing(standing.document, in_force),
        _FAILED,
        "a standing grant or veto cannot be compiled; it is taken for a veto unless it allows",
    )
    if isinstance(found, bundle.Grant):
        return found
    if compiling.is_permission(grants.read_standing(standing.document)):
        log.error(
            "grant `%s` is not in force: %s – revoke it, or mend what it names",
            standing.name, "; ".join(found),
        )  # fmt: skip
        return None
    log.error(
        "veto `%s` cannot be read (%s): every call is refused – revoke it",
        standing.name, "; ".join(found),
    )  # fmt: skip
    return compiling.veto_of_everything(standing.name, in_force.namespace)


def unread(in_force: bundle.Bundle) -> bundle.Grant:
    """What stands in for all vetoes while it is not known which there are."""
    return compiling.veto_of_everything(
        UNREAD, in_force.namespace, "the vetoes in force cannot be read yet"
    )
