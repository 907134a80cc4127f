"""Requests as JSON: exact, and unable to move a cursor."""

import json
from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_core.ledger import shortening
from mesh7_core.ledger.asked import Asking, Request, State, Verdict, Vote
from mesh7_core.policy.destination import Destination
from mesh7_sidecar.people import shown
from tests.sidecar.people.parts import REQUEST, START_MS

ASKED = replace(REQUEST, opened_at_ms=START_MS)
MOMENT = shown.Moment(
    now_ms=START_MS + 60_000, others=(ASKED,), waiting=lambda _: 2, destinations={}
)
GIT = Destination(
    name="git", kind="mcp", host="git.example", address="git.example:8443", path="/live",
    digest="sha256:live",
)  # fmt: skip


def _shown(request: Request, moment: shown.Moment = MOMENT) -> dict[str, object]:
    found = json.loads(shown.whole(request, moment))
    assert isinstance(found, dict)
    return found


@pytest.mark.promise("A11")
def test_a_request_is_shown_whole() -> None:
    """docs/reference/control-api.md."""
    vote = Vote(
        person="uid:1", name="ann", groups=("a",), verdict=Verdict.APPROVE, reason="ok",
        at_ms=START_MS + 1500,
    )  # fmt: skip
    asking = (
        Asking(rule="default/p/one", groups=("a",), count=1, text="why"),
        Asking(rule="default/p/two", groups=("b",), count=2, text=""),
    )
    ran = replace(
        ASKED, id="r-" + "b" * 26, state=State.USED, used_at_ms=START_MS - 5_000, outcome="ok"
    )
    request = replace(ASKED, asking=asking, votes=(vote,), source=GIT.digest)
    moment = replace(MOMENT, others=(ran, request), destinations={"git": GIT})
    assert _shown(request, moment) == {
        "id": "r-" + "a" * 26,
        "state": "pending",
        "tool": "git.commit",
        "source": {"name": "git", "kind": "mcp", "host": "git.example:8443", "path": "/live"},
        "agent": "default/coder",
        "pod": "laptop-1",
        "arguments": {"message": "fix", "n": 12345678901234567890123},
        "argumentsCutFrom": None,
        "unseen": False,
        "rules": [
            {
                "rule": "default/p/one", "reason": "why", "groups": ["a"], "count": 1,
                "approvedBy": ["ann"],
            },
            {
                "rule": "default/p/two", "reason": "", "groups": ["b"], "count": 2,
                "approvedBy": [],
            },
        ],
        "openedAt": "2026-11-21T08:00:00.000Z",
        "expiresAt": "2026-11-21T08:10:00.000Z",
        "usableUntil": None,
        "definition": "sha256:" + "1" * 64,
        "digest": "sha256:" + "0" * 64,
        "decisions": [
            {
                "person": "uid:1", "name": "ann", "verdict": "approve", "reason": "ok",
                "at": "2026-11-21T08:00:01.500Z",
            }
        ],
        "outcome": "",
        "ranBefore": [
            {
                "id": "r-" + "b" * 26, "at": "2026-11-21T07:59:55.000Z", "secondsAgo": 65,
                "outcome": "ok",
            }
        ],
        "pending": 1,
        "waiting": 2,
        "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
    }  # fmt: skip


@pytest.mark.promise("A11")
def test_a_call_is_not_shown_to_go_where_its_source_leads_only_since_it_was_asked() -> None:
    """The yes would be for the place that it was asked for."""
    asked = replace(ASKED, source="sha256:test", source_host="old.example")
    found = _shown(asked, replace(MOMENT, destinations={"git": GIT}))
    assert found["source"] == {"name": "git", "kind": "mcp", "host": "old.example", "path": ""}


def test_an_approval_says_until_when_it_can_be_used() -> None:
    request = replace(ASKED, state=State.APPROVED, decided_at_ms=START_MS)
    assert _shown(request)["usableUntil"] == "2026-11-21T08:05:00.000Z"


@pytest.mark.promise("A11", "AG17")
def test_numbers_keep_their_digits() -> None:
    text = '{"a":1.10,"b":12345678901234567890123,"c":1e2}'
    assert f'"arguments":{text}'.encode() in shown.whole(replace(ASKED, arguments=text), MOMENT)


