"""`mesh7 watch` on a real terminal, and where there is none."""

import json
import signal
import subprocess
import sys
import termios
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mesh7_cli import exits
from tests.cli.people_gateway import ID, OTHER, Book, held, serve
from tests.cli.terminal import Terminal, running
from tests.cli.test_people import HIDDEN, NASTY, book_with

IDLE = "nothing waits, watching (q quits)\n"
PROMPT = "[a]pprove  [d]eny  [s]kip  [?]  [q]uit > "


@contextmanager
def watching(state: Path, book: Book) -> Iterator[Terminal]:
    """`mesh7 watch` on a terminal, in front of a gateway with this book."""
    with serve(state, book), running(["watch", "--state", str(state)]) as terminal:
        yield terminal


def decided(book: Book) -> list[tuple[str, object]]:
    """What was decided, in order."""
    return [(path.removeprefix("POST /control/requests/"), body) for path, body in book.wishes]


@pytest.mark.promise("A11")
def test_a_card_shows_the_call_and_one_key_approves_it(tmp_path: Path) -> None:
    """Issue 4: `mesh7 watch` in another terminal approves."""
    book = book_with(held())
    with watching(tmp_path, book) as terminal:
        card = terminal.until(PROMPT)
        assert '    "message": "agent: buy bread",\n    "amount": 12\n' in card
        assert "tool        git.git_commit\n" in card
        drawn = terminal.until("usable once", pressing="a")
        assert f"approved `{ID}`: git.git_commit for shop/support" in drawn
        terminal.until(IDLE)
        assert terminal.end(pressing="q") == exits.Exit.OK
    assert decided(book) == [(f"{ID}/approve", {"reason": ""})]


@pytest.mark.promise("A11")
def test_a_no_asks_for_a_reason_and_sends_it(tmp_path: Path) -> None:
    """docs/reference/commands.md, watch."""
    book = book_with(held())
    with watching(tmp_path, book) as terminal:
        terminal.until(PROMPT)
        terminal.until("leaves it waiting): ", pressing="d")
        terminal.press("not today\n")
        terminal.until(f"denied `{ID}`")
        assert terminal.end(pressing="q") == exits.Exit.OK
    ((path, body),) = decided(book)
    assert path == f"{ID}/deny"
    # The key may have been pressed once more before the question was there.
    assert str(body["reason"] if isinstance(body, dict) else "").endswith("not today")


@pytest.mark.promise("A11")
@pytest.mark.parametrize("typed", ["\x15\x04", "half a reason\x04"])
def test_a_no_without_a_line_is_no_decision(tmp_path: Path, typed: str) -> None:
    """Ctrl-D at the question leaves the call waiting, whatever was typed before it."""
    book = book_with(held())
    with watching(tmp_path, book) as terminal:
        terminal.until(PROMPT)
        terminal.until("leaves it waiting): ", pressing="d")
        terminal.until("not denied", pressing=typed)
        terminal.until(PROMPT)
        assert terminal.end(pressing="q") == exits.Exit.OK
    assert decided(book) == []


@pytest.mark.promise("A11")
def test_keys_typed_before_there_is_a_card_decide_nothing(tmp_path: Path) -> None:
    """Issue 4: typing ahead approves nothing."""
    book = Book()
    with watching(tmp_path, book) as terminal:
        terminal.until(IDLE)
        terminal.press("a")
        terminal.press("d")
        terminal.press("aaaa\n")
        book.publish(held())
        terminal.until(PROMPT)
        assert terminal.end(pressing="q") == exits.Exit.OK
    assert decided(book) == []


@pytest.mark.promise("A11")
def test_a_request_that_is_decided_elsewhere_makes_room_for_the_next(tmp_path: Path) -> None:
    """Live: what changes elsewhere is seen here."""
    book = book_with(held())
    with watching(tmp_path, book) as terminal:
        terminal.until(PROMPT)
        book.publish(held(OTHER, tool="git.git_push"))
        terminal.until("2 wait in all\n")
        book.publish(held(ID, state="denied"))
        terminal.until(f"`{ID}` is denied now, decided elsewhere\n")
        assert OTHER in terminal.until(PROMPT)
        terminal.until(f"approved `{OTHER}`", pressing="a")
        assert terminal.end(pressing="q") == exits.Exit.OK
    assert decided(book) == [(f"{OTHER}/approve", {"reason": ""})]


@pytest.mark.promise("A4")
def test_a_restarted_gateway_is_found_again(tmp_path: Path) -> None:
    """Issue 4: `watch` reconnects, and shows what waits then."""
    book = Book()
    with running(["watch", "--state", str(tmp_path)]) as terminal:
        with serve(tmp_path, book):
            terminal.until(IDLE)
        terminal.until("trying again\n")
        book.requests[ID] = held()
        with serve(tmp_path, book):
            terminal.until("there again\n")
            assert ID in terminal.until(PROMPT)
            assert terminal.end(pressing="q") == exits.Exit.OK


