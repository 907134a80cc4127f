"""Where a pool connects to, and which addresses it may dial.

Pure: no clock, no network, no logging.
"""

import ipaddress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from mesh7_core import errors

_PORTS: Final = {"http": 80, "https": 443}
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Scheme, host and port; or a unix socket.

    Attributes:
        host: lower case, IPv6 without brackets; what `host` and TLS verification name.
        socket_path: dialled instead of host and port when not empty.
    """

    scheme: str
    host: str
    port: int
    socket_path: str = ""

    @property
    def authority(self) -> str:
        """The value of the `host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def origin_of(url: str) -> Origin:
    """The origin of an absolute http or https URL; path and query are of no interest.

    Raises:
        SettingsError: it is not one, or it carries a user or password.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise errors.SettingsError(f"`{url}` is not a URL: {error}") from error
    if parts.scheme not in _PORTS or not host or parts.username is not None:
        raise errors.SettingsError("a URL has to be like `https://host:port/path`")
    if not host.isascii():
        host = host.encode("idna").decode()
    return Origin(scheme=parts.scheme, host=host, port=port or _PORTS[parts.scheme])


def unix_origin(path: str) -> Origin:
    """Plain HTTP over a unix socket."""
    return Origin(scheme="http", host="localhost", port=80, socket_path=path)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressRule:
    """Which resolved addresses must not be dialled (S7, X14).

    The pool asks for every address that a name leads to, and connects to exactly the one that
    was permitted, so a name that changes its mind in between wins nothing.

    Attributes:
        refused: networks that are not dialled.
        excepted: networks that are, although `refused` covers them.
    """

    refused: tuple[_Network, ...] = ()
    excepted: tuple[_Network, ...] = ()

    def permits(self, address: str) -> bool:
        """Whether `address`, a literal that may have a zone, may be dialled."""
        if not self.refused:
            return True
        try:
            wanted = [ipaddress.ip_address(address.partition("%")[0])]
        except ValueError:
            return False
        wanted += _inner(wanted[0])
        return all(self._permits_one(each) for each in wanted)

    def _permits_one(self, address: _Address) -> bool:
        if any(address in network for network in self.excepted):
            return True
        return not any(address in network for network in self.refused)


def _inner(address: _Address) -> list[_Address]:
    """IPv4 addresses that an IPv6 address leads to: mapped, NAT64, 6to4, Teredo."""
    if address.version == 4:  # noqa: PLR2004
        return []
    found: list[_Address] = []
    if address.ipv4_mapped is not None:
        found.append(address.ipv4_mapped)
    if address.sixtofour is not None:
        found.append(address.sixtofour)
    if address.teredo is not None:
        found.append(address.teredo[1])
    if address in _NAT64 or 1 < int(address) < 1 << 32:
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
    return found


def _networks(*written: str) -> tuple[_Network, ...]:
    return tuple(ipaddress.ip_network(each) for each in written)


_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")

EVERYWHERE: Final = AddressRule()
"""The laptop: whoever runs the gateway may reach all of this anyway."""

PRIVATE: Final = _networks(
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"
)
"""Add to `refused` where sources in private ranges are not wanted."""

IN_CLUSTER: Final = AddressRule(
    refused=_networks(
        "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "224.0.0.0/4",
        "240.0.0.0/4", "100.100.100.200/32", "::/128", "::1/128", "fe80::/10", "ff00::/8",
        "fd00:ec2::254/128",
    )
)  # fmt: skip
"""A pod: loopback, link-local, metadata, multicast and unspecified addresses are refused."""
