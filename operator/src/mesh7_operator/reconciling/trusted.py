"""Which keys a new guarded pod may begin with, as an annotation of its Namespace.

Policy `mesh7-pods` compares it: what it says is known in the cluster alone, not to the chart.
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
    wanted = written(world.keys) if world.is_enrolled else None
    if world.annotations.get(names.TRUST_KEYS_ANNOTATION) == wanted:
        return {}
    return {names.TRUST_KEYS_ANNOTATION: wanted}


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
