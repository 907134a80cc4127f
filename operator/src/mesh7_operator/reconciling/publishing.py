"""What the store is to be given: whatever is older there, forged, or something else.

Pure: no clock, no network, no logging.
"""

import hashlib
from collections.abc import Iterator

from mesh7_core.delivery.envelopes import Kind
from mesh7_operator.reconciling.bundling import Sealed
from mesh7_operator.reconciling.plan import Publish
from mesh7_operator.reconciling.world import Published, StoreState


def publish(
    sealed: tuple[Sealed, ...], published: Published | None, store: StoreState
) -> Iterator[Publish]:
    """In the order of `sealed`; nothing while the store is not connected."""
    if published is None or store is not StoreState.CONNECTED:
        return
    for one in sealed:
        is_bundle = one.kind is Kind.BUNDLE
        version = published.bundle if is_bundle else published.overlay
        sha1 = published.bundle_sha1 if is_bundle else published.overlay_sha1
        is_other = version == one.version and sha1 not in ("", _sha1(one.envelope))
        if version < one.version or one.is_forged or is_other:
            yield Publish(
                kind=one.kind,
                version=one.version,
                content=one.envelope,
                force=one.is_forged or is_other,
            )


def _sha1(envelope: bytes) -> str:
    # The store can count no other; nothing is believed because of it.
    return hashlib.sha1(envelope, usedforsecurity=False).hexdigest()
