"""A ToolSource as a pod is told of it: its name, its door, whether a credential would travel bare.

Pure: no clock, no network, no logging.
"""

from collections.abc import Mapping
from typing import Final

from mesh7_core.injection import shapes
from mesh7_core.injection.known import Source

_KINDS: Final = ("mcp", "http")
_PLAIN: Final = "http://"


def read(value: shapes.Object) -> Source | None:
    """What a pod is told; None for what no sidecar serves, such as a program to be run."""
    spec = shapes.mapping(value, "spec")
    kinds = [one for one in _KINDS if isinstance(spec.get(one), Mapping)]
    if len(kinds) != 1 or shapes.text(spec, "mcp", "transport") == "Stdio":
        return None
    url = shapes.text(spec, kinds[0], "url").strip().lower()
    return Source(
        name=shapes.text(value, "metadata", "name"),
        kind=kinds[0],
        has_plain_credential=bool(shapes.text(spec, "auth", "key")) and url.startswith(_PLAIN),
    )
