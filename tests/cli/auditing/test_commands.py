"""`mesh7 audit`, `explain ID` and `trace ID`: what is printed of given records."""

import json
import re
from pathlib import Path

import pytest
import yaml
from click.shell_completion import ShellComplete

from mesh7_cli import exits, main
from mesh7_cli.auditing import keeping
from mesh7_cli.verbs.recount import OUTCOMES
from mesh7_cli.verbs.sentences import SENTENCES
from mesh7_core.policy.reasons import Reason
from tests.cli import terminal
from tests.cli.auditing.written import CHAIN, REQUEST, TRACE, Writer, call, deed, numbered
from tests.cli.test_people import NASTY, odd_in

Capture = pytest.CaptureFixture[str]
DOCS = Path(__file__).resolve().parents[3] / "docs/reference"


def ask(state: Path, *words: str) -> int:
    return main.exit_code([*words, "--state", str(state)])


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A call that people let pass after it was held once, and another one."""
    Writer(tmp_path).write(
        call(0, traceId=TRACE, upstreamMs=2.0),
        call(
            50, decision="Hold", reason="approval-required", outcome="refused", durationMs=50000.0,
            waitMs=49000, requestId=REQUEST, traceId=TRACE, tool="git.git_commit",
        ),
        deed(30),
        deed(60, deed="deny", refused="it is too late", by={"person": "uid:7", "name": "bob"}),
        call(
            70, reason="approved", durationMs=20, waitMs=5, upstreamMs=12, requestId=REQUEST,
            traceId=TRACE, tool="git.git_commit", digest="sha256:22", body="33",
            would={"decision": "Deny", "reason": "denied-by-rule", "rules": ["a/b/c"]},
            limit="staging", retryAfter=30, grants=["default/g"], detail="odd",
            redacted={"n": 1.10},
        ),
        {"time": "2026-11-21T10:02:00Z", "bundle": {"from": "1", "to": "2", "origin": "folder"}},
        {"dropped": 4},
    )  # fmt: skip
    return tmp_path


@pytest.mark.promise("C2")
def test_the_newest_records_come_first(state: Path, capsys: Capture) -> None:
    """docs/reference/commands.md, audit."""
    assert ask(state, "audit") == exits.Exit.OK
    printed = capsys.readouterr()
    assert printed.err == ""
    assert [re.split(r"  +", line) for line in printed.out.splitlines()] == [
        ["TIME", "WHAT", "TOOL", "AGENT", "OUTCOME", "TOOK", "ID", "WHY"],
        ["", "dropped", f"{CHAIN}-7", "4 records were dropped before this"],
        ["2026-11-21T10:02:00Z", "bundle", f"{CHAIN}-6", "2 in force, from folder"],
        [
            "2026-11-21T10:01:10Z", "Allow", "git.git_commit", "default/support", "ok", "20ms",
            f"{CHAIN}-5", "approved default/quickstart/read",
        ],
        [
            "2026-11-21T10:01:00Z", "deny", "git.git_commit", "default/support", f"{CHAIN}-4",
            f"by bob (uid:7), {REQUEST}, refused: it is too late",
        ],
        [
            "2026-11-21T10:00:30Z", "approve", "git.git_commit", "default/support", f"{CHAIN}-3",
            f"by ann (uid:1000), {REQUEST}: fine",
        ],
        [
            "2026-11-21T10:00:50Z", "Hold", "git.git_commit", "default/support", "refused", "50.0s",
            f"{CHAIN}-2", "approval-required default/quickstart/read",
        ],
        [
            "2026-11-21T10:00:00Z", "Allow", "git.git_log", "default/support", "ok", "2.5ms",
            f"{CHAIN}-1", "allowed-by-rule default/quickstart/read",
        ],
    ]  # fmt: skip


@pytest.mark.promise("C2")
def test_programs_read_records_as_they_are_stored(state: Path, capsys: Capture) -> None:
    """docs/reference/commands.md, audit: json, yaml and jsonl; numbers as they were spelled."""
    assert ask(state, "audit", "--limit", "2", "--request", REQUEST, "-o", "json") == exits.Exit.OK
    text = capsys.readouterr().out
    found = json.loads(text)
    assert [one["id"] for one in found["records"]] == [f"{CHAIN}-5", f"{CHAIN}-4"]
    ask(state, "audit", "--request", REQUEST, "-o", "jsonl", "--cursor", found["cursor"])
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [f"{CHAIN}-3", f"{CHAIN}-2"]
    ask(state, "audit", "--deeds", "-o", "yaml")
    assert [one["deed"] for one in yaml.safe_load(capsys.readouterr().out)["records"]] == [
        "deny", "approve",
    ]  # fmt: skip


@pytest.mark.promise("C2")
def test_a_page_says_how_to_go_on(state: Path, capsys: Capture) -> None:
    """docs/user/audit.md: a cursor, when there are older ones."""
    ask(state, "audit", "--limit", "6")
    note = capsys.readouterr().err
    found = re.fullmatch(r"mesh7: older ones: the same again with --cursor (\S+)\n", note)
    assert found is not None
    ask(state, "audit", "--limit", "6", "--cursor", found[1])
    printed = capsys.readouterr()
    assert (len(printed.out.splitlines()), printed.err) == (2, "")


@pytest.mark.promise("C2")
@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["--decision", "hold"], 1),
        (["--agent", "support"], 5),
        (["--agent", "default/support", "--tool", "*commit"], 4),
        (["--since", "2026-11-21T10:01:00Z"], 3),
        (["--until", "2026-11-21T11:00:50+01:00"], 2),
        (["--until", "1d"], 6),
        (["--since", "2h30m"], 0),
        (["--reason", "approved", "--outcome", "ok", "--pod", "laptop-1"], 1),
        (["--trace", TRACE], 3),
    ],
)
def test_filters_are_all_true_of_what_is_shown(
    state: Path, capsys: Capture, words: list[str], count: int
) -> None:
    """docs/reference/commands.md, audit. A time in the far past is before any clock of a test."""
    if words[0] in {"--until", "--since"} and "T" not in words[1]:
        path = state / "audit.jsonl"
        path.write_bytes(path.read_bytes().replace(b"2026-", b"2020-"))
    assert ask(state, "audit", *words, "-o", "jsonl") == exits.Exit.OK
    assert len(capsys.readouterr().out.splitlines()) == count


@pytest.mark.promise("C4")
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["audit", "--since", "soon"], 2, "`soon` is no time"),
        (["audit", "--tool", "["], 2, "there are no character classes"),
        (["audit", "--limit", "501"], 2, "501"),
        (["audit", "--reason", "no-reason"], 2, "no-reason"),
        (["audit", "--cursor", "x"], 3, "that is no cursor"),
        (["audit", "-f", "-o", "yaml"], 2, "`-o yaml` is a whole page – write `-o jsonl`"),
        (["audit", "-f", "-o", "json"], 2, "`-o json` is a whole page – write `-o jsonl`"),
        (["audit", "-f", "--cursor", "x"], 2, "`--cursor` with older ones – leave one of them"),
        (["audit", "-f", "--until", "1h"], 2, "`--until` ends before – leave one of them"),
        (["explain", f"{CHAIN}-99"], 10, f"did you mean `{CHAIN}-7`"),
        (["explain", f"{CHAIN}-"], 10, "Whole ids only"),
        (["explain", REQUEST[:9]], 10, f"did you mean `{REQUEST}`? Whole ids only"),
        (["audit", "--trace", TRACE[:9]], 2, "no whole id, a trace has 32 hexadecimal digits"),
        (["audit", "--request", REQUEST[:9]], 2, "no whole id, a request has `r-` and 26 letters"),
        (["trace", "0" * 32], 10, "a call that named no trace is drawn by its record's id"),
        (["trace", f"{CHAIN}-6"], 10, f"is no call: nothing to draw – `mesh7 explain {CHAIN}-6`"),
        (["trace", f"{CHAIN}-7"], 10, f"is no call: nothing to draw – `mesh7 explain {CHAIN}-7`"),
        (["trace", "x"], 10, "there is no record or request `x`"),
        (["trace", ""], 2, "an id is empty"),
    ],
)
def test_what_is_wrong_is_said(
    state: Path, capsys: Capture, words: list[str], code: int, said: str
) -> None:
    """Every error says what, where and what to do; ids are whole."""
    assert ask(state, *words) == code
    assert said in capsys.readouterr().err


@pytest.mark.promise("C4")
def test_options_before_a_subcommand_are_not_passed_over(state: Path, capsys: Capture) -> None:
    """What was asked is never left out in silence."""
    assert main.exit_code(["audit", "--state", str(state), "verify"]) == exits.Exit.USAGE
    assert "write options after `verify`" in capsys.readouterr().err


@pytest.mark.promise("T6")
@pytest.mark.parametrize("words", [["audit"], ["audit", "-o", "wide"], ["audit", "-o", "json"],
                                   ["audit", "-o", "jsonl"], ["audit", "-o", "yaml"],
                                   ["explain", f"{CHAIN}-1"], ["explain", f"{CHAIN}-2"],
                                   ["trace", f"{CHAIN}-1"], ["explain", "x-\x1b"]])  # fmt: skip
def test_hostile_text_in_records_reaches_no_terminal(
    tmp_path: Path, capsys: Capture, words: list[str]
) -> None:
    """Attack X22 by the audit: names, reasons and ids that move the cursor, hide or turn around."""
    Writer(tmp_path).write(
        call(
            tool=NASTY, agent={"namespace": NASTY, "serviceAccount": NASTY, "pod": NASTY},
            rules=[NASTY], outcome=NASTY, session=NASTY, detail=NASTY, traceId=NASTY, door=NASTY,
            requestId=NASTY, redacted={NASTY: NASTY}, http={"method": NASTY, "path": NASTY},
            limit=NASTY, grants=[NASTY], waitMs=1,
        ),
        deed(reason=NASTY, requestId=NASTY, refused=NASTY, deed=NASTY, tool=NASTY, grant=NASTY,
             by={"name": NASTY, "person": NASTY, "evidence": NASTY}),
        {"bundle": {"to": NASTY, "origin": NASTY}, "time": NASTY},
    )  # fmt: skip
    ask(tmp_path, *words)
    printed = capsys.readouterr()
    assert odd_in(printed.out) == odd_in(printed.err) == []


@pytest.mark.promise("T5")
@pytest.mark.parametrize(
    "changed",
    [
        {"durationMs": 1e308}, {"durationMs": -5, "waitMs": "x"}, {"waitMs": 1e300},
        {"time": "9999-12-31T23:59:59Z", "durationMs": 1e18}, {"time": "no time"}, {"rules": 5},
        {"upstreamMs": True, "by": 5, "would": [], "http": "x", "agent": {"namespace": 7}},
    ],
)  # fmt: skip
def test_a_record_of_another_shape_breaks_nothing(
    tmp_path: Path, changed: dict[str, object]
) -> None:
    """A record's writer may be older, newer, or somebody who edits files."""
    text = json.dumps(call(traceId=TRACE, requestId=REQUEST) | changed)
    (tmp_path / "audit.jsonl").write_text(f'{{"id":"{CHAIN}-1",{text[1:]}\n')
    for words in (["audit"], ["explain", f"{CHAIN}-1"], ["trace", f"{CHAIN}-1"], ["trace", TRACE]):
        assert ask(tmp_path, *words) == exits.Exit.OK
        assert ask(tmp_path, *words, "-o", "json") == exits.Exit.OK


