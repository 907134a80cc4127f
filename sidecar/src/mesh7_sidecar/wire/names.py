"""Names that strangers chose: which are refused, and how the rest is shown.

A tool's name is matched byte for byte, so a name that only looks like another (Cyrillic, full
width, zero width, bidi) is no name here (promise X20). Pure: no clock, no network, no logging.
"""

import re
import unicodedata

MAXIMUM_LENGTH = 256
"""Characters of a tool's or prompt's name; MCP recommends at most 128."""

_SHOWN_LENGTH = 128
_PLAIN = re.compile(r"[!-~](?:[ -~]*[!-~])?")
# Letters, marks, numbers, punctuation, symbols and the plain space show; the rest acts.
_SILENT_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def fault(name: str) -> str | None:
    """Why `name` is refused as a tool's or prompt's name; None when it is fine."""
    if not name:
        return "is empty"
    if len(name) > MAXIMUM_LENGTH:
        return f"is longer than {MAXIMUM_LENGTH} characters"
    if not name.isascii():
        return "has characters outside ASCII, which can imitate another name"
    if _PLAIN.fullmatch(name) is None:
        return "has control characters or blanks at its ends"
    return None


def shown(text: str, limit: int = _SHOWN_LENGTH) -> str:
    """`text` made safe to show to a model or a person.

    Control, format (bidi, zero-width) and unassigned characters become their code point in
    braces; what is longer than `limit` characters is cut and ends in `…`.
    """
    cut = text if len(text) <= limit else text[:limit] + "…"
    if cut.isascii() and cut.isprintable():
        return cut
    return "".join(_visible(character) for character in cut)


def _visible(character: str) -> str:
    if unicodedata.category(character) in _SILENT_CATEGORIES:
        return f"\\u{{{ord(character):x}}}"
    return character
