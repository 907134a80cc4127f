"""Strict JSON-RPC: attacks 4 to 8 of the table in protocols.md section 6."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_sidecar.wire import jsonrpc
from tests.sidecar.wire import messages

CALL = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"x":%b}}}'


def code_of(body: bytes) -> tuple[int, int]:
    found = jsonrpc.parse(body)
    assert isinstance(found, jsonrpc.Malformed), found
    return found.status, found.code


def test_a_request_is_read_with_everything_it_says() -> None:
    raw = b'{"jsonrpc":"2.0","id":"a-1","method":"tools/list","params":{"cursor":"c"},"extra":1}'
    message = messages.read(raw)
    assert (message.kind, message.id, message.method, message.params, message.raw) == (
        jsonrpc.Kind.REQUEST, "a-1", "tools/list", {"cursor": "c"}, raw,
    )  # fmt: skip


@pytest.mark.promise("X4")
@pytest.mark.parametrize(
    "body",
    [
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","n\\u0061me":"b"}}',
        b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}',
        CALL % b'{"deep":[{"k":1,"k":2}]}',
    ],
)
def test_a_key_that_comes_twice_is_refused_anywhere(body: bytes) -> None:
    """X4: two readers would take two different values."""
    assert code_of(body) == (400, -32700)


@pytest.mark.promise("X5")
@pytest.mark.parametrize(
    "number",
    [
        b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1E+999", b"1.5e309", b"1e0000000400",
        b"9" * 310 + b".0", b"1" * 401, b"-" + b"1" * 401, b"0." + b"1" * 401,
        b"1" * 140 + b"." + b"1" * 140 + b"e" + b"0" * 140, b"1" * 5000, b"1" * 250 + b"e99",
    ],
)  # fmt: skip
def test_numbers_that_overflow_or_never_end_are_refused(number: bytes) -> None:
    """X5: 400 digits, finite, or nothing."""
    assert code_of(CALL % number) == (400, -32700)


@pytest.mark.promise("X5")
@pytest.mark.parametrize(
    "value",
    [
        b"1" * 400, b"-" + b"9" * 400, b"1e308", b"1e-999", b"0e999999", b"9007199254740993",
        b'"1e999"', b'"' + b"1" * 5000 + b'"', b'"\\"' + b"1" * 5000 + b'"', b'"a3e0001"',
    ],
)  # fmt: skip
def test_numbers_within_bounds_and_text_that_looks_like_none_pass(value: bytes) -> None:
    """X5, the other side: a filter on bytes must not refuse what is fine."""
    messages.read(CALL % value)


@pytest.mark.promise("X5")
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_nesting_is_counted_from_the_root(opening: bytes, closing: bytes) -> None:
    """X5: 200 levels pass, 201 do not, whatever the innermost is."""
    for inner in (b"1", b"[]", b"{}"):
        levels = 200 - 3 - (inner != b"1")
        messages.read(CALL % (opening * levels + inner + closing * levels))
        assert code_of(CALL % (opening * (levels + 1) + inner + closing * (levels + 1))) == (
            400, -32700,
        )  # fmt: skip


@pytest.mark.promise("X6")
@pytest.mark.parametrize(
    "body",
    [
        b"\xef\xbb\xbf" + messages.body("ping"),
        messages.body("ping").decode().encode("utf-16"),
        messages.body("ping").decode().encode("utf-16-le"),
        messages.body("ping").decode().encode("utf-32-be"),
        CALL % b'"\xff"',
        CALL % b'"\xc0\xaf"',
        CALL % b'"\xed\xa0\x80"',
        CALL % b'"\\ud800"',
        CALL % b'"\\udc00\\ud800"',
        messages.body("ping") + b"\0",
        messages.body("ping") + b"{}",
        CALL % b'"a\x00b"',
        b"",
        b" ",
    ],
)
def test_only_utf8_without_marks_surrogates_or_a_tail_is_json(body: bytes) -> None:
    """X6."""
    assert code_of(body) == (400, -32700)


@pytest.mark.promise("X7")
@pytest.mark.parametrize(
    "body", [b"[]", b"[" + messages.body("ping") + b"]", b"1", b'"x"', b"null", b"true"]
)
def test_batches_and_bare_values_are_refused_in_every_revision(body: bytes) -> None:
    """X7, design 10."""
    assert code_of(body) == (400, -32600)


@pytest.mark.promise("X8")
@pytest.mark.parametrize(
    "body",
    [
        b'{"id":1,"method":"ping"}',
        b'{"jsonrpc":"1.0","id":1,"method":"ping"}',
        b'{"jsonrpc":2.0,"id":1,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":null,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":1.0,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":true,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":[1],"method":"ping"}',
        b'{"jsonrpc":"2.0","id":1,"method":""}',
        b'{"jsonrpc":"2.0","id":1,"method":null}',
        b'{"jsonrpc":"2.0","id":1,"method":7}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping\\n"}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping\\u0000"}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":null}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}',
        b'{"jsonrpc":"2.0","id":1,"Method":"ping"}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","METHOD":"tools/call"}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","para\\u006ds":{},"Params":{}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","Name":"b"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","argument\\u017f":{}}}',
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","\uff4eame":"b"}}'.encode(),
        b'{"jsonrpc":"2.0","id":1}',
        b'{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":"x"}}',
        b'{"jsonrpc":"2.0","id":1,"result":[]}',
        b'{"jsonrpc":"2.0","id":1,"result":null}',
        b'{"jsonrpc":"2.0","id":null,"result":{}}',
        b'{"jsonrpc":"2.0","result":{}}',
        b'{"jsonrpc":"2.0","id":1,"error":{"code":"1","message":"x"}}',
        b'{"jsonrpc":"2.0","id":true,"error":{"code":1,"message":"x"}}',
    ],
)
def test_an_envelope_that_readers_could_take_differently_is_refused(body: bytes) -> None:
    """X8, and the case-folding rule of design 3."""
    assert code_of(body) == (400, -32600)


@pytest.mark.promise("D32")
def test_a_missing_or_wrong_jsonrpc_member_is_noticed() -> None:
    """D32: flux7-mesh never looked at it."""
    found = jsonrpc.parse(b'{"id":7,"method":"ping"}')
    assert found == jsonrpc.Malformed(400, -32600, '`jsonrpc` must be the string "2.0"', 7)


def test_an_error_response_may_have_the_id_null() -> None:
    """JSON-RPC 2.0 section 5: null when the id could not be read."""
    message = messages.read(b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}')
    assert (message.kind, message.id) == (jsonrpc.Kind.RESPONSE, None)


@pytest.mark.promise("AG17")
@pytest.mark.parametrize("identifier", ["9007199254740993", "1" * 400, '"a\\u0062\\"c"', "-5"])
def test_an_id_is_answered_as_the_number_or_text_it_was(identifier: str) -> None:
    """AG17: ids re-encoded through a float lost their last digit."""
    message = messages.read(b'{"jsonrpc":"2.0","id":%b,"method":"ping"}' % identifier.encode())
    assert json.loads(jsonrpc.encode_id(message.id)) == json.loads(identifier)


@pytest.mark.promise("X5")
def test_messages_about_bad_json_quote_no_value() -> None:
    """Style: never argument values in an error."""
    found = jsonrpc.parse(CALL % b'{"se\\"cret":1,"se\\"cret":2}')
    assert isinstance(found, jsonrpc.Malformed)
    assert "cret" not in found.message


@given(st.binary(max_size=200))
@pytest.mark.promise("X8")
def test_parse_is_total_on_any_bytes(body: bytes) -> None:
    """Issue 1: parse total on arbitrary bytes."""
    assert isinstance(jsonrpc.parse(body), jsonrpc.Message | jsonrpc.Malformed)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["jsonrpc", "id", "method", "params", "result"]), JSON))
@pytest.mark.promise("X8")
def test_parse_is_total_on_any_envelope(envelope: dict[str, object]) -> None:
    """What comes out as a message is one by the rules, whatever went in."""
    found = jsonrpc.parse(json.dumps(envelope).encode("utf-8", "surrogatepass"))
    if isinstance(found, jsonrpc.Message):
        assert envelope["jsonrpc"] == "2.0"
        assert isinstance(found.id, str | int) or found.kind is jsonrpc.Kind.NOTIFICATION


@given(JSON)
@pytest.mark.promise("X5")
def test_every_number_that_comes_through_is_finite(value: object) -> None:
    """The quick look at the bytes misses nothing: compare with a walk of the parsed value."""
    found = jsonrpc.parse_json(json.dumps(value).encode())
    is_finite = all(math.isfinite(number) for number in _floats(value))
    if not isinstance(found, jsonrpc.Malformed):
        assert is_finite


@given(
    st.from_regex(
        rb"-?(0|[1-9][0-9]{0,320})(\.[0-9]{1,320})?([eE][+-]?[0-9]{1,4})?", fullmatch=True
    )
)
@pytest.mark.promise("X5")
def test_a_number_passes_exactly_if_it_is_finite_and_short(number: bytes) -> None:
    """X5 as a law over spellings."""
    digits = sum(number.count(b"%d" % digit) for digit in range(10))
    is_float = not number.lstrip(b"-").isdigit()
    is_fine = digits <= 400 and (not is_float or math.isfinite(float(number)))
    assert isinstance(jsonrpc.parse_json(b"[" + number + b"]"), list) == is_fine


def _floats(value: object) -> list[float]:
    if isinstance(value, float):
        return [value]
    if isinstance(value, dict):
        return [found for inner in value.values() for found in _floats(inner)]
    return [found for inner in value for found in _floats(inner)] if isinstance(value, list) else []


@pytest.mark.promise("X11")
def test_an_id_that_nobody_should_have_to_remember_is_refused() -> None:
    """Ids of open requests are kept, so a source could fill the memory with long ones."""
    longest = jsonrpc.parse(b'{"jsonrpc":"2.0","id":"%b","method":"ping"}' % (b"x" * 256))
    longer = jsonrpc.parse(b'{"jsonrpc":"2.0","id":"%b","method":"ping"}' % (b"x" * 257))

    assert isinstance(longest, jsonrpc.Message)
    assert longer == jsonrpc.Malformed(
        400, jsonrpc.INVALID_REQUEST, "`id` must have at most 256 characters"
    )
