"""The JSON patch (RFC 6902) that makes one JSON value another: small, index by index, in order.

Pure: no clock, no network, no logging.
"""

from collections.abc import Mapping


def difference(
    before: Mapping[str, object], after: Mapping[str, object]
) -> tuple[dict[str, object], ...]:
    """Operations `add`, `replace`, `remove`; empty = they are equal."""
    raise NotImplementedError
