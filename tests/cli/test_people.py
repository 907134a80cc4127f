"""What people ask of a gateway: requests, decisions, grants and the kill, by what is printed."""

import json
import os
import pwd
import tempfile
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from mesh7_cli import exits, main
from tests.cli import terminal
from tests.cli.people_gateway import ID, OTHER, Book, granted, held, serve

Capture = pytest.CaptureFixture[str]
NASTY = (
    "\x1b[2J\x1b]8;;http://evil\x07here\x1b]8;;\x07\x9b31m\u202e\u2066\u200b\ufeff\u3164\u2800"
    "\r\nrequest     r-fake\u2028\x7f\U000e0041"
)
UNDRAWN = {"\u3164", "\u2800"}
HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def ask(state: Path, book: Book, *arguments: str) -> int:
    """Run one command against a gateway that knows what is in the book."""
    with serve(state, book):
        return main.exit_code([*arguments, "--state", str(state)])


def book_with(*requests: dict[str, object]) -> Book:
    """A gateway with these requests."""
    return Book(requests={str(one["id"]): one for one in requests})


@pytest.fixture
def public_folder() -> Iterator[Callable[[], Path]]:
    """Makes a state folder that every user of the machine may enter."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield lambda: folder


def odd_in(text: str) -> list[str]:
    """Letters that a terminal would obey or hide, and lines that `NASTY` made up."""
    kinds = {letter: unicodedata.category(letter) for letter in text if letter != "\n"}
    odd = [letter for letter, kind in kinds.items() if kind in HIDDEN or letter in UNDRAWN]
    return odd + [line for line in text.splitlines() if line.startswith("request     r-fake")]


@contextmanager
def as_somebody_else() -> Iterator[None]:
    """Root opens every socket, so it steps down; anybody else is kept out by the mode alone."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(pwd.getpwnam("nobody").pw_uid)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.mark.promise("C2")
def test_requests_lists_what_waits(tmp_path: Path, capsys: Capture) -> None:
    """docs/reference/commands.md, requests; an old expiry shows as over."""
    assert ask(tmp_path, book_with(held()), "requests") == exits.Exit.OK
    heads, row, *rest = capsys.readouterr().out.splitlines()
    assert heads.split() == ["ID", "STATE", "TOOL", "AGENT", "AGE", "EXPIRES", "IN", "RULES"]
    cells = row.split()
    assert cells[:4] == [ID, "pending", "git.git_commit", "shop/support"]
    assert cells[-1] == "shop/quickstart/commits"
    assert rest == []


@pytest.mark.promise("C2")
def test_requests_as_json_is_a_list_of_what_the_gateway_says(
    tmp_path: Path, capsys: Capture
) -> None:
    """Issue 4: a list of id, state, tool, agent, arguments, rules, expiry."""
    big = {"n": 123456789012345678901234567890}
    found = [held(), held(OTHER, arguments=big)]
    assert ask(tmp_path, book_with(*found), "requests", "-o", "json") == exits.Exit.OK
    assert json.loads(capsys.readouterr().out) == found
    assert ask(tmp_path, book_with(*found), "requests", "-o", "name") == exits.Exit.OK
    assert capsys.readouterr().out == f"{ID}\n{OTHER}\n"


@pytest.mark.promise("C2")
def test_a_queue_that_is_long_says_what_helps(tmp_path: Path, capsys: Capture) -> None:
    """Promise A8's other half: the approver is told how to stop a flood."""
    many = [held(f"r-{number:026d}") for number in range(12)]
    ask(tmp_path, book_with(*many), "requests")
    note = "12 calls wait – `mesh7 kill AGENT` stops an agent that asks too much\n"
    assert capsys.readouterr().err == note


@pytest.mark.promise("C2")
def test_an_empty_queue_is_said_in_words_and_as_an_empty_list(
    tmp_path: Path, capsys: Capture
) -> None:
    """docs/reference/commands.md, requests."""
    assert ask(tmp_path, Book(), "requests") == exits.Exit.OK
    assert capsys.readouterr().out == "nothing waits\n"
    assert ask(tmp_path, Book(), "requests", "-o", "json") == exits.Exit.OK
    assert capsys.readouterr().out == "[]\n"


