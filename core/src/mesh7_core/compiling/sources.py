"""ToolSource from written to meant; what is not served yet is refused by name.

Messages never quote what `${NAME}` filled in. Pure: no clock, no network, no logging.
"""

import re
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

from mesh7_core import names
from mesh7_core.api import sources as written
from mesh7_core.api.manifests import Document
from mesh7_core.api.objects import DNS_LABEL
from mesh7_core.api.places import Path, value_at
from mesh7_core.compiling.diagnostics import Findings
from mesh7_core.compiling.texts import Parser
from mesh7_core.compiling.urls import BadUrl, Url, parse_url
from mesh7_core.policy import bundle
from mesh7_core.policy.calls import SourceKind

LONGEST_NAME = 24
DEFAULT_TIMEOUT = timedelta(seconds=60)
DEFAULT_RESPONSE_SIZE = 10 * 1024 * 1024
SMALLEST_TIMEOUT = timedelta(milliseconds=1)
STDIO_HOST = "stdio"

_NAME = re.compile(DNS_LABEL)
_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,251}")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")
_SCHEME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_URL_PATH = re.compile(r"[^:/?#]+://[^/?#]*([^?#]*)")
_RESERVED_HEADERS = frozenset(
    ("accept", "connection", "content-length", "content-type", "expect", "host", "keep-alive",
     "last-event-id", "mcp-method", "mcp-name", "mcp-protocol-version", "mcp-session-id", "te",
     "trailer", "transfer-encoding", "upgrade")
)  # fmt: skip
"""The gateway writes these itself; a fixed one would contradict it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sheet:
    """One source's compilation: what is shared by its steps."""

    document: Document
    findings: Findings
    parser: Parser

    def error(self, path: Path, message: str) -> None:
        self.findings.error(self.document, ("spec", *path), message)

    def warning(self, path: Path, message: str) -> None:
        self.findings.warning(self.document, ("spec", *path), message)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """How the source is reached."""

    kind: SourceKind
    transport: bundle.Transport | None
    url: Url | None
    command: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()


def compile_source(
    source: written.ToolSource, document: Document, parser: Parser
) -> bundle.Source | None:
    """One source; None when it cannot be served, which is then an error among the findings."""
    sheet = _Sheet(document=document, findings=parser.findings, parser=parser)
    _check_name(source.metadata.name, sheet)
    _check_unserved(source.spec, sheet)
    way = _way(source.spec, sheet)
    if way is None:
        return None
    spec = source.spec
    return bundle.Source(
        name=source.metadata.name,
        kind=way.kind,
        transport=way.transport,
        url=way.url.text if way.url is not None else "",
        host=way.url.host if way.url is not None else STDIO_HOST,
        command=way.command,
        environment=way.environment,
        headers=_headers(spec, way, sheet),
        credential=_credential(spec.auth, way, sheet),
        include=parser.text_globs(spec.tools.include, ("spec", "tools", "include")),
        exclude=parser.text_globs(spec.tools.exclude, ("spec", "tools", "exclude")),
        pinning=bundle.Pinning(spec.pinning.mode),
        accepted=_accepted(source, way, sheet),
        validate_arguments=spec.validate_arguments,
        server_requests=bundle.ServerRequests(
            sampling=bundle.ServerRequest(spec.server_requests.sampling),
            roots=bundle.ServerRequest(spec.server_requests.roots),
            elicitation=bundle.ServerRequest(spec.server_requests.elicitation),
        ),
        bounds=_bounds(spec.bounds, sheet),
        hints=_hints(spec.tools.hints, sheet),
        path=_path(way, document),
    )


def _check_name(name: str, sheet: _Sheet) -> None:
    if not _NAME.fullmatch(name):
        meant = name.replace(".", "-")
        sheet.findings.error(
            sheet.document, ("metadata", "name"),
            f"source `{name}` has a dot in its name, and tools are called `<source>.<tool>`, "
            f"did you mean `{meant}`?",
        )  # fmt: skip
    elif len(name) > LONGEST_NAME:
        sheet.findings.error(
            sheet.document, ("metadata", "name"),
            f"source `{name}` has {len(name)} characters in its name, at most {LONGEST_NAME} "
            "are allowed",
        )  # fmt: skip


def _check_unserved(spec: written.ToolSourceSpec, sheet: _Sheet) -> None:
    if spec.http is not None and spec.http.operations is not None:
        sheet.error(("http", "operations"), "`operations` is not supported yet, remove it: the "
                    "tool is then the method in lower case and the path is for `when`")  # fmt: skip
    if spec.validate_arguments:
        sheet.error(("validateArguments",), "`validateArguments: true` is not supported yet, "
                    "remove it")  # fmt: skip


