"""Lists: cut to what may be known, else byte for byte."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_core import errors
from mesh7_sidecar.wire import jsonrpc, lists

TOOLS = (
    b'{"jsonrpc": "2.0", "id": 1, "result": {"tools": [\n'
    b'  {"name": "read", "x-vendor": 1.50, "inputSchema": {"$defs": {}, "type": "object"}},\n'
    b'  {"title":"\\u00c9","name":"write"} ,{"name":"zap","annotations":{"vendor":true}}\n'
    b'], "nextCursor": "b\\u0061d==", "vendor": 1e2, "ttlMs": 60000, "cacheScope": "public"}}'
)


def filtered(body: bytes, keep: set[str], method: str = "tools/list") -> bytes:
    found = lists.filter_list(body, method, lambda entry: entry.judged in keep)
    assert isinstance(found, lists.Filtered)
    return found.body


@pytest.mark.promise("D31")
def test_kept_entries_keep_their_order_and_their_bytes() -> None:
    """D31, M2, M4: flux7-mesh shuffled tools and lost fields and pages."""
    assert filtered(TOOLS, {"zap", "read"}) == (
        b'{"jsonrpc": "2.0", "id": 1, "result": {"tools": ['
        b'{"name": "read", "x-vendor": 1.50, "inputSchema": {"$defs": {}, "type": "object"}},'
        b'{"name":"zap","annotations":{"vendor":true}}'
        b'], "nextCursor": "b\\u0061d==", "vendor": 1e2, "ttlMs": 5000, "cacheScope": "private"}}'
    )


@pytest.mark.promise("M4")
def test_a_list_with_nothing_to_lose_is_the_same_object() -> None:
    """M4."""
    body = TOOLS.replace(b"60000", b"4000").replace(b"public", b"private")
    assert filtered(body, {"read", "write", "zap"}) is body
    error = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}'
    assert filtered(error, set()) is error


@pytest.mark.promise("M2")
@pytest.mark.parametrize(
    ("given_ttl", "expected"),
    [(b"0", b"0"), (b"5000", b"5000"), (b"5001", b"5000"), (b"-1", b"5000"), (b'"x"', b"5000"),
     (b"1e99", b"5000"), (b"true", b"5000")],
)  # fmt: skip
def test_cache_hints_are_made_private_and_short(given_ttl: bytes, expected: bytes) -> None:
    """Design 4: a filtered list is one agent's, and only for seconds."""
    body = b'{"jsonrpc":"2.0","id":1,"result":{"tools":[],"ttlMs":%b,"cacheScope":"private"}}'
    assert filtered(body % given_ttl, set()) == body % expected


@pytest.mark.promise("M12")
@pytest.mark.promise("X20")
def test_names_that_imitate_others_or_come_twice_are_dropped_and_reported() -> None:
    """M12, X20."""
    names = ["read", "re\u0430d", "read\u200b", "read", "write"]
    body = json.dumps(
        {"jsonrpc": "2.0", "id": 1, "result": {"tools": [{"name": name} for name in names]}}
    ).encode()
    found = lists.filter_list(body, "tools/list", lambda _: True)
    assert isinstance(found, lists.Filtered)
    assert json.loads(found.body)["result"]["tools"] == [{"name": "read"}, {"name": "write"}]
    assert [dropped.name for dropped in found.dropped] == ["re\u0430d", r"read\u{200b}", "read"]


@pytest.mark.parametrize(
    ("method", "entry", "judged"),
    [
        ("prompts/list", {"name": "p"}, "p"),
        ("resources/list", {"uri": "FILE:///a//%62"}, "file:///a/b"),
        ("resources/templates/list", {"uriTemplate": "file:///{path}"}, "file:///{path}"),
    ],
)
def test_every_kind_of_list_is_judged_by_its_own_name(
    method: str, entry: dict[str, str], judged: str
) -> None:
    """M6."""
    result = {lists.KEYS[method][0]: [entry]}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}).encode()
    assert filtered(body, {judged}, method) is body
    assert json.loads(filtered(body, set(), method))["result"] == {lists.KEYS[method][0]: []}