@pytest.mark.promise("T5")
@pytest.mark.parametrize(
    "time",
    [
        "9999-12-31T23:59:59.999999-23:59", "9999-12-31T23:59:59.999999Z",
        "0001-01-01T00:00:00+23:59", "0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z",
    ],
)  # fmt: skip
def test_a_time_beyond_the_calendar_breaks_no_trace(tmp_path: Path, time: str) -> None:
    """An offset leads beyond the year 9999, a float's rounding too: nobody can write that."""
    (tmp_path / "audit.jsonl").write_text(
        "".join(
            f'{{"id":"{CHAIN}-{number}",{json.dumps(one)[1:]}\n'
            for number, one in enumerate(
                (call(traceId=TRACE), call(traceId=TRACE) | {"time": time}), start=1
            )
        )
    )

    assert ask(tmp_path, "trace", TRACE) == exits.Exit.OK
    assert ask(tmp_path, "trace", TRACE, "-o", "json") == exits.Exit.OK
    assert ask(tmp_path, "explain", f"{CHAIN}-2") == exits.Exit.OK
    assert ask(tmp_path, "audit", "--since", "2026-01-01T00:00:00Z") == exits.Exit.OK


@pytest.mark.promise("T5")
def test_a_decision_is_told_from_its_record_alone(state: Path, capsys: Capture) -> None:
    """Issue 8: who, what, when, which rules, reason, people, outcome, and what can be checked."""
    assert ask(state, "explain", f"{CHAIN}-5") == exits.Exit.OK
    out = capsys.readouterr().out
    for line in (
        "decision    Allow (approved)",
        f"            {SENTENCES[Reason.APPROVED]}",
        "rule        default/quickstart/read",
        "would be    Deny (denied-by-rule) a/b/c, had what only audits been enforced",
        "limit       staging",
        "            asking again can help after 30 s",
        "grant       default/g",
        f"request     {REQUEST}",
        "tool        git.git_commit (tools, by the door `mcp`)",
        "agent       default/support, pod laptop-1",
        "outcome     ok, odd: the tool answered",
        "took        20ms, of it 5.0ms waiting for people and 12ms at the source",
        '    "n": 1.1',
        f"  2026-11-21T10:00:30.000000Z  approve  by ann (uid:1000), {REQUEST}: fine  pid 7 mesh7",
        f"  2026-11-21T10:01:00.000000Z  deny  by bob (uid:7), {REQUEST}, refused: it is too late",
        "  body        33",
        "  digest      sha256:22",
        "  record      `mesh7 audit verify` holds every stored byte against its seal",
    ):
        assert line in out.splitlines()