def _way(spec: written.ToolSourceSpec, sheet: _Sheet) -> _Way | None:
    kinds = [kind for kind in SourceKind if getattr(spec, kind.value) is not None]
    if not kinds:
        sheet.error((), "the source has no kind, add `mcp` or `http`")
        return None
    if len(kinds) > 1:
        found = " and ".join(f"`{kind}`" for kind in kinds)
        sheet.error((), f"the source has {found}, write one source for each")
        return None
    if spec.mcp is not None:
        return _mcp(spec.mcp, sheet)
    if spec.http is not None:
        return _http(spec.http, sheet)
    sheet.error((kinds[0].value,), f"source kind `{kinds[0]}` is not supported yet, use `mcp` or "
                "`http`")  # fmt: skip
    return None


def _http(http: written.Http, sheet: _Sheet) -> _Way:
    url = _url(http.url, ("http", "url"), sheet)
    if url is not None and "?" in url.text:
        sheet.error(("http", "url"), "the URL has a query (`?…`), remove it: callers add theirs")
    return _Way(kind=SourceKind.HTTP, transport=None, url=url)


def _mcp(mcp: written.Mcp, sheet: _Sheet) -> _Way | None:
    transport = bundle.Transport(mcp.transport)
    if transport is bundle.Transport.SSE:
        sheet.error(("mcp", "transport"), "mcp transport `SSE` is not supported yet, use "
                    "`StreamableHTTP` or `Stdio`")  # fmt: skip
        return None
    if transport is bundle.Transport.STDIO:
        return _stdio(mcp, sheet)
    for name, value in (("command", mcp.command), ("env", mcp.env or None)):
        if value is not None:
            sheet.error(("mcp", name), f"`{name}` belongs to `transport: Stdio`, write that or "
                        f"remove `{name}`")  # fmt: skip
    if mcp.url is None:
        sheet.error(("mcp",), "`url` is missing, add it, or write `transport: Stdio` and `command`")
        return None
    url = _url(mcp.url, ("mcp", "url"), sheet)
    return _Way(kind=SourceKind.MCP, transport=transport, url=url)


def _stdio(mcp: written.Mcp, sheet: _Sheet) -> _Way:
    if mcp.url is not None:
        sheet.error(("mcp", "url"), "`url` does not go with `transport: Stdio`, remove one of them")
    if mcp.command is None:
        sheet.error(("mcp",), "`command` is missing, `transport: Stdio` needs a program such as "
                    '`command: ["mcp-server-time"]`')  # fmt: skip
    for index, part in enumerate(mcp.command or ()):
        if "\0" in part or (index == 0 and not part.strip()):
            sheet.error(("mcp", "command", index), "the program is empty or has a null character")
    known: set[str] = set()
    for index, variable in enumerate(mcp.env):
        path = ("mcp", "env", index, "name")
        if not _VARIABLE.fullmatch(variable.name):
            sheet.error(path, "not a variable's name, write letters, digits and `_`")
        if variable.name in known:
            sheet.error(path, "the variable is set twice, remove one")
        if "\0" in variable.value:
            sheet.error((*path[:-1], "value"), "the value has a null character, remove it")
        known.add(variable.name)
    return _Way(
        kind=SourceKind.MCP,
        transport=bundle.Transport.STDIO,
        url=None,
        command=mcp.command or (),
        environment=tuple((variable.name, variable.value) for variable in mcp.env),
    )


def _url(text: str, path: Path, sheet: _Sheet) -> Url | None:
    try:
        return parse_url(text)
    except BadUrl as error:
        sheet.error(path, error.message)
        return None


def _path(way: _Way, document: Document) -> str:
    """Out of what people wrote: what `${NAME}` fills in may be a secret, and this is shown."""
    if way.transport is bundle.Transport.STDIO:
        program = value_at(document.value, ("spec", "mcp", "command", 0))
        return program.rpartition("/")[2] if isinstance(program, str) else ""
    url = value_at(document.value, ("spec", way.kind.value, "url"))
    found = _URL_PATH.match(url) if isinstance(url, str) else None
    return found[1] if found is not None else ""


