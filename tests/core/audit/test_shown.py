"""What records show of arguments: never a secret, never more than is useful, never slowly."""

import json
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_core.audit import lines, shown
from mesh7_core.policy import calls
from mesh7_core.policy.decision import Decision, Verdict
from mesh7_core.policy.reasons import Reason
from mesh7_core.policy.recording import Recording, recording_of
from mesh7_core.policy.rules import ArgumentRecord, Policy
from mesh7_core.telemetry import secrets
from mesh7_core.telemetry.passage import Passage
from mesh7_core.telemetry.records import Outcome, Record
from tests.core.policy import building

FULL = Recording(is_full=True, redact=())
REDACTED = Recording(is_full=False, redact=("$.card.number", "$..pin"))

# Made up; in two parts, so that nobody who looks for secrets in repositories finds one.
SECRETS = [
    "AKIA" + "IOSFODNN7EXAMPLE",
    "AIza" + "SyA1234567890abcdefghijklmnopqrstuv",
    "ya29." + "a0AfH6SMBexampleexampleexample",
    "ghp_" + "a1B2" * 9,
    "github_pat_" + "11ABCDEFG0" * 5,
    "glpat-" + "x1Y2z3A4b5C6d7E8f9G0",
    "xoxb-" + "1234567890-abcdefghij",
    "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc",
    "sk-proj-" + "abcdefghijklmnopqrstuvwx",
    "sk-ant-" + "api03-abcdefghijklmnopqrstuvwx",
    "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJl",
    "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN OPENSSH " + "PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA",
]
PARTS = [
    ("Authorization: Bearer ", "abcdef0123456789"),
    ("basic ", "dXNlcjpwYXNzd29yZA=="),
    ("postgres://ann:", "hunter2hunter2"),
    ("password=", "correct-horse"),
    ('{"api_key": "', "0123456789abcdef"),
]


def text_of(value: object, recording: Recording) -> str:
    return shown.shown({"text": value}, recording).decode()


@pytest.mark.promise("T6")
@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("recording", [FULL, REDACTED])
def test_a_secret_is_masked_by_its_shape_wherever_it_stands(
    secret: str, recording: Recording
) -> None:
    """T6, AgentGuard 30: under `Full` too; as a value, within a text, as a name, in a list."""
    for value in (secret, f"see {secret}, please", [[secret]], {secret: 1}):
        found = text_of(value, recording)
        assert json.dumps(secret)[1:-1] not in found
        assert secret[10:] not in found
        assert secrets.MASK in found


@pytest.mark.promise("T6")
@pytest.mark.parametrize(("before", "secret"), PARTS)
def test_what_stands_behind_a_telling_word_is_masked(before: str, secret: str) -> None:
    found = text_of(f"{before}{secret}@host", FULL)

    assert secret not in found
    assert json.dumps(before)[1:-1] in found


@pytest.mark.promise("T6")
def test_what_stands_beside_a_telling_name_is_masked() -> None:
    """Under `Full` when it looks like a key; under `Redacted` whatever it looks like."""
    given_: dict[str, object] = {
        "dbPassword": "0123456789abcdef",
        "X-Api-Key": ["a b"],
        "token": "two words",
        "n": 1,
    }

    assert json.loads(shown.shown(given_, FULL)) == {**given_, "dbPassword": secrets.MASK}
    assert json.loads(shown.shown(given_, REDACTED)) == {
        "dbPassword": secrets.MASK, "X-Api-Key": secrets.MASK, "token": secrets.MASK, "n": 1,
    }  # fmt: skip


def test_what_policies_name_is_masked_and_the_rest_is_shown() -> None:
    """docs/reference/agentpolicy.md: `record.redact`."""
    given_: dict[str, object] = {
        "card": {"number": 42, "name": "Ann"},
        "list": [{"PIN": 1}],
        "note": "hello",
    }

    assert json.loads(shown.shown(given_, REDACTED)) == {
        "card": {"number": "(redacted)", "name": "Ann"}, "list": [{"PIN": "(redacted)"}],
        "note": "hello",
    }  # fmt: skip


@pytest.mark.parametrize("size", [13_000, 4 * 1024 * 1024])
def test_a_secret_across_the_cut_is_not_shown_in_part(size: int) -> None:
    """A long text ends where it is cut; a key that begins before it does not."""
    for gap in range(40):
        text = "x" * (12 * 1024 - gap) + " " + SECRETS[0] + "y" * size
        assert "AKIAIOSF" not in text_of(text, FULL)


