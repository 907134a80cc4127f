"""Where a source's calls go: what changes it, what does not, and what people are shown of it."""

import pytest

from mesh7_core.compiling import compiler
from mesh7_core.policy import destination
from mesh7_core.policy.destination import Destination

HTTP = (
    "http: {url: 'https://api.example:8443/live'}, "
    "auth: {key: billing, header: X-Key, scheme: Token}, headers: [{name: X-Team, value: pay}]"
)
CHILD = (
    "mcp: {transport: Stdio, command: [/opt/tools/mcp-server-time, --zone, UTC], "
    "env: [{name: TOKEN, value: hush-hush}]}"
)
MCP = "mcp: {url: 'https://api.example/mcp?k=1'}"


def where(spec: str, **environment: str) -> Destination:
    """Where the calls of a source of this spec go."""
    text = (
        "apiVersion: mesh7.dev/v1alpha1\nkind: ToolSource\nmetadata: {name: billing}\n"
        f"spec: {{{spec}}}\n"
    )
    compiled = compiler.compile_files({"a.yaml": text.encode()}, environment=environment)
    assert compiled.bundle is not None, compiled.diagnostics
    return destination.destination(compiled.bundle.sources["billing"])


@pytest.mark.promise("A11")
@pytest.mark.parametrize(
    ("spec", "before", "after"),
    [
        (HTTP, "/live", "/test"),
        (HTTP, "api.example", "other.example"),
        (HTTP, ":8443", ""),
        (HTTP, "https", "http"),
        (MCP, "k=1", "k=2"),
        (HTTP, "key: billing", "key: admin"),
        (HTTP, "X-Key", "X-Admin-Key"),
        (HTTP, "Token", "Bearer"),
        (HTTP, "value: pay", "value: root"),
        (HTTP, "X-Team", "X-Tenant"),
        (HTTP, "http: {url", "mcp: {url"),
        (CHILD, "mcp-server-time", "mcp-server-git"),
        (CHILD, "UTC", "CET"),
        (CHILD, "--zone, UTC", "'--zone UTC'"),
    ],
)
def test_an_approval_is_for_one_place_and_one_account(spec: str, before: str, after: str) -> None:
    """Security review of issue 7: whoever edits a ToolSource must not turn a yes elsewhere."""
    assert before in spec
    assert where(spec).digest != where(spec.replace(before, after)).digest


@pytest.mark.parametrize(
    ("spec", "before", "after"),
    [
        (CHILD, "hush-hush", "renewed"),
        (MCP, "mcp: {", "bounds: {timeout: 5s}, pinning: {mode: Warn}, mcp: {"),
        (MCP, "mcp: {", "tools: {exclude: [a*]}, mcp: {"),
    ],
)
def test_what_leads_nowhere_else_voids_no_approval(spec: str, before: str, after: str) -> None:
    """Secrets are renewed, and lists of tools are cut, while people think."""
    assert before in spec
    assert where(spec).digest == where(spec.replace(before, after)).digest


def test_the_order_of_headers_does_not_matter() -> None:
    one, other = "{name: A, value: b}", "{name: C, value: d}"
    first = where(f"{MCP}, headers: [{one}, {other}]")
    assert first == where(f"{MCP}, headers: [{other}, {one}]")


def test_the_digest_is_the_same_in_every_release() -> None:
    """Pinned: sidecar and operator may be of two releases. Another form needs another `FORM`."""
    assert where(MCP).digest == (
        "sha256:adf00b5ee422e52aa404e6c4dc67d20d87a25bc893d98b60dbc1653e7e3c2820"
    )


@pytest.mark.parametrize(
    ("spec", "address", "path"),
    [
        (MCP, "api.example", "/mcp"),
        ("http: {url: 'https://API.example:8443/live/'}", "api.example:8443", "/live/"),
        ("http: {url: 'http://[::1]:80'}", "[::1]:80", ""),
        ("mcp: {url: 'https://api.example/mcp?key=1'}", "api.example", "/mcp"),
        (CHILD, "stdio", "mcp-server-time"),
    ],
)
def test_people_see_host_and_path(spec: str, address: str, path: str) -> None:
    """Or the program; never the query, which may hold a key."""
    found = where(spec)
    assert (found.name, found.address, found.path) == ("billing", address, path)


@pytest.mark.promise("A11")
@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ("mcp: {url: 'https://api.example/${TOKEN}/mcp'}", "/${TOKEN}/mcp"),
        ("mcp: {url: '${URL}'}", ""),
        ("mcp: {url: 'https://${HOST}'}", ""),
        ("mcp: {transport: Stdio, command: ['/bin/${TOKEN}']}", "${TOKEN}"),
    ],
)
def test_a_secret_in_a_path_is_not_shown(spec: str, path: str) -> None:
    """What a laptop's environment fills in may be one: people see the name that they wrote."""
    names = ("TOKEN", "URL", "HOST")
    filled = ("hush", "https://api.example/hush", "api.example/hush")
    found = where(spec, **dict(zip(names, filled, strict=True)))
    assert found.path == path
    assert "hush" not in repr(found)
