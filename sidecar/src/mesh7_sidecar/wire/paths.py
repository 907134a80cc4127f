"""What the request targets of the data listener mean, each in exactly one spelling.

A trailing slash, an encoded letter, a double slash, a query where none belongs, an absolute form:
none of them is a route (promise X12). Pure: no clock, no network, no logging.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote_to_bytes

_SOURCE: Final = r"[a-z0-9](?:[a-z0-9-]{0,22}[a-z0-9])?"
_MCP = re.compile(rf"/mcp/({_SOURCE})")
_HTTP = re.compile(rf"/http/({_SOURCE})(/.*)", re.DOTALL)
_TOOL = re.compile(rf"/v1/tools/({_SOURCE})\.([^/?#]+)")
_TARGET = re.compile(r"[!-~]+")
_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")
_BAD_ENCODING = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PLAIN_IN_NAMES: Final = "!$&'()*+,:;=@-._~"


@dataclass(frozen=True, slots=True)
class McpRoute:
    """`/mcp/<source>`: one server, its own names."""

    source: str


@dataclass(frozen=True, slots=True)
class AggregateRoute:
    """`/mcp`: all of the agent's sources under one roof."""


@dataclass(frozen=True, slots=True)
class HttpRoute:
    """`/http/<source>/…`: a plain HTTP API.

    Attributes:
        path: percent-decoded once, starts with `/`: what is judged.
        query: as sent, without `?`; empty when there is none.
        target: what goes to the source: the path as sent, which decodes to `path` and nothing
            else, and the query.
    """

    source: str
    path: str
    query: str
    target: str


@dataclass(frozen=True, slots=True)
class ToolsRoute:
    """`/v1/tools`: the tools this agent may call."""


@dataclass(frozen=True, slots=True)
class ToolRoute:
    """`/v1/tools/<source>.<tool>`: one call without MCP."""

    source: str
    tool: str


@dataclass(frozen=True, slots=True)
class DecideRoute:
    """`/v1/decide`: a dry run."""


Route = McpRoute | AggregateRoute | HttpRoute | ToolsRoute | ToolRoute | DecideRoute

_FIXED: Final[dict[str, Route]] = {
    "/mcp": AggregateRoute(),
    "/v1/tools": ToolsRoute(),
    "/v1/decide": DecideRoute(),
}


def route(target: str) -> Route | None:
    """The route of a request target as received; None when it is none (404)."""
    fixed = _FIXED.get(target)
    if fixed is not None:
        return fixed
    if (match := _MCP.fullmatch(target)) is not None:
        return McpRoute(match[1])
    if (match := _HTTP.fullmatch(target)) is not None:
        return _http_route(match[1], match[2])
    if (match := _TOOL.fullmatch(target)) is not None:
        return _tool_route(match[1], match[2])
    return None


def canonical_path(path: str) -> str | None:
    """A path of an HTTP API, decoded once; None when two servers could read it differently.

    Refused: anything but visible ASCII, an empty segment inside, `.` and `..` segments, an encoded
    slash or a backslash, a `;` (some servers cut a segment's parameters off, others do not),
    encoded control characters, bytes that are not UTF-8, a `%` that encodes nothing, and what is
    still encoded after one decoding.
    """
    if _TARGET.fullmatch(path) is None or _BAD_ENCODING.search(path) is not None:
        return None
    try:
        decoded = unquote_to_bytes(path).decode()
    except UnicodeError:
        return None
    if decoded.count("/") != path.count("/") or "//" in decoded:
        return None
    if not decoded.isprintable() or _ENCODED.search(decoded) is not None or "#" in path:
        return None
    if "\\" in decoded or ";" in decoded:
        return None
    if any(segment in {".", ".."} for segment in decoded.split("/")):
        return None
    return decoded


def _http_route(source: str, rest: str) -> HttpRoute | None:
    written, mark, query = rest.partition("?")
    path = canonical_path(written)
    if path is None or (query and (_TARGET.fullmatch(query) is None or "#" in query)):
        return None
    return HttpRoute(source, path, query, written + mark + query)


def _tool_route(source: str, written: str) -> ToolRoute | None:
    try:
        tool = unquote_to_bytes(written).decode()
    except UnicodeError:
        return None
    if quote(tool, safe=_PLAIN_IN_NAMES) != written:
        return None
    return ToolRoute(source, tool)