def encoded(value: object, times: int) -> str:
    """JSON in a text of JSON."""
    text = json.dumps(value)
    return encoded(text, times - 1) if times > 1 else text


TOLD = [
    "password=#",
    "password = '# and #' more",
    'password="# \\" #"',
    "password:(#",
    "password:\n  #",
    "password: |\n  #",
    "password => '#'",
    "PASSWORD%3D#",
    "PGPASSWORD=#,# psql",
    "user[password]=#&page=1",
    'config["password"] = "#"',
    "{password:#,user:ann}",
    "<password># #</password>",
    "--password # -v",
    "mysql --db-password '# #' -v",
    "X-Api-Key: #",
    "https://h/x?access_token=#&page=1",
    "curl -H 'Authorization: token #' https://h",
    "Authorization: Basic #\r\nHost: h",
    'Authorization: Digest username="#", response="#"\nHost: h',
    "Cookie: session=#; theme=#\nHost: h",
    "\"Cookie: a='#'\" https://h",
    '{"token": "#"}',
    '"client_secret":\n  "#"',
    encoded({"token": "#", "n": 1}, 2),
    encoded({"token": '# " # \\\\', "n": 1}, 2),
    encoded({"token": '# " # \\\\', "n": 1}, 4),
    encoded({"passwords": ["#", {"a": "#"}], "n": 1}, 1),
    encoded({"name": "Authorization", "value": "#"}, 1),
    encoded({"name": "Authorization", "value": "#"}, 2),
    "https://u:p@#@h",
    "https://u:#/#@h/x",
    "redis://:p/#@h",
    "https://ann@example.com:#@h",
    "http://h:80,https://u:#@h",
    "\N{LATIN CAPITAL LETTER I WITH DOT ABOVE} password=#",
]


@pytest.mark.promise("T6")
@pytest.mark.parametrize("text", TOLD)
@pytest.mark.parametrize("secret", ["hunter2", "x7"])
def test_what_follows_a_telling_name_is_masked_however_it_is_written(
    text: str, secret: str
) -> None:
    """docs/reference/audit.md: always, under `Full` too, and however short it is."""
    for value in (text, f"see {text}", [text], {text: 1}):
        for recording in (FULL, REDACTED):
            found = shown.shown(
                {"text": json.loads(json.dumps(value).replace("#", secret))}, recording
            )
            assert secret not in found.decode()
            assert secrets.MASK in found.decode()


TOLD_BY_STRUCTURE: list[object] = [
    {"password": ["correcthorsebatterystaple"]},
    {"credentials": {"value": "correcthorsebatterystaple"}},
    {"credentials": {"a": [{"b": "correcthorsebatterystaple"}]}},
    {"headers": [{"name": "Authorization", "value": "correcthorsebatterystaple"}]},
    {"header": {"Key": "X-Api-Key", "Values": ["correcthorsebatterystaple"]}},
    {"argv": ["mysql", "--password", "correcthorsebatterystaple", "-v"]},
]


@pytest.mark.promise("T6")
@pytest.mark.parametrize("value", TOLD_BY_STRUCTURE)
@pytest.mark.parametrize("recording", [FULL, REDACTED])
def test_a_telling_name_tells_of_all_that_is_below_it(value: object, recording: Recording) -> None:
    """And of the `value` beside a `name`."""
    found = shown.shown({"v": value}, recording).decode()

    assert "correcthorse" not in found
    assert secrets.MASK in found


ORDINARY: list[object] = [
    "tokens_used: 5",
    '{"tokens_used": 5, "max_tokens": "4096"}',
    "the token, which ends the text",
    "--password --verbose",
    "secret: null",
    "https://git@github.com/a/b",
    "http://localhost:8080/@scope/pkg",
    "see http://h:80, or write to ann@example.com",
    {"tokens_used": 5, "isSecret": True, "token_count": 1.5},
    [["--verbose", "yes"], {"name": "city", "value": "Oslo"}],
]


@pytest.mark.parametrize("value", ORDINARY)
@pytest.mark.parametrize("recording", [FULL, REDACTED])
def test_counts_and_ordinary_addresses_are_shown(value: object, recording: Recording) -> None:
    """A record that hides too much proves nothing."""
    assert json.loads(shown.shown({"v": value}, recording)) == {"v": value}


