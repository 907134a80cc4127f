"""Which keys and authorities a new guarded pod may trust, as annotations of its Namespace.

Policy `mesh7-pods` compares them: what they say is known in the cluster alone, not to the chart.
Pure: no clock, no network, no logging.
"""

import base64
from collections.abc import Mapping

from mesh7_core import names
from mesh7_operator.reconciling.world import Keys, World


def change(world: World) -> Mapping[str, str | None]:
    """What is to be set, or removed, of the Namespace's annotations; empty = nothing.

    Only where sidecars are served: one that comes back later would else hold keys of old.
    """
    wanted: dict[str, str | None] = {names.TRUST_KEYS_ANNOTATION: None}
    if world.is_enrolled:
        wanted[names.TRUST_KEYS_ANNOTATION] = written(world.keys)
    if not world.is_enrolled:
        wanted[names.AUTHORITIES_ANNOTATION] = None
    # Whoever leads and has not read them yet must not have nothing compared for it.
    elif world.release.accepted:
        wanted[names.AUTHORITIES_ANNOTATION] = "".join(world.release.accepted)
    return {key: text for key, text in wanted.items() if world.annotations.get(key) != text}


def written(keys: Keys) -> str:
    """The next key, today's, and those before it, base64, newest first."""
    known = dict.fromkeys(
        [
            # An injector may learn of a rotation before every Namespace does.
            *(link.key for link in reversed(keys.links)),
            keys.signer.public,
            # Its kubelet may be late: a pod is made with the key of before.
            *(link.by for link in reversed(keys.links)),
        ]
    )
    return " ".join(base64.b64encode(key).decode() for key in known)