@pytest.mark.promise("T5")
def test_a_deed_is_told_and_a_request_whose_calls_are_not_kept(
    state: Path, tmp_path_factory: pytest.TempPathFactory, capsys: Capture
) -> None:
    """`--audit denied` keeps what people did about calls that it does not keep."""
    assert ask(state, "explain", f"{CHAIN}-3") == exits.Exit.OK
    assert "by          ann (uid:1000)" in capsys.readouterr().out.splitlines()
    other = tmp_path_factory.mktemp("other")
    Writer(other).write(deed())
    assert ask(other, "explain", REQUEST) == exits.Exit.OK
    said = f"approve  by ann (uid:1000), {REQUEST}: fine  pid 7 mesh7"
    assert capsys.readouterr().out.splitlines()[:3] == [
        "",
        "people",
        f"  2026-11-21T10:00:00.000000Z  {said}",
    ]


@pytest.mark.promise("T5")
def test_a_trace_is_drawn_in_time(state: Path, capsys: Capture) -> None:
    """Issue 8: agent, policy, wait, tool; repeats below each other; people where they spoke."""
    assert ask(state, "trace", TRACE) == exits.Exit.OK
    title, agent, began, *rows = capsys.readouterr().out.splitlines()
    assert title == f"trace {TRACE}, 3 calls"
    assert agent == "agent default/support"
    assert began == "began 2026-11-21T09:59:59.997500Z, took 1m 10s"
    assert [re.sub(r"[█░]+", "#", re.sub(r"  +", " ", row.strip())) for row in rows] == [
        "git.git_log # 2.5ms ok",
        "policy.evaluate # 0.5ms Allow allowed-by-rule",
        "tool git # 2.0ms",
        "git.git_commit # 50.0s refused",
        "policy.evaluate # 1.0s Hold approval-required",
        "approval.wait #◆# 49.0s r-0123456789abcdefghijkl…",
        "◆ ann (uid:1000) approved ◆ 10:00:30 fine",
        "◆ bob (uid:7) could not deny ◆ 10:01:00 it is too late",
        "git.git_commit again # 20ms ok",
        "policy.evaluate # 3.0ms Allow approved",
        "approval.wait # 5.0ms r-0123456789abcdefghijkl…",
        "tool git # 12ms",
    ]


