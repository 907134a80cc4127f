"""Records as they come: each once, in order, through rotations, gaps and strange lines."""

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_cli.auditing.coming import coming
from mesh7_cli.auditing.folder import Folder
from mesh7_cli.auditing.tail import Tail
from mesh7_cli.records import Wish
from mesh7_core.audit.wanted import Wanted
from mesh7_core.policy.globs import TextGlob
from tests.cli.auditing.written import CHAIN, Writer, call, numbered, tools


class NothingNewError(Exception):
    """There is nothing new, and nothing more will happen."""


def follow(
    state: Path, notes: list[str], *steps: Callable[[], None], wish: Wish | None = None
) -> list[str]:
    """What comes when these steps are taken, one each time that there is nothing new."""
    left = list(steps)

    def pause() -> None:
        if not left:
            raise NothingNewError
        left.pop(0)()

    found: list[str] = []
    asked = wish or Wish(wanted=Wanted())
    with contextlib.suppress(NothingNewError):
        for line in coming(Folder(state), Tail(state), asked, notes.append, pause):
            found.append(line)  # noqa: PERF402 - it does not end by itself
    return found


@pytest.mark.promise("T5")
def test_the_newest_come_first_then_what_is_written_later(tmp_path: Path) -> None:
    """Issue 8: -f; the page is oldest first, and no longer than its limit."""
    writer = Writer(tmp_path)
    writer.write(*numbered(1, 5))
    wish = Wish(wanted=Wanted(tool=TextGlob.parse("s.*")), limit=2)
    found = follow(
        tmp_path,
        [],
        lambda: writer.write(call(tool="other"), call(tool="s.6")),
        writer.rotate,
        lambda: writer.write(call(tool="s.7")),
        wish=wish,
    )
    assert tools(found) == ["s.4", "s.5", "s.6", "s.7"]


@pytest.mark.promise("T5")
def test_what_is_written_before_there_is_any_file_comes_too(tmp_path: Path) -> None:
    """A gateway that starts later than whoever follows it."""
    found = follow(tmp_path, [], lambda: Writer(tmp_path).write(*numbered(1, 2)))
    assert tools(found) == ["s.1", "s.2"]


@pytest.mark.promise("T5")
@given(st.lists(st.sampled_from(["write", "rotate", "look"]), max_size=16))
def test_each_record_comes_once_whatever_rotates(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    """Issue 8: polling that is safe with rotation."""
    state = tmp_path_factory.mktemp("state")
    writer, tail = Writer(state), Tail(state)
    found: list[bytes] = []
    written = 0
    for step in [*steps, "look"]:
        if step == "write":
            written += 1
            writer.write(call(tool=f"s.{written}"))
        elif step == "rotate":
            writer.rotate(kept=40)
        else:
            found += [line for line in tail.fresh() if not line.startswith(b'{"seal"')]
    assert tools(line.decode() for line in found) == [f"s.{n}" for n in range(1, written + 1)]
    assert tail.lost() == ""


@pytest.mark.promise("T5")
def test_a_half_written_line_is_waited_for(tmp_path: Path) -> None:
    """A record is printed when it is whole."""
    writer = Writer(tmp_path)
    tail = Tail(tmp_path)
    writer.raw(b'{"decision":"Allow","tool"')
    assert list(tail.fresh()) == []
    writer.raw(b':"s.1"}\n')
    assert list(tail.fresh()) == [b'{"decision":"Allow","tool":"s.1"}']


@pytest.mark.promise("W10")
def test_gaps_other_chains_and_lost_files_are_said(tmp_path: Path) -> None:
    """Attack: records taken out of the file while somebody follows it."""
    writer = Writer(tmp_path)
    writer.write(*numbered(1, 1))
    notes: list[str] = []

    def strange() -> None:
        writer.raw(f'{{"id":"{CHAIN}-2","decision":"Allow"}}\nno record\n'.encode())
        writer.raw(f'{{"id":"{CHAIN}-4","decision":"Allow"}}\n'.encode())
        Writer(tmp_path, "mnopqrstuvwx").write(call())

    follow(tmp_path, notes, strange)
    assert [note for note in notes if note] == [
        "a line is no record – `mesh7 audit verify` says more",
        f"record `{CHAIN}-4` follows `{CHAIN}-2`, which is not the one before it",
        "another chain of records begins, `mnopqrstuvwx`",
    ]


@pytest.mark.promise("W10")
def test_a_file_that_became_shorter_or_went_away_is_said(tmp_path: Path) -> None:
    """Attack: the audit file cut, or removed, while somebody follows it."""
    writer = Writer(tmp_path)
    writer.write(call(tool="s.1"))
    first = writer.path.read_bytes()
    writer.write(call(tool="s.2"))
    tail = Tail(tmp_path)
    writer.path.write_bytes(first)
    assert list(tail.fresh()) == []
    assert tail.lost() == "`audit.jsonl` became shorter than it was"
    writer.path.unlink()
    Writer(tmp_path, "mnopqrstuvwx").write(call(tool="s.3"))
    assert tools(line.decode() for line in tail.fresh() if b"tool" in line) == ["s.3"]
    assert tail.lost() == "files went away before they were read to their end"


@pytest.mark.promise("C2")
def test_follow_prints_until_it_is_interrupted(tmp_path: Path) -> None:
    """docs/reference/commands.md, audit -f; exit code 130 after Ctrl-C."""
    writer = Writer(tmp_path)
    writer.write(call(tool="s.1"))
    arguments = [sys.executable, "-m", "mesh7_cli", "audit", "-f", "-o", "jsonl", "--state"]
    with subprocess.Popen(
        [*arguments, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        seen = [json.loads(process.stdout.readline())["tool"]]
        for number in (2, 3):
            writer.write(call(tool=f"s.{number}"))
            writer.rotate()
            seen.append(json.loads(process.stdout.readline())["tool"])
        process.send_signal(signal.SIGINT)
    assert seen == ["s.1", "s.2", "s.3"]
    assert process.returncode == 130
