"""The ledger's milliseconds and the API server's RFC 3339, one for the other.

Pure: no clock, no network, no logging.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from mesh7_core.api import grants

LAST_MS: Final = 9_999_999_999_999
"""In the year 2286; later moments are nobody's."""

_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def spelled(at_ms: int) -> str:
    """RFC 3339 in UTC to the millisecond, so that reading it gives the same number."""
    moment = _BEGINNING + timedelta(milliseconds=at_ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def shown(at_ms: int) -> str:
    """For people, in whole seconds."""
    return f"{spelled(at_ms)[:19]}Z"


def read(text: object) -> int | None:
    """Milliseconds; None when it is no moment."""
    try:
        return (grants.parse_moment(text) - _BEGINNING) // _MILLISECOND
    except ValueError:
        return None


def ms_of(moment: datetime) -> int:
    """An aware datetime in milliseconds."""
    return (moment - _BEGINNING) // _MILLISECOND