@pytest.mark.promise("A11")
def test_show_has_everything_that_a_person_needs(tmp_path: Path, capsys: Capture) -> None:
    """Issue 4: arguments in full, rules with reasons, who said yes, what ran before, what waits."""
    rule = {
        "rule": "shop/money/big",
        "reason": "finance looks at refunds",
        "groups": ["finance", "board"],
        "count": 2,
        "approvedBy": ["ann"],
    }
    vote = {
        "person": "uid:1000", "name": "ann", "verdict": "approve",
        "reason": "ok for me", "at": "2026-11-21T10:01:00.000Z",
    }  # fmt: skip
    ran = {"id": OTHER, "at": "2026-11-21T09:59:00.000Z", "secondsAgo": 75, "outcome": ""}
    request = held(
        rules=[rule], decisions=[vote], ranBefore=[ran], pending=2, waiting=0,
        expiresAt="2999-01-01T00:00:00Z",
    )  # fmt: skip
    book = book_with(request, held("r-another", tool="git.git_push"))
    assert ask(tmp_path, book, "show", ID) == exits.Exit.OK
    shown = capsys.readouterr().out
    facts, _, rest = shown.partition("\n\n")
    words = [line.partition(" ") for line in facts.split("\n")]
    times = {"asked", "expires"}
    assert [(name, value.strip()) for name, _, value in words if name not in times] == [
        ("request", ID),
        ("state", "pending"),
        ("tool", "git.git_commit"),
        ("source", "git (mcp, stdio mcp-server-git)"),
        ("agent", "shop/support, pod 5f1c"),
        ("definition", "sha256:11"),
        ("digest", "sha256:22"),
        ("trace", "4bf9"),
    ]  # fmt: skip
    assert rest == (
        "arguments\n"
        "  {\n"
        '    "message": "agent: buy bread",\n'
        '    "amount": 12\n'
        "  }\n"
        "\n"
        "asked by\n"
        "  shop/money/big: 2 of finance or board; 1 said yes, 1 missing\n"
        "    finance looks at refunds\n"
        "\n"
        "said so far\n"
        "  approve  ann (uid:1000) 2026-11-21T10:01:00.000Z: ok for me\n"
        "\n"
        "no caller waits for it at this moment; a yes is used when the call is repeated\n"
        f"the same call ran 1m 15s ago: its outcome is not known ({OTHER})\n"
        "2 requests of this pod wait in all\n"
        "\n"
        "also waiting from the same agent\n"
        "  r-another  git.git_push\n"
    )


@pytest.mark.promise("A11")
def test_show_gives_a_megabyte_of_arguments_in_full(tmp_path: Path, capsys: Capture) -> None:
    """Issue 4: the approver sees the exact arguments, however long."""
    text = "x" * (1 << 20) + "THE END"
    assert ask(tmp_path, book_with(held(arguments={"t": text})), "show", ID) == exits.Exit.OK
    assert f'"t": "{text}"' in capsys.readouterr().out


@pytest.mark.promise("A11")
@pytest.mark.parametrize(
    "arguments",
    [
        ["requests"], ["requests", "-o", "json"], ["requests", "-o", "yaml"],
        ["requests", "-o", "name"], ["show", ID], ["show", ID, "-o", "yaml"], ["approve", ID],
        ["deny", ID], ["grants"], ["grants", "-o", "json"], ["grants", "-o", "name"],
        ["revoke", "g-1"], ["approve", NASTY], ["show", NASTY], ["revoke", NASTY],
        ["kill", NASTY], ["grant", f"git.{NASTY}", "--for", "1m", "--reason", "r"],
    ],
)  # fmt: skip
def test_nothing_that_a_stranger_wrote_reaches_the_terminal_raw(
    tmp_path: Path, capsys: Capture, arguments: list[str]
) -> None:
    """Issue 4: names, reasons, arguments and people's names cannot move the cursor or hide."""
    rule = {"rule": NASTY, "reason": NASTY, "groups": [NASTY], "count": 2, "approvedBy": [NASTY]}
    vote = {"person": NASTY, "name": NASTY, "verdict": NASTY, "reason": NASTY, "at": NASTY}
    changed = dict.fromkeys(("tool", "agent", "pod", "definition", "digest", "traceId"), NASTY)
    ran = {"id": NASTY, "secondsAgo": 1, "outcome": NASTY}
    source = dict.fromkeys(("name", "kind", "host", "path"), NASTY)
    request = held(
        arguments={NASTY: [NASTY]},
        rules=[rule],
        decisions=[vote],
        ranBefore=[ran],
        source=source,
        **changed,
    )
    made = granted(
        NASTY, tools=[NASTY], agent=NASTY, policy=NASTY, reason=NASTY, by=NASTY, expiresAt=NASTY
    )
    book = book_with(request, held(NASTY, tool=NASTY, agent=NASTY))
    book.grants.append(made)
    book.answers |= {
        "DELETE /control/grants/g-1": (200, made),
        "POST /control/kill": (201, made),
        "POST /control/grants": (201, made),
    }
    ask(tmp_path, book, *arguments)
    printed = capsys.readouterr()
    text = printed.out + printed.err
    assert text
    assert odd_in(text) == []


