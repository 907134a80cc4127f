"""Where sidecars of a namespace have to get to, sorted by how a NetworkPolicy can say it.

A NetworkPolicy knows pods, namespaces and addresses, and no names: a host outside of the cluster is
any address there.
Pure: no clock, no network, no logging.
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from mesh7_core import names
from mesh7_core.api.manifests import Document
from mesh7_core.api.places import value_at

_URLS: Final = (("spec", "mcp", "url"), ("spec", "http", "url"))
_PORTS: Final = {"http": 80, "https": 443, "redis": 6379, "rediss": 6379}
_SERVICE: Final = re.compile(r"(?P<name>[^.]+)\.(?P<namespace>[^.]+)\.svc(\..+)?")


@dataclass(frozen=True, slots=True, order=True)
class Service:
    """A service of the cluster; what port its pods have nobody says."""

    name: str
    namespace: str


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """One address; `network` is that address as a network of one."""

    network: str
    port: int


@dataclass(frozen=True, slots=True, order=True)
class Outside:
    """A host by a name that says nothing of the cluster."""

    host: str
    port: int


Destination = Service | Address | Outside


def of_url(url: str, namespace: str) -> Destination | None:
    """Where a URL leads.

    Args:
        url: of http, https, redis or rediss.
        namespace: whose pods ask; a host of one label is a service there.

    Returns:
        None = nowhere.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    host = parts.hostname
    if not host or port is None:
        return None
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return _named(host.lower(), namespace, port)
    return Address(str(ipaddress.ip_network(address)), port)


def of_sources(documents: Iterable[Document], namespace: str) -> frozenset[Destination]:
    """Where the ToolSources among the documents of a bundle lead."""
    urls = [
        url
        for one in documents
        if one.kind == names.TOOL_SOURCE
        for path in _URLS
        if isinstance(url := value_at(one.value, path), str)
    ]
    found = (of_url(url, namespace) for url in urls)
    return frozenset(one for one in found if one is not None)


def _named(host: str, namespace: str, port: int) -> Destination:
    if "." not in host:
        return Service(host, namespace)
    service = _SERVICE.fullmatch(host)
    if service is not None:
        return Service(service["name"], service["namespace"])
    # `billing.shop` may be a service, too; nobody can tell it from `example.com`.
    return Outside(host, port)
