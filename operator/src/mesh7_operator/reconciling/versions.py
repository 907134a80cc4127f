"""Versions of bundle and overlay: they only rise, whatever happened to what remembers them.

Three remember: the ConfigMap (by a signature of ours), the Namespace's annotations (which its
editors cannot write), the store (by nobody's word). A version is Unix milliseconds where that is
higher, so that a cluster restored from an old copy does not go back either.
Pure: no clock, no network, no logging.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from mesh7_core import names
from mesh7_core.delivery import envelopes

AHEAD: Final = timedelta(hours=1)
"""How far beyond our clock the store's word is believed; beyond what we know, by one version."""
BEYOND: Final = 10**14
"""No clock shows as much before the year 5138; from there on no floor and no version is ours."""

FLOOR_ANNOTATIONS: Final = {
    envelopes.Kind.BUNDLE: names.BUNDLE_FLOOR_ANNOTATION,
    envelopes.Kind.OVERLAY: names.OVERLAY_FLOOR_ANNOTATION,
}

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FLOOR: Final = re.compile(r"[1-9][0-9]{0,13}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is remembered of one kind.

    Attributes:
        floor: new pods take nothing older; 0 = none that can be read.
        least: sidecars may have accepted this one: nothing older may be served.
        is_forged: the store claims a version that nobody can have made.
    """

    floor: int
    least: int
    is_forged: bool


def known(
    kind: envelopes.Kind,
    annotations: Mapping[str, str],
    held: int,
    stored: int,
    now: datetime,
    *,
    vouched: int = 0,
) -> Known:
    """Weigh what is remembered.

    Args:
        kind: whose version.
        annotations: of the Namespace.
        held: version of what the ConfigMap verifiably holds; 0 = nothing.
        stored: what the store says; 0 = nothing, or it is not there.
        now: aware.
        vouched: version of an envelope in the store that we verifiably signed: whatever clock we
            had then, sidecars may have accepted it.
    """
    floor = read_floor(annotations.get(FLOOR_ANNOTATIONS[kind]))
    # One beyond what we know at most: what is believed becomes the next floor, again and again.
    most = max(milliseconds(now + AHEAD), floor + 1, held + 1)
    is_forged = stored > most and stored != vouched
    return Known(floor=floor, least=max(floor, 0 if is_forged else stored), is_forged=is_forged)


def following(last: int, now: datetime) -> int:
    """The next version after `last`."""
    return max(last + 1, milliseconds(now))


def read_floor(text: str | None) -> int:
    """A floor as an annotation spells it; 0 for whatever is none."""
    return int(text) if text is not None and _FLOOR.fullmatch(text) else 0


def milliseconds(moment: datetime) -> int:
    """Since 1970."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def moment(version: int) -> datetime:
    """When a clock showed a version; it is below `BEYOND`."""
    return _EPOCH + timedelta(milliseconds=version)