@pytest.mark.promise("A11")
def test_a_refusal_of_the_gateway_cannot_move_the_cursor(tmp_path: Path, capsys: Capture) -> None:
    """The gateway quotes what others wrote."""
    book = book_with(held())
    book.answers[f"POST /control/requests/{ID}/approve"] = (409, {"detail": f"late {NASTY}"})
    assert ask(tmp_path, book, "approve", ID) == exits.Exit.REFUSED
    printed = capsys.readouterr().err
    assert printed.startswith("mesh7: late \\x1b[2J")
    assert printed.count("\n") == 1


def test_yaml_has_the_same_values(tmp_path: Path, capsys: Capture) -> None:
    found = [held(arguments={"t": NASTY, "n": 1.5})]
    ask(tmp_path, book_with(*found), "requests", "-o", "yaml")
    assert yaml.safe_load(capsys.readouterr().out) == found


@pytest.mark.promise("C2")
@pytest.mark.parametrize(
    ("verb", "printed"),
    [
        ("approve", "approved {} – usable once, until 2026-11-21T10:10:00.000Z\n"),
        ("deny", "denied {}\n"),
    ],
)
def test_a_decision_is_sent_with_its_reason_and_told(
    tmp_path: Path, capsys: Capture, verb: str, printed: str
) -> None:
    """docs/reference/commands.md, approve and deny."""
    book = book_with(held())
    assert ask(tmp_path, book, verb, ID, "--reason", "because") == exits.Exit.OK
    assert book.wishes == [(f"POST /control/requests/{ID}/{verb}", {"reason": "because"})]
    name = f"`{ID}`: git.git_commit for shop/support"
    assert capsys.readouterr().out == printed.format(name)


@pytest.mark.promise("C2")
def test_a_yes_that_needs_others_says_who_is_missing(tmp_path: Path, capsys: Capture) -> None:
    """Design 4: `count` people per rule."""
    rule = {"rule": "shop/money/big", "groups": ["finance"], "count": 3, "approvedBy": ["ann"]}
    book = book_with(held())
    book.answers[f"POST /control/requests/{ID}/approve"] = (200, held(rules=[rule]))
    assert ask(tmp_path, book, "approve", ID) == exits.Exit.OK
    assert capsys.readouterr().out == (
        f"your yes is counted for `{ID}`: git.git_commit for shop/support"
        " – still missing: 2 more by finance for `shop/money/big`\n"
    )


@pytest.mark.promise("A5")
@pytest.mark.promise("D11")
@pytest.mark.parametrize("verb", ["approve", "deny", "show"])
@pytest.mark.parametrize("begun", ["r-", ID[:-1], ID.upper(), f"{ID}x", ".", "..", f"{ID}/approve"])
def test_what_is_not_a_whole_id_decides_nothing_and_names_near_ones(
    tmp_path: Path, capsys: Capture, verb: str, begun: str
) -> None:
    """D11 of flux7-mesh: a prefix resolved the first request that began with it."""
    book = book_with(held())
    assert ask(tmp_path, book, verb, begun) == exits.Exit.UNKNOWN
    assert book.requests[ID]["state"] == "pending"
    complaint = capsys.readouterr().err
    assert complaint.startswith(f"mesh7: there is no request `{begun}` – ")
    assert complaint.count("\n") == 1


