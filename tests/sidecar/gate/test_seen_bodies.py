"""The body of a plain HTTP call as people get to see it."""

import json
from dataclasses import replace

import pytest

from mesh7_core.ledger import showing
from mesh7_core.policy import exact as digests
from mesh7_sidecar.gate import exact
from tests.sidecar.gate.test_exact import plain_http
from tests.sidecar.people.parts import REQUEST


def seen(body: bytes) -> tuple[dict[str, str], bool]:
    """What stands there of it, and whether that is all."""
    what = exact.forwarded(plain_http(body))
    assert digests.is_marked(what.mark, what.text)
    request = replace(REQUEST, arguments=what.text, mark=what.mark)
    found = {
        name: one
        for name, one in json.loads(what.text).items()
        if name in {"body", "bodyHead", "bodyTail"}
    }
    return found, showing.is_whole(request)


@pytest.mark.promise("A11")
@pytest.mark.parametrize(
    ("body", "found", "is_whole"),
    [
        (b"", {}, True),
        (b'{"amount": 1}', {"body": '{"amount": 1}'}, True),
        (b"\xff\xfe", {}, False),
        (b'{"to": "evil", "note": "\xff"}', {}, False),
        (b"\xff" * 20_000, {}, False),
        (b"x" * 10_000 + b"\xff" * 10_000, {}, False),
        (b"x" * 16_384, {"body": "x" * 16_384}, True),
        (b"x" * 16_385, {"bodyHead": "x" * 8_192, "bodyTail": "x" * 2_048}, False),
    ],
)
def test_a_body_that_people_cannot_read_whole_says_so(
    body: bytes, found: dict[str, str], is_whole: bool
) -> None:
    """An agent pads a body or makes it no text, and people approve what they never saw."""
    assert seen(body) == (found, is_whole)


@pytest.mark.parametrize("sign", ["é", "€", "😀"])
@pytest.mark.parametrize("shift", range(4))
def test_a_long_body_is_not_cut_inside_a_character(sign: str, shift: int) -> None:
    found, _ = seen((" " * shift + sign * 10_000 + "!" * shift).encode())
    head, tail = found["bodyHead"], found["bodyTail"]
    assert head.strip(" ") == sign * len(head.strip(" "))
    assert tail.strip("!") == sign * len(tail.strip("!"))
    assert 8_188 < len(head.encode()) <= 8_192
    assert 2_044 < len(tail.encode()) <= 2_048


def test_the_middle_of_a_long_body_is_bound_though_nobody_sees_it() -> None:
    """The digest is over all of it."""
    one, other = (b"x" * 10_000 + middle + b"x" * 10_000 for middle in (b"1", b"2"))
    assert seen(one) == seen(other)
    assert exact.forwarded(plain_http(one)).mark != exact.forwarded(plain_http(other)).mark