@pytest.mark.promise("T5")
def test_a_record_a_request_and_their_trace_draw_the_same(state: Path, capsys: Capture) -> None:
    """docs/reference/commands.md, trace: ID is a trace, a record or a request."""
    drawn = []
    for identifier in (TRACE, f"{CHAIN}-5", f"{CHAIN}-3", REQUEST):
        assert ask(state, "trace", identifier, "-o", "json") == exits.Exit.OK
        drawn.append(json.loads(capsys.readouterr().out))
    assert drawn[1:] == drawn[:1] * 3
    assert [one["isAgain"] for one in drawn[0]["calls"]] == [False, False, True]
    assert [one["deed"] for one in drawn[0]["calls"][1]["people"]] == ["approve", "deny"]


@pytest.mark.promise("T5")
def test_a_call_that_named_no_trace_is_drawn_alone(tmp_path: Path, capsys: Capture) -> None:
    """It works for calls that nobody traced."""
    Writer(tmp_path).write(*numbered(1, 2))
    assert ask(tmp_path, "trace", f"{CHAIN}-2") == exits.Exit.OK
    assert capsys.readouterr().out.splitlines()[0] == "of no trace, 1 call"


@pytest.mark.promise("C2")
def test_a_terminal_gets_colours_and_its_width(state: Path) -> None:
    """Colours on a terminal alone; no line is wider than it."""
    with terminal.running(["trace", TRACE, "--state", str(state)]) as screen:
        assert screen.end() == 0
        drawn = screen.text
    assert "\x1b[" in drawn
    bare = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", drawn)
    assert max(len(line.rstrip()) for line in bare.splitlines()) <= 100


