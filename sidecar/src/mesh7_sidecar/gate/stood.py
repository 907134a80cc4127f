"""What one standing document comes to under a bundle: a grant, nothing, or a veto of everything.

Anybody may write to a shared store. What cannot be compiled and does not say that it allows
something may be a veto, so it stops everything, until it is revoked by its name.
"""

import logging
from typing import Final

from mesh7_core.compiling import grants
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
    if _allows(standing.document):
        log.error(
            "grant `%s` is not in force: %s – revoke it, or mend what it names",
            standing.name, "; ".join(found),
        )  # fmt: skip
        return None
    log.error(
        "veto `%s` cannot be read (%s): every call is refused – revoke it",
        standing.name, "; ".join(found),
    )  # fmt: skip
    return _of_everything(standing.name, in_force, "a veto cannot be read")


def unread(in_force: bundle.Bundle) -> bundle.Grant:
    """What stands in for all vetoes while it is not known which there are."""
    return _of_everything(UNREAD, in_force, "the vetoes in force cannot be read yet")


def _of_everything(name: str, in_force: bundle.Bundle, reason: str) -> bundle.Grant:
    return bundle.Grant(
        id=f"{in_force.namespace}/{name}",
        effect=bundle.Effect.DENY,
        service_account="",
        pod="",
        patterns=(),
        policy="",
        expires_at=None,
        maximum_uses=None,
        reason=reason,
    )


def _allows(document: str) -> bool:
    """Whether it says that it is a permission, so that nothing is lost without it."""
    written = grants.read_standing(document)
    spec = written.get("spec") if written is not None else None
    return isinstance(spec, dict) and spec.get("effect") == bundle.Effect.ALLOW