def test_entries_are_renamed_for_the_aggregate_and_nothing_else_of_them() -> None:
    """Design 10: `<source>_<tool>`."""
    found = lists.filter_list(
        TOOLS, "tools/list", lambda entry: entry.judged == "write", "billing_{}".format
    )
    assert isinstance(found, lists.Filtered)
    assert b'{"title":"\\u00c9","name":"billing_write"}' in found.body


@pytest.mark.parametrize(
    "result", [b'{"tools":{}}', b'{"tools":[1]}', b'{"tools":[{}]}', b'{"tools":[{"name":7}]}',
               b'{"tools":[],"nextCursor":7}', b'{"tools":[{"name":"a","name":"b"}]}']
)  # fmt: skip
def test_a_list_that_is_none_is_refused(result: bytes) -> None:
    """Design 10: lists are parsed strictly."""
    body = b'{"jsonrpc":"2.0","id":1,"result":%b}' % result
    assert isinstance(lists.filter_list(body, "tools/list", bool), jsonrpc.Malformed)
    with pytest.raises(errors.UpstreamError, match="cannot be read"):
        lists.tool_definitions(body)


def test_definitions_carry_their_bytes_and_what_callers_must_mirror() -> None:
    """For the catalog and for pinning."""
    schema = {"properties": {"r": {"type": "string", "x-mcp-header": "Region"}}}
    entry = json.dumps({"name": "a", "inputSchema": schema}, indent=1).encode()
    body = b'{"jsonrpc":"2.0","id":1,"result":{"tools":[ %b ]}}' % entry
    (definition,) = lists.tool_definitions(body)
    assert (definition.name, definition.raw) == ("a", entry)
    assert [one.header for one in definition.mirrored] == [b"mcp-param-region"]


NAMES = st.text(alphabet="abc_.", min_size=1, max_size=4)


@given(st.lists(st.tuples(NAMES, st.integers()), unique_by=lambda pair: pair[0]), st.sets(NAMES))
@pytest.mark.promise("M2")
def test_a_filtered_list_is_the_list_without_what_was_not_wanted(
    entries: list[tuple[str, int]], keep: set[str]
) -> None:
    """M2 as a law."""
    tools = [{"x": {"y": [number]}, "name": name} for name, number in entries]
    body = {"jsonrpc": "2.0", "id": 1, "result": {"a": [1], "tools": tools, "z": {}}}
    found = json.loads(filtered(json.dumps(body).encode(), keep))
    body["result"]["tools"] = [tool for tool in tools if tool["name"] in keep]  # type: ignore[index]
    assert found == body


@pytest.mark.promise("M2")
def test_the_aggregate_list_is_private_and_complete() -> None:
    """Design 4 and 10."""
    built = lists.build_list("x", "tools/list", [b'{"name":"a_b"}'], is_modern=True)
    assert json.loads(built) == {
        "jsonrpc": "2.0", "id": "x",
        "result": {
            "tools": [{"name": "a_b"}], "resultType": "complete", "ttlMs": 5000,
            "cacheScope": "private",
        },
    }  # fmt: skip
    legacy = lists.build_list(1, "prompts/list", [], is_modern=False)
    assert json.loads(legacy)["result"] == {"prompts": []}


@pytest.mark.promise("X11")
def test_a_page_that_would_hold_everybody_up_is_not_read() -> None:
    """Found in review: 250,000 entries stopped the event loop for two seconds."""
    entries = ",".join(f'{{"name":"t{number}"}}' for number in range(10_001))
    body = f'{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{entries}]}}}}'.encode()

    assert isinstance(lists.read_page(body, "tools/list"), jsonrpc.Malformed)
