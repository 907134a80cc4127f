"""What people are shown of arguments: exact, masked, and nothing that moves a cursor."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_core.ledger import shortening, showing
from mesh7_core.ledger.asked import Asking, Request
from mesh7_core.policy import canonical, exact

PLAIN = Request(
    id="r-00000000000000000000000001",
    digest="sha256:" + "0" * 64,
    agent="shop/support",
    pod="support-1",
    tool="billing.refund",
    arguments="{}",
    definition="",
    asking=(Asking(rule="shop/refunds/big", groups=(), count=1, text=""),),
    timeout_ms=600_000,
    use_within_ms=600_000,
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def asking(arguments: object, form: str = "arguments") -> Request:
    text = canonical.written(arguments)
    return replace(PLAIN, arguments=text, mark=exact.mark_of(form, text))


def plain_http(body: str, query: str = "") -> Request:
    """As the sidecar spells a call to an HTTP API."""
    said: dict[str, object] = {
        "method": "POST", "path": "/v1/refunds", "query": query, "bodyDigest": "sha256:0",
        "bodySize": len(body.encode()),
    }  # fmt: skip
    return asking(said | ({"body": body} if body else {}), "http")


@pytest.mark.promise("A11")
def test_short_arguments_are_shown_as_they_are() -> None:
    shown = showing.shown(asking({"amount": 5, "to": "Zoë"}), [])
    assert shown == showing.Shown(text='{"amount":5,"to":"Zoë"}', size=24, is_whole=True)


@pytest.mark.promise("A11")
@given(st.dictionaries(TEXT, TEXT, max_size=5))
def test_the_text_is_the_same_json_and_nothing_in_it_moves_a_cursor(
    arguments: dict[str, str],
) -> None:
    """A hostile argument with ANSI, bidi, newlines: seen as escapes, and exact."""
    shown = showing.shown(asking(arguments), [])
    assert json.loads(shown.text) == arguments
    assert shown.text.isprintable()


@pytest.mark.promise("A11")
@pytest.mark.parametrize(
    ("sign", "spelled"),
    [
        ("\x1b[2J", "\\u001b[2J"),
        ("\u202e", "\\u202e"),
        ("\x9b", "\\u009b"),
        ("\x7f", "\\u007f"),
        ("\u2028", "\\u2028"),
        ("\U000e0041", "\\udb40\\udc41"),
    ],
)
def test_a_sign_that_does_not_print_is_spelled(sign: str, spelled: str) -> None:
    assert showing.shown(asking({"a": sign}), []).text == f'{{"a":"{spelled}"}}'


@pytest.mark.promise("A11")
@pytest.mark.parametrize("sign", ["x", "é", "\x7f", "\U000e0041", "€"])
def test_what_is_too_long_is_cut_and_its_size_says_so(sign: str) -> None:
    for length in (2_000, 16_370, 16_375, 16_384, 300_000):
        request = shortening.shortened(asking({"a": sign * length}))
        shown = showing.shown(request, [])
        assert shown.is_whole == ("cut out" not in shown.text)
        assert showing.is_cut(shown.size) != shown.is_whole
        if shown.is_whole:
            assert json.loads(shown.text) == {"a": sign * length}


@pytest.mark.promise("A11")
@pytest.mark.parametrize("sign", ["x", "é", "€", "😀", "\x7f", "\U000e0041"])
def test_arguments_full_of_emoji_flood_nothing(sign: str) -> None:
    """An attack on etcd: 16,384 characters of four bytes each in every ApprovalRequest."""
    for length in (4_090, 16_370, 30_000, 400_000):
        request = shortening.shortened(asking({"a": sign * length}))
        assert len(showing.shown(request, []).text.encode()) <= showing.MOST_SHOWN


def test_head_and_tail_of_what_is_cut_are_shown() -> None:
    shown = showing.shown(asking({"a": "x" * 40_000, "z": "end"}), [])
    assert shown.text.startswith('{"a":"xxx')
    assert shown.text.endswith('x","z":"end"}')
    assert " [… 24658 of 40018 cut out …] " in shown.text


def test_head_and_tail_of_what_the_ledger_cut_are_shown() -> None:
    shown = showing.shown(shortening.shortened(asking({"a": "x" * 400_000, "z": "\x1b"})), [])
    assert shown.size == 400_021
    assert shown.text.startswith('{"a":"xxx')
    assert shown.text.endswith('x","z":"\\u001b"}')


@pytest.mark.promise("A11")
def test_what_policies_hide_is_hidden_in_every_form() -> None:
    secret = {"card": "4711", "amount": 5}
    masked = '{"amount":5,"card":"(redacted)"}'
    assert showing.shown(asking(secret), ["$.card"]).text == masked
    params = asking({"arguments": secret, "task": {"ttl": 5}}, "params")
    assert json.loads(showing.shown(params, ["$.card"]).text) == {
        "arguments": {"card": "(redacted)", "amount": 5}, "task": {"ttl": 5}
    }  # fmt: skip
    http = plain_http(canonical.written(secret))
    shown = showing.shown(http, ["$.card"])
    assert (json.loads(shown.text)["body"], shown.is_whole) == (masked, True)


def test_a_body_in_which_nothing_can_be_found_is_hidden_whole() -> None:
    shown = showing.shown(plain_http("card=4711"), ["$.card"])
    assert json.loads(shown.text)["body"] == "(redacted)"


@pytest.mark.promise("A11")
@pytest.mark.parametrize(
    "body", ["card=4711", '{"card":1,"card":2}', '{"a":"\\ud800"}', "[" * 9_000]
)
def test_a_body_that_hides_itself_behind_redaction_is_one_that_nobody_saw(body: str) -> None:
    """An agent writes what no path can be looked up in, so that people see a mask alone."""
    assert not showing.shown(plain_http(body), ["$.card"]).is_whole


@pytest.mark.promise("A11")
@pytest.mark.parametrize(
    ("changes", "size"),
    [
        ({"body": None}, 33),
        ({"body": "{}"}, 31),
        ({"body": None, "bodyHead": "{", "bodyTail": "}"}, 31),
        ({"bodySize": 40}, 7),
        ({"bodySize": None}, 1),
        ({"bodySize": "33"}, 1),
    ],
)
def test_an_http_body_that_nobody_saw_is_unseen(changes: dict[str, object], size: int) -> None:
    """A body padded beyond 16 KiB, or with one byte that is no text, was approved blindly."""
    evil = '{"amount": 9000000, "to": "evil"}'
    value = json.loads(plain_http(evil).arguments) | changes
    request = asking({name: one for name, one in value.items() if one is not None}, "http")
    shown = showing.shown(request, [])
    assert (shown.is_whole, showing.is_whole(request)) == (False, False)
    assert shown.size == len(request.arguments.encode()) + size
    assert json.loads(shown.text) == json.loads(request.arguments)


@pytest.mark.parametrize("body", ["", "{}", "Zoë", "x" * 16_000])
def test_an_http_body_that_is_there_is_seen(body: str) -> None:
    request = plain_http(body)
    assert showing.is_whole(request)
    assert showing.shown(request, []).is_whole


@pytest.mark.promise("A11")
@pytest.mark.parametrize(
    "text", ["2026-01-05", "6f9619ff-8b86-011d-b42d-00c04fc964ff", "4711" * 5, "a-0"]
)
def test_a_date_a_uuid_or_a_long_number_makes_no_seen_body_an_unseen_one(text: str) -> None:
    """Review of issue 7: its size read as a spelling, and approvers were told of a cut body."""
    for request in (plain_http(f'{{"at":"{text}"}}'), plain_http("{}", f"at={text}")):
        assert showing.is_whole(request)
        assert showing.shown(request, []).is_whole
        assert showing.shown(request, ["$.card"]).is_whole
        assert json.loads(showing.shown(request, ["$.at"]).text)["bodySize"] > 0
    unseen = plain_http(f'{{"at":"{text}"}}').arguments.replace('"bodySize":', '"bodySize":9')
    assert not showing.is_whole(replace(PLAIN, arguments=unseen, mark="http:0"))


@pytest.mark.promise("A11")
def test_a_masked_body_cannot_be_computed_from_its_digest() -> None:
    """Four digits of a card are 10,000 digests."""
    found = json.loads(showing.shown(plain_http('{"card":"4711"}'), ["$.card"]).text)
    assert found["bodyDigest"] == "(redacted)"
    assert json.loads(showing.shown(plain_http("{}"), []).text)["bodyDigest"] == "sha256:0"


@pytest.mark.promise("A11")
def test_half_a_body_is_hidden_where_something_is_hidden() -> None:
    value = json.loads(plain_http("").arguments) | {
        "bodySize": 99_999, "bodyHead": '{"card":"47', "bodyTail": '11"}'
    }  # fmt: skip
    shown = showing.shown(asking(value, "http"), ["$.card"])
    found = json.loads(shown.text)
    assert (found["bodyHead"], found["bodyTail"]) == ("(redacted)", "(redacted)")
    assert not shown.is_whole


@pytest.mark.promise("A11")
@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("access_token=s3cret&a=1", "access_token=(redacted)&a=1"),
        ("a=1;access_token=s3cret", "a=1;access_token=(redacted)"),
        ("Access_Token=s3cret", "Access_Token=(redacted)"),
        ("access%5Ftoken=s3cret", "access%5Ftoken=(redacted)"),
        ("access_token[]=s3cret&access_token", "access_token[]=(redacted)&access_token"),
        ("card[number]=4711&card.number=4711", "card[number]=(redacted)&card.number=(redacted)"),
        ("items[0][secret]=x&items[1][secret]=y", "items[0][secret]=(redacted)&items[1][secret]=y"),
        ("a=access_token&b=card", "a=access_token&b=card"),
        ("", ""),
    ],
)
def test_a_token_in_the_query_is_masked_like_an_argument(query: str, left: str) -> None:
    """`?access_token=…` stood in every ApprovalRequest, whatever the policies hid."""
    paths = ["$.access_token", "$.card.number", "$.items[0].secret"]
    shown = showing.shown(plain_http("", query), paths)
    assert json.loads(shown.text)["query"] == left
    assert shown.is_whole


def test_a_query_of_more_parameters_than_anybody_reads_is_hidden_whole() -> None:
    shown = showing.shown(plain_http("", "&".join(["a=1"] * 300)), ["$.card"])
    assert (json.loads(shown.text)["query"], shown.is_whole) == ("(redacted)", False)


def test_a_header_is_masked_by_its_name() -> None:
    value = json.loads(plain_http("").arguments) | {
        "headers": [["if-match", "s3cret"], ["content-type", "text/plain"]]
    }
    found = json.loads(showing.shown(asking(value, "http"), ["$['If-Match']"]).text)
    assert found["headers"] == [["if-match", "(redacted)"], ["content-type", "text/plain"]]


def test_what_is_forwarded_beside_the_arguments_is_masked_too() -> None:
    params = asking({"arguments": {}, "inputResponses": {"card": "4711"}}, "params")
    assert json.loads(showing.shown(params, ["$..card"]).text) == {
        "arguments": {}, "inputResponses": {"card": "(redacted)"}
    }  # fmt: skip


def test_of_what_the_ledger_cut_nothing_is_shown_where_something_is_hidden() -> None:
    """What is to be hidden cannot be found in half of a text."""
    long = shortening.shortened(asking({"card": "4711", "z": "x" * 400_000}))
    shown = showing.shown(long, ["$.card"])
    assert "4711" not in shown.text
    assert shown.text == "[400022 bytes; none is shown, for policies hide parts of them]"


@pytest.mark.parametrize(
    "arguments",
    ["", "no json", '{"cut":{"head":5}}', '"\ud800"', '{"body":1,"query":[],"headers":[1,["a"]]}',
     '{"arguments":"x","a":1}', "[]"],
)  # fmt: skip
@pytest.mark.parametrize("cut_from_bytes", [0, 300_000])
@pytest.mark.parametrize("paths", [[], ["$.a"], ["no path"]])
@pytest.mark.parametrize("form", ["arguments", "params", "http", ""])
def test_whatever_lies_in_redis_is_shown_or_not_but_never_fails(
    arguments: str, cut_from_bytes: int, paths: list[str], form: str
) -> None:
    request = replace(PLAIN, arguments=arguments, cut_from_bytes=cut_from_bytes, mark=f"{form}:0")
    assert showing.shown(request, paths).text.isprintable()