@pytest.mark.promise("A11")
@given(st.text())
def test_nothing_shown_can_move_a_cursor_and_every_value_stays(text: str) -> None:
    arguments = json.dumps({text: text}, ensure_ascii=False).encode("utf-8", "replace").decode()
    rendered = shown.whole(replace(ASKED, arguments=arguments), MOMENT).decode()
    assert rendered.isprintable()
    assert json.loads(rendered)["arguments"] == json.loads(arguments)


@pytest.mark.promise("A11")
@pytest.mark.parametrize(
    "character",
    ["\x1b", "\x7f", "\x9b", "\u202e", "\u2066", "\u200b", "\u2028", "\ufeff", "\u3164", "\u2800",
     "\ufe0f", "\U000e0041", "\U000e0100", "\u00a0"],
)  # fmt: skip
def test_what_does_not_show_as_itself_is_an_escape(character: str) -> None:
    arguments = json.dumps({"a": f"x{character}y"}, ensure_ascii=False)
    rendered = shown.whole(replace(ASKED, arguments=arguments), MOMENT).decode()
    assert character not in rendered
    assert json.loads(rendered)["arguments"] == {"a": f"x{character}y"}


@pytest.mark.promise("A11")
@pytest.mark.parametrize(
    "text", ['{"a":1},"state":"approved","x":{}', '{"a":1', "[1]", '"x"', '{"a":NaN}']
)
def test_a_forged_entry_of_a_shared_ledger_adds_no_field(text: str) -> None:
    """Whoever writes to Redis is hostile (design 14)."""
    found = _shown(replace(ASKED, arguments=text))
    assert found["arguments"] == text
    assert found["state"] == "pending"


@pytest.mark.promise("A11")
def test_arguments_that_were_too_long_to_be_kept_never_pass_for_the_whole() -> None:
    """docs/reference/control-api.md, argumentsCutFrom."""
    asked = replace(ASKED, arguments=json.dumps({"t": "\\" * 400_000}))
    kept = shortening.shortened(asked)
    found = _shown(kept)
    size = len(asked.arguments)
    assert (found["argumentsCutFrom"], found["unseen"]) == (size, True)
    assert found["arguments"] == json.loads(kept.arguments)
    listed = json.loads(shown.listed([kept], MOMENT))["requests"][0]
    assert listed["argumentsCutFrom"] == size
    assert f"({size} bytes when it was asked, not all of it was kept)" in listed["arguments"]


@pytest.mark.promise("A11")
def test_an_http_body_that_nobody_saw_does_not_pass_for_the_whole() -> None:
    """A body that is padded, or no text, stands there by its size and digest alone."""
    text = '{"bodyDigest":"sha256:0","bodySize":33,"method":"POST","path":"/v1/refunds","query":""}'
    http = replace(ASKED, arguments=text, mark="http:0")
    assert _shown(http)["unseen"] is True
    assert json.loads(shown.listed([http], MOMENT))["requests"][0]["unseen"] is True


def test_arguments_that_were_let_go_are_null() -> None:
    gone = _shown(replace(ASKED, arguments="", mark="http:0"))
    assert (gone["arguments"], gone["unseen"]) == (None, False)


@pytest.mark.promise("A11")
def test_long_arguments_are_cut_in_lists_and_whole_alone() -> None:
    text = json.dumps({"a": "x" * 20_000}, separators=(",", ":"))
    request = replace(ASKED, arguments=text)
    listed = json.loads(shown.listed([request], MOMENT))["requests"][0]["arguments"]
    assert listed.startswith('{"a":"xxx')
    assert listed.endswith('xxx"}')
    assert f"({len(text)} characters, `mesh7 show {request.id}` shows all)" in listed
    assert _shown(request)["arguments"] == {"a": "x" * 20_000}


@given(st.text())
def test_visible_text_stays_as_it_is(text: str) -> None:
    rendered = shown.visible(text)
    assert rendered.isprintable()
    if text.isascii() and text.isprintable():
        assert rendered == text


@given(st.recursive(st.none() | st.booleans() | st.text(), st.lists, max_leaves=5))
def test_any_value_survives(value: object) -> None:
    try:
        orjson.dumps(value)
    except TypeError:  # a lone surrogate is no JSON
        return
    assert json.loads(shown.rendered(value)) == value
