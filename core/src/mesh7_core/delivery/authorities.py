"""Authorities that vouch for the exchange: certificates as PEM, each spelled in one way.

What a certificate says is for whoever trusts it to read.
Pure: no clock, no network, no logging.
"""

import base64
import binascii
import re
from typing import Final

from mesh7_core.errors import BundleError

MOST: Final = 8
"""Two while one follows another, and some that have not ended."""
MAXIMUM_BYTES: Final = 8 * 1024
"""Of one certificate in PEM."""

_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
_END: Final = "-----END CERTIFICATE-----"
_WIDTH: Final = 64
_BLOCK: Final = re.compile(rf"{_BEGIN}([A-Za-z0-9+/=\s]*){_END}")


def read(text: str) -> tuple[str, ...]:
    """The certificates in a text, each in the one spelling, sorted, once; what is around is left.

    Raises:
        BundleError: one is no base64, or is too large; or they are too many.
    """
    found = {_spelled(block) for block in _BLOCK.findall(text)}
    if len(found) > MOST or text.count(_BEGIN) != len(_BLOCK.findall(text)):
        raise BundleError(f"the authorities are more than {MOST}, or one of them is cut")
    return tuple(sorted(found))


def check(authorities: tuple[str, ...]) -> None:
    """Whether they are as `read` answers them.

    Raises:
        BundleError: they are not.
    """
    if read("".join(authorities)) != authorities:
        raise BundleError("the authorities are not sorted certificates in PEM")


def _spelled(block: str) -> str:
    packed = "".join(block.split())
    try:
        # Idle bits of the last character would make two spellings.
        packed = base64.b64encode(base64.b64decode(packed, validate=True)).decode()
    except (binascii.Error, ValueError) as error:
        raise BundleError("an authority is no certificate in PEM") from error
    lines = [packed[start : start + _WIDTH] for start in range(0, len(packed), _WIDTH)]
    written = "\n".join([_BEGIN, *lines, _END, ""])
    if not lines or len(written) > MAXIMUM_BYTES:
        raise BundleError(f"an authority is empty, or has more than {MAXIMUM_BYTES} bytes")
    return written