@pytest.mark.promise("C2")
def test_ids_of_records_are_completed(state: Path) -> None:
    """TAB after `mesh7 explain` and `mesh7 trace`; it makes no index."""

    def offered(command: str, begun: str) -> list[str]:
        words = [command, "--state", str(state)]
        completion = ShellComplete(main.program, {}, "mesh7", "_MESH7_COMPLETE")
        return [item.value for item in completion.get_completions(words, begun)]

    assert offered("trace", CHAIN)[:2] == [f"{CHAIN}-7", f"{CHAIN}-6"]
    assert offered("explain", "r-") == [REQUEST]
    assert offered("trace", "nothing") == []
    assert not (state / keeping.NAME).exists()


@pytest.mark.promise("C5")
def test_each_reason_is_told_as_its_page_begins() -> None:
    """docs/reference/reasons.md, the first sentence of each paragraph."""
    page = (DOCS / "reasons.md").read_text()
    found = dict(re.findall(r"(?m)^### `([a-z-]+)`\n\n(.*)$", page))
    bare = {
        name: re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", re.sub(r" \(see \[.*?\]\(.*?\)\)", "", text))
        for name, text in found.items()
    }
    assert {reason.value: text for reason, text in SENTENCES.items()} == bare


@pytest.mark.promise("C5")
def test_each_outcome_is_told_as_its_page_says() -> None:
    """docs/reference/audit.md has a row for each."""
    page = (DOCS / "audit.md").read_text()
    assert [name for name in OUTCOMES if f"| `{name}` |" not in page] == []
