"""What is known where a pod is made: its namespace, and the cluster around it.

Pure: no clock, no network, no logging.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """Where the pod is to be.

    Attributes:
        labels: `mesh7.dev/injection` enrols, `mesh7.dev/enforcement` asks for a level.
        annotations: floors of what is delivered.
    """

    name: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """As much of a ToolSource as a pod is told.

    Attributes:
        kind: `mcp` or `http`: which door of the sidecar serves it.
        has_plain_credential: whether it would send a credential over plain http.
    """

    name: str
    kind: str
    has_plain_credential: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """What the API server knows at that moment.

    Attributes:
        trust_key: base64; the key that bundles are signed with (ConfigMap `mesh7-trust`).
        authorities: PEM; certificates that vouch for the exchange.
        api_server: its address as pods see it, which sidecars dial for no source; empty = not
            known.
        sources: of the pod's namespace.
        has_network_policy: whether `mesh7-guarded` is in the namespace.
    """

    trust_key: str
    authorities: str
    api_server: str = ""
    sources: tuple[Source, ...] = ()
    has_network_policy: bool = False