@pytest.mark.promise("D11")
def test_a_shortened_id_is_answered_with_the_whole_one(tmp_path: Path, capsys: Capture) -> None:
    """The person copies it; nothing is guessed and done."""
    assert ask(tmp_path, book_with(held()), "approve", ID[:8]) == exits.Exit.UNKNOWN
    assert capsys.readouterr().err == (
        f"mesh7: there is no request `{ID[:8]}` – did you mean `{ID}`? Whole ids only\n"
    )


@pytest.mark.promise("A5")
@pytest.mark.promise("D11")
@pytest.mark.parametrize(
    "arguments", [["approve", ""], ["deny", " "], ["show", ""], ["approve", ID, ""], ["revoke", ""]]
)
def test_an_empty_id_is_a_usage_error_and_nothing_is_asked(
    tmp_path: Path, capsys: Capture, arguments: list[str]
) -> None:
    """D11: an empty id resolves nothing, not even what stands before it."""
    book = book_with(held())
    assert ask(tmp_path, book, *arguments) == exits.Exit.USAGE
    assert book.wishes == []
    assert "an id is empty" in capsys.readouterr().err


@pytest.mark.promise("A5")
def test_several_ids_are_answered_each_on_its_own(tmp_path: Path, capsys: Capture) -> None:
    """docs/reference/commands.md: exit 0 only when every one was done."""
    book = book_with(held(), held(OTHER))
    assert ask(tmp_path, book, "approve", ID, "r-missing", OTHER) == exits.Exit.UNKNOWN
    printed = capsys.readouterr()
    assert [line.split("`")[1] for line in printed.out.splitlines()] == [ID, OTHER]
    assert "there is no request `r-missing`" in printed.err


@pytest.mark.promise("C4")
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (403, exits.Exit.REFUSED),
        (409, exits.Exit.REFUSED),
        (422, exits.Exit.USAGE),
        (503, exits.Exit.NO_LEDGER),
    ],
)
def test_every_refusal_has_its_exit_code_and_the_gateway_s_words(
    tmp_path: Path, capsys: Capture, status: int, code: exits.Exit
) -> None:
    """docs/reference/exit-codes.md; what, where, what to do is the gateway's to say."""
    book = Book(answers={"POST /control/kill": (status, {"detail": "you are in no such group"})})
    assert ask(tmp_path, book, "kill", "support") == code
    complaint = capsys.readouterr().err
    assert "you are in no such group" in complaint
    assert complaint.count("\n") == 1


@pytest.mark.promise("C4")
@pytest.mark.parametrize("verb", [["requests"], ["approve", ID], ["watch"], ["kill", "support"]])
def test_without_a_gateway_nothing_is_done(
    tmp_path: Path, capsys: Capture, verb: list[str]
) -> None:
    """Exit 4 and where it was sought."""
    assert main.exit_code([*verb, "--state", str(tmp_path)]) == exits.Exit.NO_GATEWAY
    assert "no gateway answers at" in capsys.readouterr().err


@pytest.mark.promise("C2")
def test_a_grant_is_asked_for_in_the_gateway_s_words(tmp_path: Path, capsys: Capture) -> None:
    """docs/reference/commands.md, grant."""
    book = Book(answers={"POST /control/grants": (201, granted())})
    wish = ["git.git_commit", "--for", "30m", "--uses", "5", "--when", "args.amount < 5"]
    who = ["--agent", "support", "--policy", "shop/quickstart", "--reason", "INC-1"]
    assert ask(tmp_path, book, "grant", *wish, *who) == exits.Exit.OK
    assert book.wishes == [
        (
            "POST /control/grants",
            {
                "tool": "git.git_commit", "forSeconds": 1800, "uses": 5, "when": "args.amount < 5",
                "reason": "INC-1", "agent": "support", "policy": "shop/quickstart",
            },
        )
    ]  # fmt: skip
    assert capsys.readouterr().out == (
        "granted `g-1`: git.git_commit for support until 2026-11-21T10:30:00Z, 5 uses"
        " – end it with `mesh7 revoke g-1`\n"
    )


