"""What stands in for a grant or veto that cannot be compiled: nothing, or a veto of everything.

Pure: no clock, no network, no logging.
"""

from collections.abc import Mapping
from typing import Final

from mesh7_core.api.places import value_at
from mesh7_core.policy import bundle

UNREADABLE: Final = "a veto cannot be read"


def is_permission(written: Mapping[str, object] | None) -> bool:
    """Whether a manifest says that it allows something, so that nothing is lost without it."""
    return value_at(written, ("spec", "effect")) == bundle.Effect.ALLOW


def veto_of_everything(name: str, namespace: str, reason: str = UNREADABLE) -> bundle.Grant:
    """A veto that stops every agent of the namespace and has no end.

    Args:
        name: by which it is revoked.
        namespace: whose.
        reason: told to whoever is refused.
    """
    return bundle.Grant(
        id=f"{namespace}/{name}",
        effect=bundle.Effect.DENY,
        service_account="",
        pod="",
        patterns=(),
        policy="",
        expires_at=None,
        maximum_uses=None,
        reason=reason,
    )
