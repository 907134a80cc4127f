"""Another bundle came into force; and its audit line.

Its fields are documented in docs/reference/audit.md. Pure: no clock, no network, no logging.
"""

from dataclasses import dataclass

import orjson

from mesh7_core.audit import moments


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleChange:
    """One of it.

    Attributes:
        at_ns: Unix time in nanoseconds.
        before, after: digests of the bundles; `before` is empty when there was none.
        version: of the one in force now, counted by the operator; 0 = there is none.
        origin: how it came: `folder`, `redis`, `configmap`, or `none` as long as it is only
            remembered.
    """

    at_ns: int
    before: str
    after: str
    version: int = 0
    origin: str


def line(change: BundleChange) -> bytes:
    """One JSON object, without the newline."""
    said: dict[str, object] = {"from": change.before, "to": change.after}
    if change.version:
        said["version"] = change.version
    return orjson.dumps(
        {"time": moments.written(change.at_ns), "bundle": {**said, "origin": change.origin}}
    )