@pytest.mark.promise("D42")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["git.x", "--reason", "r"], "missing option `--for`"),
        (["git.x", "--for", "30m"], "missing option `--reason`"),
        (["git.x", "--for", "30m", "--reason", " "], "--reason is empty"),
        (["git.x", "--for", "0s", "--reason", "r"], "--for takes whole seconds"),
        (["git.x", "--for", "soon", "--reason", "r"], "`soon` is no duration"),
        (["git.x", "--for", "9999h", "--reason", "r"], "longer than 366 days"),
        (["git.x", "--for", "1h", "--reason", "r", "--uses", "0"], "0 is not in the range x>=1"),
        (["git.x", "--for", "1h", "--reason", "r", "--policy", "x"], "`x` is no policy"),
        (["commit", "--for", "1h", "--reason", "r"], "`commit` is no tool name"),
    ],
)
def test_a_grant_needs_a_bounded_time_and_a_reason(
    tmp_path: Path, capsys: Capture, arguments: list[str], message: str
) -> None:
    """D42 of flux7-mesh: a grant for ever, and without a why."""
    book = Book()
    assert ask(tmp_path, book, "grant", *arguments) == exits.Exit.USAGE
    assert book.wishes == []
    assert message in capsys.readouterr().err


@pytest.mark.promise("C2")
def test_grants_lists_what_stands(tmp_path: Path, capsys: Capture) -> None:
    """docs/reference/commands.md, grants."""
    veto = granted(
        "kill-1", effect="Deny", tools=["*"], agent=None, policy=None, expiresAt=None,
        maxUses=None, used=None, reason="", by=None, **{"from": "file"},
    )  # fmt: skip
    book = Book(grants=[granted(expiresAt="2020-01-01T00:00:00Z"), veto])
    assert ask(tmp_path, book, "grants") == exits.Exit.OK
    assert capsys.readouterr().out == (
        "NAME    EFFECT  TOOLS           WHO        POLICY           EXPIRES IN  USES    BY      REASON\n"  # noqa: E501
        "g-1     Allow   git.git_commit  support    shop/quickstart  over        2 of 5  ann     INC-1\n"  # noqa: E501
        "kill-1  Deny    *               everybody                                       a file\n"
    )


@pytest.mark.promise("D42")
def test_revoke_takes_whole_names_and_says_what_ended(tmp_path: Path, capsys: Capture) -> None:
    """D42: revoked by its whole name; near names are shown and not acted upon."""
    book = Book(grants=[granted("g-morning")])
    book.answers["DELETE /control/grants/g-morning"] = (200, granted("g-morning"))
    book.answers["DELETE /control/grants/kill-1"] = (200, granted("kill-1", effect="Deny"))
    assert ask(tmp_path, book, "revoke", "g-morning", "kill-1", "g-mor") == exits.Exit.UNKNOWN
    printed = capsys.readouterr()
    assert printed.out == ("revoked `g-morning`\nlifted `kill-1`: its calls are judged again\n")
    assert printed.err == (
        "mesh7: there is no grant `g-mor` – did you mean `g-morning`? Whole ids only\n"
    )


@pytest.mark.promise("C2")
@pytest.mark.parametrize(
    ("arguments", "agent", "whose"),
    [(["support"], "support", "of `support`"), (["--yes"], None, "of everybody")],
)
def test_kill_says_how_it_is_lifted(
    tmp_path: Path, capsys: Capture, arguments: list[str], agent: str | None, whose: str
) -> None:
    """Issue 4: kill refuses everything from the next call until revoke."""
    book = Book(answers={"POST /control/kill": (201, granted("kill-7", effect="Deny"))})
    assert ask(tmp_path, book, "kill", *arguments, "--reason", "r") == exits.Exit.OK
    assert book.wishes == [("POST /control/kill", {"agent": agent, "reason": "r"})]
    assert capsys.readouterr().out == (
        f"killed: every call {whose} is refused – lift it with `mesh7 revoke kill-7`\n"
    )


@pytest.mark.promise("A10")
@pytest.mark.parametrize(
    ("path", "arguments"),
    [
        ("/control/kill", ["kill", "shop/suport"]),
        ("/control/kill", ["kill", "shop/suport", "-o", "name"]),
        ("/control/grants", ["grant", "git.x", "--for", "1m", "--reason", "r"]),
    ],
)
def test_what_the_gateway_notes_about_what_was_done_is_told_on_stderr(
    tmp_path: Path, capsys: Capture, path: str, arguments: list[str]
) -> None:
    """A misspelled name stops nobody; what is not stored ends with the gateway."""
    made = granted("kill-7", effect="Deny", agent="suport", note="no agent `suport` has\x1b called")
    book = Book(answers={f"POST {path}": (201, made)})
    assert ask(tmp_path, book, *arguments) == exits.Exit.OK
    assert capsys.readouterr().err == "mesh7: no agent `suport` has\\x1b called\n"