def _headers(spec: written.ToolSourceSpec, way: _Way, sheet: _Sheet) -> tuple[tuple[str, str], ...]:
    if spec.headers and way.transport is bundle.Transport.STDIO:
        sheet.error(("headers",), "a `Stdio` server has no headers, use `mcp.env`")
    found: dict[str, str] = {}
    for index, header in enumerate(spec.headers):
        path: Path = ("headers", index)
        name = header.name.lower()
        _check_header(name, (*path, "name"), sheet)
        if name in found or (spec.auth is not None and name == spec.auth.header.lower()):
            sheet.error((*path, "name"), "the header is set twice, remove one")
        if not _HEADER_VALUE.fullmatch(header.value):
            sheet.error((*path, "value"), "the value is not printable ASCII, encode it")
        found[name] = header.value.strip()
    return tuple(found.items())


def _check_header(name: str, path: Path, sheet: _Sheet) -> None:
    if not _HEADER_NAME.fullmatch(name):
        sheet.error(path, "not a header's name, write letters, digits and dashes")
    elif name in _RESERVED_HEADERS:
        sheet.error(path, f"header `{name}` is written by the gateway itself, remove it")


def _credential(auth: written.Auth | None, way: _Way, sheet: _Sheet) -> bundle.Credential | None:
    if auth is None:
        return None
    if way.transport is bundle.Transport.STDIO:
        sheet.error(("auth",), "a `Stdio` server has no headers, give it the credential by "
                    "`mcp.env` and `${NAME}`")  # fmt: skip
    if not _KEY.fullmatch(auth.key) or auth.key.endswith(names.HOSTS_SUFFIX):
        sheet.error(("auth", "key"), "not a credential's key, write letters, digits, `-`, `_` and "
                    f"inner dots, not ending in `{names.HOSTS_SUFFIX}`")  # fmt: skip
    _check_header(auth.header.lower(), ("auth", "header"), sheet)
    if auth.scheme is not None and not _SCHEME.fullmatch(auth.scheme):
        sheet.error(("auth", "scheme"), 'not a scheme, write one word such as `Bearer`, or `""`')
    if way.url is not None and way.url.is_plain and not way.url.is_loopback:
        sheet.warning((way.kind.value, "url"), "the credential travels unencrypted over `http://`, "
                      "use `https://`")  # fmt: skip
    default = "Bearer" if auth.header.lower() == "authorization" else ""
    return bundle.Credential(
        key=auth.key, header=auth.header, scheme=default if auth.scheme is None else auth.scheme
    )


def _accepted(source: written.ToolSource, way: _Way, sheet: _Sheet) -> MappingProxyType[str, str]:
    pinning = source.spec.pinning
    mode = bundle.Pinning(pinning.mode)
    if way.kind is not SourceKind.MCP and (pinning.accepted or mode is not bundle.Pinning.IGNORE):
        sheet.error(("pinning",), f"`pinning` does not go with `{way.kind.value}`, remove it: only "
                    "MCP servers say what their tools are")  # fmt: skip
    found: dict[str, str] = {}
    for index, one in enumerate(pinning.accepted):
        if one.tool in found:
            sheet.error(("pinning", "accepted", index, "tool"), f"tool `{one.tool}` is accepted "
                        "twice, remove one")  # fmt: skip
        found[one.tool] = one.digest
    if mode is bundle.Pinning.ENFORCE and not found:
        sheet.warning(("pinning",), "no tool is accepted, so that none is served: look at them "
                      f"with `mesh7 tools`, then `mesh7 tools accept --all {source.metadata.name}`"
                      )  # fmt: skip
    return MappingProxyType(found)


def _bounds(bounds: written.Bounds, sheet: _Sheet) -> bundle.Bounds:
    timeout = DEFAULT_TIMEOUT if bounds.timeout is None else bounds.timeout
    size = DEFAULT_RESPONSE_SIZE if bounds.max_response_size is None else bounds.max_response_size
    if timeout < SMALLEST_TIMEOUT:
        sheet.error(("bounds", "timeout"), "the timeout is zero, nothing could ever answer")
    if size < 1:
        sheet.error(("bounds", "maxResponseSize"), "the size is zero, nothing could ever answer")
    return bundle.Bounds(
        timeout=timeout, maximum_response_bytes=size, maximum_concurrency=bounds.max_concurrency
    )


def _hints(hints: tuple[written.Hint, ...], sheet: _Sheet) -> tuple[bundle.Hint, ...]:
    found = []
    for index, hint in enumerate(hints):
        glob = sheet.parser.text_glob(hint.match, ("spec", "tools", "hints", index, "match"))
        if glob is not None:
            found.append(
                bundle.Hint(
                    match=glob,
                    read_only=hint.read_only,
                    destructive=hint.destructive,
                    idempotent=hint.idempotent,
                    open_world=hint.open_world,
                )
            )
    return tuple(found)