def processor_time(text: str) -> float:
    """Of masking it, the best of several."""
    taken = []
    for _ in range(4):
        began = time.process_time()
        secrets.masked(text)
        taken.append(time.process_time() - began)
    return min(taken)


REPEATED = [
    "token", "api_key", "token ", "token=;", "token=,", "token=)", 'token="', "token:[", "token\\",
    "cookie:", "'cookie: a", "--token -", "tokens: 5,", "a://b:", "://b:c@", "eyJ", "eyJaaaaaaaa.",
    "ghp_", "bearer ", "token:\\n",
]  # fmt: skip


@pytest.mark.parametrize("word", REPEATED)
def test_masking_costs_no_more_for_repeated_telling_words(word: str) -> None:
    """Eight times the text is eight times the work, and not sixty-four; processor time alone."""
    small, large = word * (20_000 // len(word)), word * (160_000 // len(word))

    assert processor_time(large) < 30 * max(processor_time(small), 0.0005)


HOSTILE = [
    "eyJ" * 1_400_000,
    "eyJaaaaaaaaaa." * 300_000,
    "-----BEGIN PRIVATE KEY-----" * 150_000,
    "a://b:" * 700_000,
    "a://" + "b" * 4_000_000,
    "token" * 800_000,
    "bearer " * 600_000,
    "password=" + "a" * 4_000_000,
    "\x00" * 4_000_000,
    "\U0001f600" * 1_000_000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_four_hostile_megabytes_cost_little_and_show_little(text: str) -> None:
    """Whatever is in a call, its record is small; backtracking would not end within the limit."""
    for value in (text, [text] * 3, {text: text}, {"a": {text[:9]: [text]}}):
        assert len(shown.shown({"v": value}, FULL)) <= shown.MOST_BYTES


@pytest.mark.parametrize(
    "value", [[1] * 1_000_000, {str(n): n for n in range(200_000)}, [10**399] * 9_000, [[]] * 9_000]
)
def test_many_small_values_are_cut_and_it_is_said(value: object) -> None:
    content = shown.shown({"v": value}, FULL)

    assert len(content) <= shown.MOST_BYTES
    assert b"(cut)" in content


NESTED: dict[str, object] = {}
for _ in range(90):
    NESTED = {"a": [NESTED]}


def test_arguments_as_deep_as_a_body_may_be_are_shown() -> None:
    assert shown.shown(NESTED, REDACTED).startswith(b'{"a":[')


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**40), 10**40) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=5))
def test_whatever_arguments_are_they_are_one_line_of_json(arguments: dict[str, object]) -> None:
    content = shown.shown(arguments, REDACTED)

    assert b"\n" not in content
    json.loads(content)


def policy(arguments: ArgumentRecord | None, *redact: str) -> Policy:
    """One that says this of records."""
    return replace(building.a_policy(), arguments=arguments, redact=redact)


def test_the_least_that_a_policy_says_counts_and_all_paths() -> None:
    """docs/reference/agentpolicy.md: a policy without `record` says nothing."""
    full, redacted = policy(ArgumentRecord.FULL, "$.a"), policy(ArgumentRecord.REDACTED, "$.b")
    nothing, digest = policy(None), policy(ArgumentRecord.DIGEST)

    assert recording_of([full, nothing]) == Recording(is_full=True, redact=("$.a",))
    assert recording_of([full, redacted]) == Recording(is_full=False, redact=("$.a", "$.b"))
    assert recording_of([full, digest]) is None
    assert recording_of([nothing]) is None
    assert recording_of([]) is None


def test_a_line_has_arguments_only_where_policies_ask_for_them() -> None:
    """docs/reference/audit.md: `redacted`."""
    agent = calls.Agent(namespace="default", service_account="tester", pod="here", labels={})
    call = calls.Call(agent, calls.Family.TOOLS, "s", "echo", {"note": "hello"})

    def line(recording: Recording | None) -> dict[str, object]:
        passage = Passage("v1", 0)
        passage.recording = recording
        record = Record(
            call, Decision(Verdict.ALLOW, Reason.ALLOWED_BY_RULE), Outcome.OK, passage,
            ended_ns=0, duration_ns=0, bundle="",
        )  # fmt: skip
        found: dict[str, object] = json.loads(lines.Lines(b"k" * 32).line(record))
        return found

    assert line(FULL)["redacted"] == {"note": "hello"}
    assert "redacted" not in line(None)