@pytest.mark.promise("A11")
def test_a_card_cannot_move_the_cursor(tmp_path: Path) -> None:
    """Escapes, links, bidi overrides, joiners and line ends of strangers are spelled out."""
    rule = {"rule": NASTY, "reason": NASTY, "groups": [NASTY], "count": 1, "approvedBy": []}
    vote = {"person": NASTY, "name": NASTY, "verdict": NASTY, "reason": NASTY, "at": NASTY}
    request = held(
        tool=NASTY, agent=NASTY, pod=NASTY, arguments={NASTY: NASTY}, rules=[rule], decisions=[vote]
    )
    with watching(tmp_path, book_with(request)) as terminal:
        card = terminal.until(PROMPT)
    assert {unicodedata.category(letter) for letter in card if letter != "\n"} & HIDDEN == set()
    assert "\\u202e" in card
    assert not any(line.startswith("request     r-fake") for line in card.splitlines())


@pytest.mark.promise("A11")
def test_a_megabyte_of_arguments_is_approved_only_when_it_was_shown(tmp_path: Path) -> None:
    """Issue 4: arguments shown in full before a key counts."""
    book = book_with(held(arguments={"t": "x" * (1 << 20) + "THE END"}))
    with watching(tmp_path, book) as terminal:
        card = terminal.until(PROMPT)
        assert len(card) < 20_000
        assert "letters are left out here" in card
        terminal.until("press `f` first", pressing="a")
        assert decided(book) == []
        terminal.until("THE END", pressing="f")
        terminal.until(PROMPT)
        terminal.until(f"approved `{ID}`", pressing="a")
        assert terminal.end(pressing="q") == exits.Exit.OK


@pytest.mark.promise("A5")
def test_a_refused_yes_is_told_and_the_call_waits_on(tmp_path: Path) -> None:
    """Design 6.6: who may not decide is told why."""
    book = book_with(held())
    refusal: dict[str, object] = {"detail": "you are not in group `finance` – ask somebody who is"}
    book.answers[f"POST /control/requests/{ID}/approve"] = (403, refusal)
    with watching(tmp_path, book) as terminal:
        terminal.until(PROMPT)
        terminal.until("mesh7: you are not in group `finance`", pressing="a")
        assert terminal.end(pressing="q") == exits.Exit.OK
    assert book.requests[ID]["state"] == "pending"


@pytest.mark.promise("C4")
@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM", "q"])
def test_the_terminal_is_left_as_it_was_found(tmp_path: Path, how: str) -> None:
    """Issue 4: clean on Ctrl-C."""
    book = book_with(held())
    with watching(tmp_path, book) as terminal:
        terminal.until(PROMPT)
        assert not terminal.modes()[3] & termios.ICANON
        if how == "SIGTERM":
            terminal.signal(signal.SIGTERM)
        else:
            terminal.press({"Ctrl-C": "\x03", "q": "q"}[how])
        code = terminal.end()
        assert code == (exits.Exit.OK if how == "q" else exits.Exit.INTERRUPTED)
        assert terminal.modes()[3] & termios.ICANON
        assert terminal.modes()[3] & termios.ECHO
        assert "Traceback" not in terminal.text
    assert decided(book) == []


@contextmanager
def piped(state: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """`mesh7 watch` into a pipe."""
    command = [sys.executable, "-m", "mesh7_cli", "watch", "--state", str(state), *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def next_line(process: "subprocess.Popen[str]") -> str:
    """The next line that it prints."""
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.mark.promise("A11")
def test_without_a_terminal_each_change_is_a_line_and_nothing_is_decided(tmp_path: Path) -> None:
    """docs/reference/commands.md, watch."""
    book = book_with(held())
    arguments = '{"message":"agent: buy bread","amount":12}'
    with serve(tmp_path, book), piped(tmp_path) as process:
        assert next_line(process) == (
            f"pending    {ID}  git.git_commit  shop/support  {arguments}\n"
        )
        book.publish(held(ID, state="approved"))
        assert next_line(process).startswith(f"approved   {ID}  ")
        book.publish(held(OTHER, arguments={"t": NASTY, "u": "x" * 5000}))
        line = next_line(process)
        assert line.startswith(f"pending    {OTHER}  ")
        assert len(line) < 2_200
        assert {unicodedata.category(letter) for letter in line[:-1]} & HIDDEN == set()
    assert book.wishes == []


@pytest.mark.promise("C2")
def test_json_lines_carry_the_whole_request_and_survive_a_restart(tmp_path: Path) -> None:
    """docs/reference/commands.md: `watch -o json`; what was told already is not told again."""
    book = book_with(held())
    with piped(tmp_path, "-o", "json") as process:
        with serve(tmp_path, book):
            pass
        assert process.wait(15) == exits.Exit.NO_GATEWAY
    with serve(tmp_path, book), piped(tmp_path, "-o", "json") as process:
        assert json.loads(next_line(process)) == held()
        book.watchers[0].put(None)
        assert process.stderr is not None
        assert process.stderr.readline().endswith(" – trying again\n")
        book.publish(held(OTHER))
        assert json.loads(next_line(process)) == held(OTHER)
        process.send_signal(signal.SIGINT)
        assert process.wait(15) == exits.Exit.INTERRUPTED


@pytest.mark.promise("C4")
def test_who_may_not_watch_is_told_so(tmp_path: Path) -> None:
    """Exit 9 and the gateway's own words."""
    book = Book(answers={"GET /control/watch": (403, {"detail": "you are not in group `x`"})})
    with serve(tmp_path, book), piped(tmp_path) as process:
        assert process.wait(15) == exits.Exit.REFUSED
        assert process.stderr is not None
        assert process.stderr.read() == "mesh7: you are not in group `x`\n"
