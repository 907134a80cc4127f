"""Bodies and headers that two readers could take differently: none of them reaches a tool.

Each test is a row of the attack table (THREAT_MODEL.md), from a raw socket against a real gateway
process with a source that keeps what it was asked.
"""

import base64
import gzip
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.sidecar.doors.parts import META
from tests.sidecar.hostile.parts import LEGACY_HEADERS, attacked, legacy, modern, modern_headers

MCP_DOORS = ("/mcp/s", "/mcp")
CALL = {"name": "echo", "arguments": {"amount": 1}}
JSON_HEADERS = [("Content-Type", "application/json")]


def without(fields: Mapping[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in fields.items() if key != name}


@pytest.mark.promise("X1")
async def test_x1_headers_that_disagree_with_the_body_are_refused(tmp_path: Path) -> None:
    """Decided on the body alone; an old or absent version header disables nothing."""
    body, honest = modern("tools/call", CALL)
    hidden, _ = modern("tools/call", {"name": "hidden"})
    listing, _ = modern("tools/list", {})
    lies: dict[str, tuple[bytes, dict[str, str]]] = {
        "another method": (body, honest | {"mcp-method": "tools/list"}),
        "another method's case": (body, honest | {"mcp-method": "Tools/Call"}),
        "no method": (body, without(honest, "mcp-method")),
        "another name": (body, honest | {"mcp-name": "risky"}),
        "another name's case": (body, honest | {"mcp-name": "Echo"}),
        "no name": (body, without(honest, "mcp-name")),
        "an allowed name for a hidden tool": (hidden, honest),
        "a call's headers for a list": (listing, honest),
        "an old version for a modern body": (body, honest | {"mcp-protocol-version": "2025-06-18"}),
        "an unknown version": (body, honest | {"mcp-protocol-version": "2099-01-01"}),
        "no version for a modern body": (body, without(honest, "mcp-protocol-version")),
        "a modern version for an old body": (legacy("tools/call", CALL), honest),
    }
    async with attacked(tmp_path) as attack:
        for door in MCP_DOORS:
            found = {
                name: (await attack.post(door, sent, fields.items())).status
                for name, (sent, fields) in lies.items()
            }
            assert found == dict.fromkeys(lies, 400), door
        assert attack.reached == []
        assert await attack.is_well()


@pytest.mark.promise("X2")
async def test_x2_a_header_that_stands_twice_is_refused(tmp_path: Path) -> None:
    """Whichever of two copies somebody reads, it is not the one that was judged."""
    body, honest = modern("tools/call", CALL)
    twice = {
        "mcp-method": "tools/list", "mcp-name": "risky", "mcp-protocol-version": "2025-11-25",
        "content-type": "text/plain", "host": "elsewhere", "authorization": "Bearer x",
        "mcp-session-id": "x", "origin": "http://elsewhere", "content-length": "1",
    }  # fmt: skip
    given = honest | {"authorization": "Bearer y", "mcp-session-id": "y"}
    given |= {"origin": attack_origin()}
    async with attacked(tmp_path) as attack:
        found: dict[str, int] = {}
        for name, other in twice.items():
            base = honest | {name: given[name]} if name in given else honest
            first, second = list(base.items()), (name, other)
            for order in ([*first, second], [second, *first]):
                found[f"{name}, {order.index(second)}"] = (
                    await attack.post("/mcp/s", body, order)
                ).status
            same = [*first, (name, base.get(name, "127.0.0.1"))]
            if name != "content-length":
                found[f"{name}, same"] = (await attack.post("/mcp/s", body, same)).status

        assert {name: status for name, status in found.items() if status != 400} == {}
        assert attack.reached == []


def attack_origin() -> str:
    """An origin of this machine; two of them are two too many all the same."""
    return "http://127.0.0.1"


@pytest.mark.promise("X3")
async def test_x3_an_encoded_name_is_read_in_its_one_canonical_form(tmp_path: Path) -> None:
    """Everything else is what it looks like: a name that is not the body's."""
    word = base64.b64encode(b"echo").decode()  # ZWNobw==
    crooked = {
        "no padding": "=?base64?ZWNobw?=", "half the padding": "=?base64?ZWNobw=?=",
        "loose bits": "=?base64?ZWNobx==?=", "upper case": f"=?BASE64?{word}?=",
        "a blank": f"=?base64? {word}?=", "mime's form": f"=?utf-8?B?{word}?=",
        "not closed": f"=?base64?{word}", "url alphabet": "=?base64?ZWN-bw==?=",
        "twice": "=?base64?PT9iYXNlNjQ/WldOb2J3PT0/PQ==?=", "empty": "=?base64??=",
    }  # fmt: skip
    body, honest = modern("tools/call", CALL)
    async with attacked(tmp_path) as attack:
        found = {
            name: (await attack.post("/mcp/s", body, (honest | {"mcp-name": value}).items())).status
            for name, value in crooked.items()
        }
        assert found == dict.fromkeys(crooked, 400)
        assert attack.reached == []

        canonical = (honest | {"mcp-name": f"=?base64?{word}?="}).items()
        assert (await attack.post("/mcp/s", body, canonical)).status == 200
        assert attack.tools_called == ["echo"]


def modern_text(params: str) -> bytes:
    """A modern call with `params` as they are spelled; `META` stands for an honest `_meta`."""
    meta = json.dumps(META)
    text = '{"jsonrpc":"2.0","id":666,"method":"tools/call","params":%s}'
    return (text % params.replace("META", meta)).encode()


DUPLICATES = {
    "name": modern_text('{"_meta":META,"name":"echo","name":"hidden","arguments":{}}'),
    "name, escaped": modern_text('{"_meta":META,"name":"echo","n\\u0061me":"hidden"}'),
    "name, folded": modern_text('{"_meta":META,"name":"echo","Name":"hidden"}'),
    "arguments": modern_text('{"_meta":META,"name":"echo","arguments":{},"arguments":{"a":1}}'),
    "arguments, folded": modern_text('{"_meta":META,"name":"echo","arguments":{},"ARGUMENTS":{}}'),
    "in arguments": modern_text('{"_meta":META,"name":"echo","arguments":{"a":1,"a":2}}'),
    "deep down": modern_text(
        '{"_meta":META,"name":"echo","arguments":{"l":[{"a":{"b":1,"b":2}}]}}'
    ),
    "in meta": modern_text('{"_meta":{"x":1,"x":2},"name":"echo"}'),
    "method": b'{"jsonrpc":"2.0","id":666,"method":"tools/list","method":"tools/call",'
    b'"params":{"name":"echo"}}',
    "method, folded": b'{"jsonrpc":"2.0","id":666,"method":"tools/list","Method":"tools/call",'
    b'"params":{"name":"echo"}}',
    "id": b'{"jsonrpc":"2.0","id":1,"id":666,"method":"tools/call","params":{"name":"echo"}}',
    "params": b'{"jsonrpc":"2.0","id":666,"method":"tools/call","params":{"name":"echo"},'
    b'"params":{"name":"hidden"}}',
    "params, folded": b'{"jsonrpc":"2.0","id":666,"method":"tools/call","params":{"name":"echo"},'
    b'"PARAMS":{"name":"hidden"}}',
}


@pytest.mark.promise("X4")
async def test_x4_keys_that_stand_twice_are_refused(tmp_path: Path) -> None:
    """In an escaped or folded spelling too: Go servers fold the case of keys."""
    plain = {
        "in arguments": b'{"arguments":{"a":1,"a":2}}',
        "arguments": b'{"arguments":{},"arguments":{"a":1}}',
        "escaped": b'{"arguments":{},"\\u0061rguments":{"a":1}}',
        "folded": b'{"arguments":{},"Arguments":{"a":1}}',
    }
    async with attacked(tmp_path) as attack:
        for door in MCP_DOORS:
            for fields in (modern_headers(), LEGACY_HEADERS):
                found = await attack.outcomes(door, DUPLICATES, fields.items())
                assert found == dict.fromkeys(DUPLICATES, 400), door
        found = await attack.outcomes("/v1/tools/s.echo", plain, JSON_HEADERS)
        assert found == dict.fromkeys(plain, 400)
        twice = b'{"tool":"s.echo","tool":"s.hidden","arguments":{}}'
        assert (await attack.post("/v1/decide", twice, JSON_HEADERS)).status == 400
        assert attack.reached == []


BAD_NUMBERS = {
    "NaN": b"NaN", "infinity": b"Infinity", "minus infinity": b"-Infinity",
    "overflow": b"1e999", "minus overflow": b"-1E+999", "401 digits": b"1" * 401,
    "5,000 digits": b"9" * 5_000, "5,000 digits behind a point": b"0." + b"1" * 5_000,
    "leading zero": b"01", "plus": b"+1", "hex": b"0x10", "no digits": b"1.",
    "deep list": b"[" * 201 + b"]" * 201, "deep object": b'{"a":' * 201 + b"1" + b"}" * 201,
    "very deep list": b"[" * 100_000 + b"]" * 100_000,
    "very deep and open": b"[" * 100_000,
}  # fmt: skip


@pytest.mark.promise("X5")
async def test_x5_numbers_and_nesting_without_bounds_are_refused(tmp_path: Path) -> None:
    """All fail closed as 400, at every door."""
    async with attacked(tmp_path) as attack:
        mcp = {
            name: modern_text('{"_meta":META,"name":"echo","arguments":{"x":VALUE}}').replace(
                b"VALUE", value
            )
            for name, value in BAD_NUMBERS.items()
        }
        v1 = {name: b'{"arguments":{"x":%b}}' % value for name, value in BAD_NUMBERS.items()}
        for door in MCP_DOORS:
            found = await attack.outcomes(door, mcp, modern_headers().items())
            assert found == dict.fromkeys(mcp, 400), door
        assert await attack.outcomes("/v1/tools/s.echo", v1, JSON_HEADERS) == dict.fromkeys(v1, 400)
        assert attack.reached == []
        assert await attack.is_well()


@pytest.mark.promise("X6")
async def test_x6_only_strict_utf8_is_json(tmp_path: Path) -> None:
    text = modern("tools/call", CALL)[0].decode()
    named = modern_text('{"_meta":META,"name":"echo","arguments":{"x":"VALUE"}}')
    odd = {
        "byte order mark": b"\xef\xbb\xbf" + text.encode(), "UTF-16": text.encode("utf-16"),
        "UTF-16 little endian": text.encode("utf-16-le"), "UTF-32": text.encode("utf-32"),
        "lone surrogate": named.replace(b"VALUE", b"\\ud800"),
        "swapped surrogates": named.replace(b"VALUE", b"\\udc00\\ud800"),
        "surrogate in a key": named.replace(b'"x":', b'"\\udfff":'),
        "encoded surrogate": named.replace(b"VALUE", b"\xed\xa0\x80"),
        "overlong": named.replace(b"VALUE", b"\xc0\xaf"),
        "latin 1": named.replace(b"VALUE", b"\xe9"),
        "NUL tail": text.encode() + b"\0", "NUL inside": named.replace(b"VALUE", b"\0"),
        "second document": text.encode() * 2,
        "comment": text.encode() + b"// x",
        "trailing comma": text.encode()[:-1] + b",}", "nothing": b"", "blanks": b" \n",
        "single quotes": text.replace('"', "'").encode(),
    }  # fmt: skip
    async with attacked(tmp_path) as attack:
        for door in MCP_DOORS:
            found = await attack.outcomes(door, odd, modern_headers().items())
            assert found == dict.fromkeys(odd, 400), door
        assert attack.reached == []


@pytest.mark.promise("X7")
async def test_x7_batches_are_refused_in_every_revision(tmp_path: Path) -> None:
    """2025-03-26 had them; nothing rides along unjudged."""
    allowed, forbidden = legacy("tools/call", CALL), legacy("tools/call", {"name": "hidden"})
    batches = {
        "one": b"[%b]" % allowed, "two": b"[%b,%b]" % (allowed, forbidden), "none": b"[]",
        "nested": b"[[%b]]" % allowed, "padded": b" \n[%b]" % allowed,
        "modern": b"[%b]" % modern("tools/call", CALL)[0], "text": b'"tools/call"', "null": b"null",
    }  # fmt: skip
    async with attacked(tmp_path) as attack:
        for door in MCP_DOORS:
            for revision in ("2024-11-05", "2025-03-26", "2025-11-25"):
                fields = LEGACY_HEADERS | {"mcp-protocol-version": revision}
                found = await attack.outcomes(door, batches, fields.items())
                assert found == dict.fromkeys(batches, 400), (door, revision)
            found = await attack.outcomes(door, batches, modern_headers().items())
            assert found == dict.fromkeys(batches, 400), door
        assert attack.reached == []


def envelope(**changes: object) -> bytes:
    """A legacy call with these members changed; `...` removes one."""
    message: dict[str, object] = {
        "jsonrpc": "2.0", "id": 666, "method": "tools/call", "params": dict(CALL),
    }  # fmt: skip
    merged = (message | changes).items()
    return json.dumps({name: value for name, value in merged if value is not ...}).encode()


ENVELOPES = {
    "version 1.0": envelope(jsonrpc="1.0"),
    "version as number": envelope(jsonrpc=2.0),
    "no version": envelope(jsonrpc=...),
    "id null": envelope(id=None),
    "id true": envelope(id=True),
    "id fraction": envelope(id=1.5),
    "id list": envelope(id=[1]),
    "id object": envelope(id={}),
    "params list": envelope(params=["echo"]),
    "params text": envelope(params="echo"),
    "params null": envelope(params=None),
    "method number": envelope(method=1),
    "method null": envelope(method=None),
    "a result too": envelope(result={}),
    "an error too": envelope(error={}),
    "result and error": envelope(method=..., params=..., result={}, error={"code": 1}),
    "nothing": b"{}",
}
BAD_PARAMS = {
    "no name": envelope(params={"arguments": {}}),
    "name number": envelope(params={"name": 1}),
    "name list": envelope(params={"name": ["echo"]}),
    "name empty": envelope(params={"name": ""}),
    "arguments list": envelope(params={"name": "echo", "arguments": []}),
    "arguments text": envelope(params={"name": "echo", "arguments": "{}"}),
    "meta text": envelope(params={"name": "echo", "_meta": "x"}),
}
UNKNOWN_METHODS = {
    "leading blank": envelope(method=" tools/call"),
    "trailing blank": envelope(method="tools/call "),
    "another case": envelope(method="Tools/Call"), "NUL": envelope(method="tools/call\0"),
    "line feed": envelope(method="tools/call\n"), "zero width": envelope(method="tools\u200b/call"),
    "full width": envelope(method="tools\uff0fcall"), "made up": envelope(method="tools/run"),
}  # fmt: skip


@pytest.mark.promise("X8")
async def test_x8_an_envelope_that_is_nearly_right_is_refused(tmp_path: Path) -> None:
    async with attacked(tmp_path) as attack:
        for door in MCP_DOORS:
            found = await attack.outcomes(door, ENVELOPES, LEGACY_HEADERS.items())
            assert found == dict.fromkeys(ENVELOPES, 400), door
            for name, body in (UNKNOWN_METHODS | BAD_PARAMS).items():
                # How the older revisions say so: an error, with status 200.
                answer = await attack.post(door, body, LEGACY_HEADERS.items())
                assert (b'"error"' in answer.body, b'"result"' in answer.body) == (True, False), (
                    door, name,
                )  # fmt: skip
        assert attack.reached == []


@pytest.mark.promise("AG4")
@pytest.mark.promise("X8")
async def test_ag4_a_notification_that_carries_a_request_s_method_runs_nothing(
    tmp_path: Path,
) -> None:
    """Without an id nobody waits for an answer, so a careless server just acts."""
    silent = envelope(id=...)
    modern_silent = modern("tools/call", CALL)[0].replace(b'"id": 666, ', b"")
    async with attacked(tmp_path) as attack:
        for door in MCP_DOORS:
            for body, fields in ((silent, LEGACY_HEADERS), (modern_silent, modern_headers())):
                assert b'"id"' not in body
                await attack.post(door, body, fields.items())
        assert attack.tools_called == []
        assert attack.reached == []


@pytest.mark.promise("X10")
async def test_x10_a_compressed_request_is_refused_before_anybody_inflates_it(
    tmp_path: Path,
) -> None:
    body, honest = modern("tools/call", CALL)
    bomb = gzip.compress(b" " * 50_000_000 + body)
    async with attacked(tmp_path) as attack:
        found = {
            (door, coding): (
                await attack.post(door, sent, (honest | {"content-encoding": coding}).items())
            ).status
            for door in (*MCP_DOORS, "/v1/tools/s.echo")
            for coding, sent in (
                ("gzip", gzip.compress(body)), ("gzip, gzip", bomb), ("deflate", body),
                ("br", body), ("identity", body), ("x", body),
            )
        }  # fmt: skip
        wrong = {place: status for place, status in found.items() if status not in (400, 415)}
        assert {place for place in wrong if place[1] != "identity"} == set()
        assert [talk for talk in attack.reached if "content-encoding" in talk.headers] == []


@pytest.mark.promise("X10")
async def test_x10_a_source_is_asked_for_identity_whatever_the_agent_accepts(
    tmp_path: Path,
) -> None:
    body, honest = modern("tools/call", CALL)
    async with attacked(tmp_path) as attack:
        fields = honest | {"accept-encoding": "gzip, br, zstd"}
        assert (await attack.post("/mcp/s", body, fields.items())).status == 200

        [talk] = attack.reached
        assert talk.headers.get("accept-encoding", "identity") == "identity"