@pytest.mark.promise("C2")
def test_kill_says_whom_the_gateway_has_stopped(tmp_path: Path, capsys: Capture) -> None:
    made = granted("kill-7", effect="Deny", agent="support")
    book = Book(answers={"POST /control/kill": (201, made)})
    assert ask(tmp_path, book, "kill", "shop/support") == exits.Exit.OK
    assert "every call of `support` is refused" in capsys.readouterr().out


@pytest.mark.promise("C4")
@pytest.mark.parametrize("arguments", [[], [""]])
def test_a_kill_of_everybody_is_never_an_accident(
    tmp_path: Path, capsys: Capture, arguments: list[str]
) -> None:
    """Without a terminal nobody can be asked, so --yes has to be said."""
    book = Book()
    assert ask(tmp_path, book, "kill", *arguments) == exits.Exit.USAGE
    assert book.wishes == []
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.promise("A5")
def test_who_may_not_open_the_gateway_s_socket_comes_in_by_that_of_people(
    public_folder: Callable[[], Path], capsys: Capture
) -> None:
    """Design 6.6: `--approvers GROUP` serves a socket of its own."""
    state = public_folder()
    with serve(state, Book()), serve(state, book_with(held()), "people.sock"):
        (state / "gateway.sock").chmod(0)
        (state / "people.sock").chmod(0o666)
        with as_somebody_else():
            assert main.exit_code(["requests", "-o", "name", "--state", str(state)]) == 0
    assert capsys.readouterr().out == f"{ID}\n"


@pytest.mark.promise("C4")
def test_who_may_open_neither_socket_is_told_whom_to_ask(
    public_folder: Callable[[], Path], capsys: Capture
) -> None:
    """Style: what, where, what to do."""
    state = public_folder()
    with serve(state, Book()):
        (state / "gateway.sock").chmod(0)
        with as_somebody_else():
            code = main.exit_code(["requests", "--state", str(state)])
    assert code == exits.Exit.NO_GATEWAY
    assert capsys.readouterr().err == (
        f"mesh7: you may not open `{state}/gateway.sock` – ask who runs the gateway to name a"
        " group of yours with --approvers\n"
    )


@pytest.mark.promise("D36")
def test_a_listing_asks_for_what_is_open_and_not_for_what_was(
    tmp_path: Path, capsys: Capture
) -> None:
    """D36 of flux7-mesh: what waits was found by reading everything that ever waited."""
    old = held(OTHER, state="used")
    book = Book(
        answers={
            "GET /control/requests?state=open": (200, {"requests": [held()]}),
            "GET /control/requests?state=all": (200, {"requests": [old, held()]}),
        }
    )
    assert ask(tmp_path, book, "requests", "-o", "name") == exits.Exit.OK
    assert capsys.readouterr().out == f"{ID}\n"
    assert ask(tmp_path, book, "requests", "--all", "-o", "name") == exits.Exit.OK
    assert capsys.readouterr().out == f"{OTHER}\n{ID}\n"


@pytest.mark.promise("C4")
@pytest.mark.parametrize(
    ("typed", "code", "wishes"),
    [
        ("n\n", exits.Exit.INTERRUPTED, []),
        ("\x03", exits.Exit.INTERRUPTED, []),
        ("y\n", exits.Exit.OK, [("POST /control/kill", {"agent": None, "reason": ""})]),
    ],
)
def test_on_a_terminal_a_kill_of_everybody_asks_first(
    tmp_path: Path, typed: str, code: exits.Exit, wishes: list[tuple[str, object]]
) -> None:
    """docs/reference/commands.md, kill."""
    book = Book(answers={"POST /control/kill": (201, granted("kill-1", effect="Deny"))})
    with serve(tmp_path, book), terminal.running(["kill", "--state", str(tmp_path)]) as screen:
        screen.until("Refuse every call of every agent? [y/N]: ")
        # Again and again: a signal between the question and the wait for its answer is not seen.
        assert screen.end(pressing=typed) == code
    assert book.wishes == wishes
