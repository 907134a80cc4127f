"""Each route has one spelling, and each HTTP path one meaning."""

import string
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_sidecar.wire import names, paths, uris


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/mcp", paths.AggregateRoute()),
        ("/mcp/billing", paths.McpRoute("billing")),
        ("/v1/tools", paths.ToolsRoute()),
        ("/v1/decide", paths.DecideRoute()),
        ("/v1/tools/billing.create_refund", paths.ToolRoute("billing", "create_refund")),
        ("/v1/tools/a.b.c", paths.ToolRoute("a", "b.c")),
        ("/v1/tools/a.b%2Fc%20d", paths.ToolRoute("a", "b/c d")),
        ("/http/api/", paths.HttpRoute("api", "/", "", "/")),
        ("/http/api/v1/x%20y/?a=%2F..", paths.HttpRoute("api", "/v1/x y/", "a=%2F..",
                                                         "/v1/x%20y/?a=%2F..")),
        ("/http/api/x?", paths.HttpRoute("api", "/x", "", "/x?")),
    ],
)  # fmt: skip
def test_routes(target: str, expected: paths.Route) -> None:
    """Design 10."""
    assert paths.route(target) == expected


@pytest.mark.promise("X12")
@pytest.mark.parametrize(
    "target",
    [
        "", "/", "*", "mcp", "/mcp/", "//mcp", "/mcp?x=1", "/MCP", "/%6dcp", "/mcp/billing/",
        "/mcp//billing", "/mcp/b%69lling", "/mcp/Billing", "/mcp/-a", "/mcp/a.b", "/mcp/a_b",
        "/mcp/" + "a" * 25, "/mcp/..%2fadmin", "/mcp/../v1/tools", "/mcp/billing?x", "/mcp#x",
        "http://127.0.0.1:7007/mcp", "/v1/tools/", "/v1/tools/a", "/v1/tools/a.", "/v1/tools/.b",
        "/v1/tools/a.%62", "/v1/tools/a.b%2fc", "/v1/tools/a.b/c", "/v1/tools/a.b?x",
        "/v1/tools/a.%ff", "/v1/decide/", "/v1/decide?x=1", "/mcp/billing\n", "/mcp\n",
        "/http/api", "/http//x", "/http/api//x", "/http/api/x//y", "/http/api/../x",
        "/http/api/a/..", "/http/api/./x", "/http/api/%2e%2e/x", "/http/api/%2E./x",
        "/http/api/a%2fb", "/http/api/a%5cb", "/http/api/a\\b", "/http/api/a%00", "/http/api/%0a",
        "/http/api/%ff", "/http/api/%c0%af", "/http/api/a%252e", "/http/api/%zz", "/http/api/%",
        "/http/api/a b", "/http/api/..;x/y", "/http/api/v1/admin;x/users",
        "/http/api/a%3Bb", "/http/api/a#b", "/http/api/x?a#b", "/http/api/x?a b",
        "/http/api/x?a\r\nHost: y", "/http/api/\u00e9", "/http/api/%E2%80%AE", "/http/../mcp/x",
    ],
)  # fmt: skip
def test_any_other_spelling_is_no_route(target: str) -> None:
    """X12: 404, before anything is judged."""
    assert paths.route(target) is None


@given(st.text(alphabet=string.ascii_letters + "%/.;\\25eEfF0cC", max_size=12))
@pytest.mark.promise("X12")
def test_what_is_forwarded_decodes_to_what_is_judged(rest: str) -> None:
    """X12 as a law: one decoding gives the judged path, a second one gives it again."""
    found = paths.route("/http/api/" + rest)
    if found is not None:
        assert isinstance(found, paths.HttpRoute)
        assert unquote(found.target) == found.path == unquote(found.path)
        assert ".." not in found.path.split("/")


@given(st.text())
@pytest.mark.promise("X12")
def test_routing_is_total(target: str) -> None:
    """Any text is a route or is none."""
    paths.route(target)
    uris.canonical(target)
    names.shown(target)


@pytest.mark.promise("M6")
@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("file:///a/b", "file:///a/b"),
        ("FILE:///a/%62", "file:///a/b"),
        ("file:////a//b", "file:///a/b"),
        ("file:///a%2Fb", "file:///a/b"),
        ("https://Example.COM/A?q=%2F", "https://example.com/A?q=/"),
        ("memo://Alice", "memo://Alice"),
        ("urn:x:y", "urn:x:y"),
        ("file:///a/../b", None),
        ("file:///a/%2e%2e/b", None),
        ("file:///a%2f..%2fb", None),
        ("file:///a\\..\\b", None),
        ("file:///a%252fb", None),
        ("file:///a%00", None),
        ("file:///\u202e", None),
        ("file:///%ff", None),
        ("/etc/passwd", None),
        ("", None),
    ],
)
def test_a_resource_is_judged_by_one_form_of_its_uri(uri: str, expected: str | None) -> None:
    """M6: no spelling slips past a rule about another."""
    assert uris.canonical(uri) == expected


@pytest.mark.promise("X20")
@pytest.mark.parametrize(
    "name",
    [
        "",
        " a",
        "a ",
        "re\u0430d",
        "\uff52ead",
        "read\u200b",
        "re\u00adad",
        "a\nb",
        "a\x7f",
        "a" * 257,
    ],
)
def test_names_that_imitate_others_are_refused(name: str) -> None:
    """X20: Cyrillic, full width, zero width, blanks at the ends."""
    assert names.fault(name)


@pytest.mark.parametrize("name", ["a", "read_file", "a.b-c", "weird.name/x:y", "two words"])
def test_plain_names_are_fine(name: str) -> None:
    """protocols.md 1.7: servers in the wild use more than the recommended letters."""
    assert names.fault(name) is None


@pytest.mark.promise("M3")
def test_a_name_is_shown_without_what_acts_on_a_terminal() -> None:
    """Control characters and bidi are neutralised, and long names cut."""
    assert names.shown("a\x1b[2Jb\u202ec\u200bd\u00e9") == (
        r"a\u{1b}[2Jb\u{202e}c\u{200b}d" + "\u00e9"
    )
    assert names.shown("x" * 200) == "x" * 128 + "\u2026"
