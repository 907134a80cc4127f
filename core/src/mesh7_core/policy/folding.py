"""What names have in common that an upstream may read as one.

Pure: no clock, no network, no logging.
"""

import unicodedata


def fold(name: str) -> str:
    """What names have in common that differ in case or in compatible spelling (NFKC) alone."""
    if name.isascii():
        return name.lower()
    once = unicodedata.normalize("NFKC", name).casefold()
    return unicodedata.normalize("NFKC", once).casefold()
