"""What is served on a laptop and not in a cluster: programs, files, addresses of the node itself.

A tenant's program must not run beside the sidecar's credentials, and a sidecar must not be the way
to what answers only because of where the question comes from.
Pure: no clock, no network, no logging.
"""

import ipaddress
from collections.abc import Iterator
from typing import Final

from mesh7_core.api import sources as written
from mesh7_core.api.manifests import Document
from mesh7_core.api.places import Path
from mesh7_core.compiling.diagnostics import Code, Findings
from mesh7_core.compiling.urls import BadUrl, parse_url

_METADATA_HOSTS: Final = ("metadata", "metadata.google.internal", "instance-data")
_METADATA_ADDRESSES: Final = frozenset(
    ipaddress.ip_address(one) for one in ("100.100.100.200", "168.63.129.16", "fd00:ec2::254")
)
"""Those that are not link-local, as most are."""
_API_SERVER: Final = ("kubernetes", "kubernetes.default", "kubernetes.default.svc")


def is_served(spec: written.ToolSourceSpec, document: Document, findings: Findings) -> bool:
    """Whether a cluster serves such a source; what it does not is an error with its place."""
    refused = list(_refused(spec))
    for path, message in refused:
        findings.error(document, ("spec", *path), message, Code.NOT_SERVED_IN_CLUSTER)
    for path in _references(document.value.get("spec"), ("spec",)):
        findings.warning(document, path, "`${…}` is filled in on a laptop only, here it stays as "
                         "it is written: use `auth` for credentials")  # fmt: skip
    return not refused


def never_dialled(host: str) -> str | None:
    """Why no sidecar in a cluster dials a host, in a few words; None = it may.

    Args:
        host: as `Url.host` has it, or an address that a name was resolved to.
    """
    if host == "localhost" or host.endswith(".localhost"):
        return "it is the pod itself"
    if host in _METADATA_HOSTS:
        return "it is the cloud's metadata service"
    # What follows `svc` is the cluster's own domain.
    if host in _API_SERVER or host.startswith(f"{_API_SERVER[-1]}."):
        return "it is the API server"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return _why_not(address)


def _why_not(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str | None:
    inner = _inner(address)
    if inner is not None:
        return _why_not(inner)
    if address.is_loopback or address.is_unspecified:
        return "it is the pod itself"
    if address.is_link_local or address in _METADATA_ADDRESSES:
        return "link-local and metadata addresses are the node's own"
    if address.is_multicast or address.is_reserved:
        return "it is no address of one host"
    if isinstance(address, ipaddress.IPv4Address) and address.packed[0] == 0:
        return "it is the pod itself"
    return None


def _inner(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 one stands for: mapped, 6to4 or NAT64."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in ipaddress.IPv6Network("64:ff9b::/96"):
        return ipaddress.IPv4Address(address.packed[-4:])
    return None


def _refused(spec: written.ToolSourceSpec) -> Iterator[tuple[Path, str]]:
    if spec.mcp is not None and spec.mcp.transport == "Stdio":
        yield ("mcp", "transport"), ("`Stdio` is not served in a cluster, run the program as a pod "
                                     "of its own and use `StreamableHTTP`")  # fmt: skip
    if spec.cli is not None:
        yield ("cli",), ("`cli` is not served in a cluster, run the program behind HTTP as a pod "
                         "of its own")  # fmt: skip
    if spec.openapi is not None and spec.openapi.file is not None:
        yield ("openapi", "file"), ("`file` is not served in a cluster, use `configMapKeyRef` or "
                                    "`url`")  # fmt: skip
    for path, text in _urls(spec):
        why = _why_not_url(text)
        if why is not None:
            yield path, f"the URL's host is never dialled in a cluster: {why}"


def _urls(spec: written.ToolSourceSpec) -> Iterator[tuple[Path, str]]:
    if spec.mcp is not None and spec.mcp.url is not None:
        yield ("mcp", "url"), spec.mcp.url
    if spec.http is not None:
        yield ("http", "url"), spec.http.url
    if spec.openapi is not None:
        for name, url in (("url", spec.openapi.url), ("baseURL", spec.openapi.base_url)):
            if url is not None:
                yield ("openapi", name), url


def _why_not_url(text: str) -> str | None:
    try:
        return never_dialled(parse_url(text).host)
    except BadUrl:
        # Told by the compiler of sources, in its own words.
        return None


def _references(value: object, path: Path) -> Iterator[Path]:
    match value:
        case str() if "${" in value:
            yield path
        case dict():
            for key, inner in value.items():
                yield from _references(inner, (*path, key))
        case list():
            for index, inner in enumerate(value):
                yield from _references(inner, (*path, index))
        case _:
            pass
