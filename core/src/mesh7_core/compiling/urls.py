"""URLs of sources: absolute, plain, and with one spelling of their host.

`source.host` is what baselines fence by (design 4), so a host has one spelling here: lower case,
no final dot, ASCII, an IPv4 address with four decimal parts.
Pure: no clock, no network, no logging.
"""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from mesh7_core.errors import ManifestError

_UNPRINTABLE = re.compile(r"[^\x21-\x7e]")
_LABEL = r"[a-z0-9]([a-z0-9_-]*[a-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")


class BadUrl(ManifestError):  # noqa: N818 - says what it is
    """A URL that cannot be used; the message does not quote it, for it may hold a secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Url:
    """A URL that can be used.

    Attributes:
        text: as written, with the host in lower case.
        host: lower case; an IPv6 address without brackets, in its shortest form.
        is_plain: http, not https.
    """

    text: str
    host: str
    is_plain: bool

    @property
    def is_loopback(self) -> bool:
        """Whether it stays on this machine."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_url(text: str) -> Url:
    """Read a URL.

    Raises:
        BadUrl: it is not absolute http or https, or holds what a source's URL may not.
    """
    if _UNPRINTABLE.search(text) or "\\" in text:
        raise BadUrl("the URL has a blank, a backslash or a sign outside ASCII, encode it")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise BadUrl("the URL's host or port is malformed") from error
    if parts.scheme not in ("http", "https"):
        raise BadUrl("the URL does not begin with `http://` or `https://`, write it in full")
    if "@" in parts.netloc:
        raise BadUrl("the URL holds a user name or password, use `auth` for credentials")
    if "#" in text:
        raise BadUrl("the URL has a fragment (`#…`), remove it")
    if port == 0:
        raise BadUrl("port 0 cannot be dialled, write the real one")
    if any(part in (".", "..") for part in parts.path.lower().replace("%2e", ".").split("/")):
        raise BadUrl("the URL's path has `.` or `..` parts, write it without them")
    host = _host(parts)
    shown_host = f"[{host}]" if ":" in host else host
    netloc = shown_host if port is None else f"{shown_host}:{port}"
    return Url(
        text=parts._replace(netloc=netloc).geturl(), host=host, is_plain=parts.scheme == "http"
    )


def _host(parts: SplitResult) -> str:
    host = parts.hostname
    if not host:
        raise BadUrl("the URL names no host")
    if "[" in parts.netloc:
        try:
            return str(ipaddress.IPv6Address(host))
        except ValueError as error:
            raise BadUrl("the URL's host is no IPv6 address") from error
    if host.endswith("."):
        raise BadUrl("the URL's host ends with a dot, remove it")
    if not _HOST.fullmatch(host):
        raise BadUrl("the URL's host is no host name, write letters, digits, dashes and dots")
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError as error:
            raise BadUrl("the URL's host is no IPv4 address of four decimal parts") from error
    return host
