"""Resource URIs in the one form that policies are matched against.

The original is forwarded; what is judged is decoded once, so that no spelling of a URI slips past
a rule about another. A URI that two readers could resolve differently has no such form.
Pure: no clock, no network, no logging.
"""

import re
from urllib.parse import unquote_to_bytes

MAXIMUM_LENGTH = 8192

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.DOTALL)
_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")
_SEPARATOR = re.compile(r"[/\\?#]")
_CASELESS_HOSTS = frozenset({"file", "ftp", "http", "https", "ws", "wss"})


def canonical(uri: str) -> str | None:
    """The form to match: decoded once, slashes of the path single.

    The scheme is in lower case, and so is the host where DNS names it.

    Returns:
        None when the URI is too long, has no scheme, `.` or `..` segments however encoded,
        control or invisible characters, bytes that are not UTF-8, or is encoded twice.
    """
    parts = _SCHEME.fullmatch(uri) if len(uri) <= MAXIMUM_LENGTH else None
    rest = None if parts is None else _decoded(parts[2])
    if parts is None or rest is None:
        return None
    scheme = parts[1].lower()
    if not rest.startswith("//"):
        return f"{scheme}:{rest}"
    authority, slash, path = rest[2:].partition("/")
    if scheme in _CASELESS_HOSTS:
        authority = authority.lower()
    return f"{scheme}://{authority}{slash}{_single_slashes(path)}"


def _decoded(text: str) -> str | None:
    try:
        decoded = unquote_to_bytes(text).decode()
    except UnicodeError:
        return None
    if _ENCODED.search(decoded) or not decoded.isprintable() or "\\" in decoded:
        return None
    if any(segment in {".", ".."} for segment in _SEPARATOR.split(decoded)):
        return None
    return decoded


def _single_slashes(path: str) -> str:
    before, mark, query = path.partition("?")
    return re.sub(r"/+", "/", before).removeprefix("/") + mark + query
