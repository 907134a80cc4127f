"""What a source answers is taken for an answer only if it is one."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_sidecar.wire import jsonrpc, results

LARGE = b'"pad":"' + b"x" * 300_000 + b'",'
ODD = b'"odd":[NaN,1e999,"\\ud800"],'


def fit(body: bytes, wanted: int | str = 7) -> results.Fit:
    found = results.check(body, wanted)
    assert isinstance(found, results.Fit), getattr(found, "what", "")
    return found


@pytest.mark.promise("D30")
@pytest.mark.parametrize("extra", [b"", ODD, LARGE])
def test_an_answer_passes_as_the_object_it_was(extra: bytes) -> None:
    """M4, D30: also one that no strict parser reads, and one too large to parse."""
    body = b'{"jsonrpc":"2.0","id":7,"result":{%b"isError":true,"resultType":"complete"}}' % extra
    found = fit(body)
    assert found.body is body
    assert (found.is_tool_error, found.result_type, found.is_protocol_error) == (
        True, "complete", False,
    )  # fmt: skip


@pytest.mark.promise("M3")
@pytest.mark.parametrize("extra", [b"", ODD, LARGE])
def test_our_keys_in_a_result_are_dropped(extra: bytes) -> None:
    """M3: a source cannot speak for the gateway."""
    body = b'{"jsonrpc":"2.0","id":7,"result":{%b"_meta":{"a":1%b}}}'
    found = fit(body % (extra, b',"mesh7.dev/decision":"Allow"'))
    assert found.body == body % (extra, b"")


@pytest.mark.promise("D13")
@pytest.mark.promise("AG18")
@pytest.mark.parametrize("extra", [b"", b',"x":NaN'])
@pytest.mark.parametrize(
    "body",
    [
        b'{"jsonrpc":"2.0","id":7,"method":"sampling/createMessage","params":{}%b}',
        b'{"jsonrpc":"2.0","id":7,"method":"ping"%b}',
        b'{"jsonrpc":"2.0","id":7,"method":"ping","result":{}%b}',
        b'{"jsonrpc":"2.0","method":"notifications/message"%b}',
        b'{"jsonrpc":"2.0","id":"7","result":{}%b}',
        b'{"jsonrpc":"2.0","id":8,"result":{}%b}',
        b'{"jsonrpc":"2.0","id":7.0,"result":{}%b}',
        b'{"jsonrpc":"2.0","id":true,"result":{}%b}',
        b'{"jsonrpc":"2.0","id":null,"result":{}%b}',
        b'{"jsonrpc":"2.0","result":{}%b}',
        b'{"jsonrpc":"2.0","id":7,"id":7,"result":{}%b}',
        b'{"jsonrpc":"2.0","id":7,"result":null%b}',
        b'{"jsonrpc":"2.0","id":7,"result":[]%b}',
        b'{"jsonrpc":"2.0","id":7,"result":{},"error":{"code":1,"message":"x"}%b}',
        b'{"jsonrpc":"2.0","id":7,"result":{},"result":{}%b}',
        b'{"jsonrpc":"2.0","id":7,"Result":{}%b}',
        b'{"jsonrpc":"2.0","id":7,"error":"x"%b}',
        b'{"jsonrpc":"1.0","id":7,"result":{}%b}',
        b'{"id":7,"result":{}%b}',
        b'[{"jsonrpc":"2.0","id":7,"result":{}%b}]',
        b'{"jsonrpc":"2.0","id":7,"result":{}%b}{}',
        b'{"jsonrpc":"2.0","id":7,"result":{}%b',
        b"\xff%b",
    ],
)
def test_only_the_answer_to_what_was_asked_is_one(body: bytes, extra: bytes) -> None:
    """D13, AG18: a request of the server whose id equals the call's was taken for its result."""
    assert isinstance(results.check(body % extra, 7), results.Unfit)


@pytest.mark.promise("D13")
def test_an_id_is_the_same_only_with_its_type() -> None:
    """1 is not "1" and not true."""
    body = b'{"jsonrpc":"2.0","id":%b,"result":{}}'
    assert isinstance(results.check(body % b"1", "1"), results.Unfit)
    assert isinstance(results.check(body % b'"1"', 1), results.Unfit)
    assert fit(body % b'"\\u0031"', "1").result == {}


@pytest.mark.promise("M5")
def test_a_result_that_asks_back_says_for_what() -> None:
    """M5: modern servers ask inside results; the kinds are to be judged."""
    asks = {"a": {"method": "sampling/createMessage", "params": {}}, "b": {"method": "roots/list"}}
    body = {"jsonrpc": "2.0", "id": 7, "result": {"resultType": "input_required"}}
    body["result"]["inputRequests"] = asks  # type: ignore[index]
    found = fit(json.dumps(body).encode())
    assert (found.result_type, found.input_methods) == (
        "input_required", ("roots/list", "sampling/createMessage"),
    )  # fmt: skip


@pytest.mark.promise("M5")
@pytest.mark.parametrize("asks", [b"[]", b'{"a":1}', b'{"a":{}}', b'{"a":{"method":1}}', b'"x"'])
def test_asking_back_in_a_form_nobody_knows_is_refused(asks: bytes) -> None:
    """Fail closed: what cannot be judged does not pass; nor in a result that is only scanned."""
    body = b'{"jsonrpc":"2.0","id":7,"result":{%b"inputRequests":%b}}'
    assert isinstance(results.check(body % (b"", asks), 7), results.Unfit)
    assert isinstance(results.check(body % (ODD, b"{}"), 7), results.Unfit)
    twin = b'{"jsonrpc":"2.0","id":7,"result":{%b"InputRequests":{}}}' % ODD
    assert isinstance(results.check(twin, 7), results.Unfit)


@pytest.mark.promise("D13")
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"jsonrpc":"2.0","id":7,"method":"ping"}', jsonrpc.Kind.REQUEST),
        (b'{"jsonrpc":"2.0","method":"notifications/x"}', jsonrpc.Kind.NOTIFICATION),
        (b'{"jsonrpc":"2.0","id":7,"result":{"x":NaN}}', jsonrpc.Kind.RESPONSE),
        (b'{"jsonrpc":"2.0","id":7,"error":{}}', jsonrpc.Kind.RESPONSE),
        (b'{"jsonrpc":"2.0","id":7,"result":{},"method":"ping"}', jsonrpc.Kind.REQUEST),
        (b'{"id":7,"Method":"ping"}', None),
        (b'{"id":7}', None),
        (b"[]", None),
        (b"", None),
    ],
)
def test_what_has_a_method_is_never_an_answer(body: bytes, kind: jsonrpc.Kind | None) -> None:
    """D13."""
    assert results.kind_of(body) == kind


@given(st.binary(max_size=80))
@pytest.mark.promise("X8")
def test_checking_is_total(body: bytes) -> None:
    """Sources are hostile too."""
    assert isinstance(results.check(body, 7), results.Unfit)
    results.kind_of(body)
