"""Records found by the index: those that a plain reading finds, whatever became of the index."""

import json
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_cli.auditing import keeping
from mesh7_cli.auditing.folder import Folder
from mesh7_cli.records import Wish
from mesh7_core import errors
from mesh7_core.audit.wanted import Wanted
from mesh7_core.policy.globs import TextGlob
from tests.cli.auditing.written import (
    REQUEST,
    TRACE,
    Fields,
    Writer,
    asked,
    call,
    deed,
    microseconds,
    numbered,
    scanned,
    tools,
)

ROOT = Path(__file__).resolve().parents[3]
AGENTS = ("support", "billing")
TOOLS = ("git.git_log", "git.git_commit", "api.get")
READER = """
import sys, pathlib
from tests.cli.auditing.written import asked
from mesh7_core.audit.wanted import Wanted
print(*asked(pathlib.Path(sys.argv[1]), Wanted()).lines, sep='\\n')
"""
RULES = ("default/quickstart/read", "base/all")


def records() -> st.SearchStrategy[Fields]:
    """Of few agents, tools and times, so that filters meet them."""
    calls = st.builds(
        lambda at, agent, tool, fate, rule, trace, request: call(
            at,
            agent={"namespace": "default", "serviceAccount": agent, "pod": f"pod-{agent}"},
            tool=tool,
            decision=fate[0],
            reason=fate[1],
            outcome=fate[2],
            rules=[rule],
            **({"traceId": trace} if trace else {}),
            **({"requestId": request} if request else {}),
        ),
        st.integers(0, 5),
        st.sampled_from(AGENTS),
        st.sampled_from(TOOLS),
        st.sampled_from([
            ("Allow", "allowed-by-rule", "ok"), ("Deny", "denied-by-rule", "refused"),
            ("Hold", "approval-required", "refused"),
        ]),
        st.sampled_from(RULES),
        st.sampled_from(["", TRACE]),
        st.sampled_from(["", REQUEST]),
    )  # fmt: skip
    deeds = st.builds(deed, st.integers(0, 5), agent=st.sampled_from(["default/support", ""]))
    return calls | deeds | st.just({"dropped": 3})


def wishes() -> st.SearchStrategy[Wanted]:
    """Filters, alone and together, such as match nothing among them."""
    times = st.none() | st.integers(0, 6).map(microseconds)
    return st.builds(
        Wanted,
        agent=st.sampled_from(["", "", "support", "default/billing", "nobody"]),
        pod=st.sampled_from(["", "", "pod-support"]),
        tool=st.sampled_from(["", "", "git.*", "*get", "none*"]).map(
            lambda text: TextGlob.parse(text) if text else None
        ),
        decision=st.sampled_from(["", "", "Allow", "Deny"]),
        reason=st.sampled_from(["", "", "denied-by-rule", "no-policy"]),
        outcome=st.sampled_from(["", "", "ok"]),
        rule=st.sampled_from(["", "", "read", "base/all"]),
        is_deed=st.sampled_from([False, False, True]),
        trace=st.sampled_from(["", "", TRACE, "0" * 32]),
        request=st.sampled_from(["", "", REQUEST, "r-1"]),
        id=st.sampled_from(["", "", "", "abcdefghijkl-2", "abcdefghijkl-99"]),
        since_us=times,
        until_us=times,
    )


@pytest.mark.promise("T5")
@given(
    st.lists(st.lists(records(), min_size=1, max_size=6), max_size=4),
    st.lists(wishes(), min_size=1, max_size=6),
    st.integers(1, 5),
)
def test_the_index_finds_what_a_plain_reading_finds(
    files: list[list[Fields]], wanted: list[Wanted], limit: int
) -> None:
    """Issue 8: query newest first, by every filter, page by page, over rotated files."""
    with tempfile.TemporaryDirectory() as name:
        state = Path(name)
        writer = Writer(state)
        for some in files:
            writer.write(*some)
            writer.rotate()
        for wish in wanted:
            found: list[str] = []
            cursor = ""
            while True:
                page = asked(state, wish, limit, cursor)
                assert len(page.lines) <= limit
                found += page.lines
                cursor = page.cursor
                if not cursor:
                    break
            assert found == scanned(state, wish)


@pytest.mark.promise("T5")
@given(st.lists(st.sampled_from(["write", "rotate", "read"]), max_size=14), st.integers(1, 4))
def test_a_cursor_meets_each_older_record_once_while_files_grow_and_rotate(
    steps: list[str], limit: int
) -> None:
    """Issue 8: a cursor; none twice, and none left out but what rotated away."""
    with tempfile.TemporaryDirectory() as name:
        state = Path(name)
        writer = Writer(state)
        writer.write(*numbered(1, 12))
        page = asked(state, Wanted(), limit)
        before, found = scanned(state, Wanted()), list(page.lines)
        written = 12
        for step in [*steps, *["read"] * 12]:
            if step == "write":
                written += 1
                writer.write(call(tool=f"s.{written}"))
            elif step == "rotate":
                writer.rotate(kept=2)
            elif page.cursor:
                page = asked(state, Wanted(), limit, page.cursor)
                found += page.lines
        assert found == before[: len(found)]
        kept = scanned(state, Wanted())
        assert [line for line in before if line in kept and line not in found] == []


@pytest.mark.promise("T5")
def test_a_time_is_found_although_the_clock_went_back(tmp_path: Path) -> None:
    """Issue 8, faults: clock back. Times are not in the order of the records then."""
    writer = Writer(tmp_path)
    for first in (0, 9000, 3000, 12000):
        writer.write(*numbered(first, first + 2999))
    for low, high in ((100, 140), (4000, 4001), (14000, 20000), (20000, 30000)):
        wish = Wanted(since_us=microseconds(low), until_us=microseconds(high))
        assert list(asked(tmp_path, wish).lines) == scanned(tmp_path, wish)[:500]


def overwrite(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\x00" + b"\xff" * 5000)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def age(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 0")
    connection.close()


def swap_for_somebody_elses(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE records (place TEXT)")
    connection.close()


def lie(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE records SET begin = begin + 1")
    connection.close()


def make_a_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def make_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.promise("T5")
@pytest.mark.parametrize(
    "damage",
    [overwrite, cut, age, swap_for_somebody_elses, lie, make_a_link, make_a_folder, Path.unlink],
)
def test_an_index_that_does_not_fit_is_made_anew(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """Issue 8: the index proves nothing; damaged, foreign or older it is thrown away."""
    Writer(tmp_path).write(*numbered(1, 40))
    expected = asked(tmp_path, Wanted()).lines
    damage(tmp_path / keeping.NAME)
    assert asked(tmp_path, Wanted()).lines == expected
    assert asked(tmp_path, Wanted()).lines == expected


@pytest.mark.promise("T5")
def test_the_index_is_its_owners_alone(tmp_path: Path) -> None:
    """Promise D50's like: what is told of records is as private as they are."""
    Writer(tmp_path).write(call())
    asked(tmp_path, Wanted())
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("audit.index*")}
    assert modes == {"audit.index": 0o600, "audit.index.lock": 0o600}


@pytest.mark.promise("W10")
@pytest.mark.parametrize("word", ["denyed", "a-much-longer-word-than-before"])
def test_an_edit_beneath_the_index_is_shown_as_the_file_says_it(tmp_path: Path, word: str) -> None:
    """Attack: records edited in place after they were indexed; what is printed is what is there."""
    writer = Writer(tmp_path)
    writer.write(*[call(tool="s.before")] * 3)
    asked(tmp_path, Wanted())
    content = writer.path.read_bytes().replace(b"s.before", b"s." + word.encode(), 1)
    writer.path.write_bytes(content)
    glob = TextGlob.parse("s.before")
    assert tools(asked(tmp_path, Wanted()).lines) == ["s.before", "s.before", f"s.{word}"]
    assert tools(asked(tmp_path, Wanted(tool=glob)).lines) == ["s.before", "s.before"]


@pytest.mark.promise("T5")
def test_two_readers_at_once_find_the_same(tmp_path: Path) -> None:
    """Issue 8: safe with two readers at once, each making the index."""
    Writer(tmp_path).write(*numbered(1, 3000))
    Writer(tmp_path, "mnopqrstuvwx").write(*numbered(1, 3000))
    reader = [sys.executable, "-c", READER, str(tmp_path)]
    readers = [
        subprocess.Popen(reader, stdout=subprocess.PIPE, cwd=ROOT, text=True) for _ in range(3)
    ]
    outputs = [one.communicate()[0].splitlines() for one in readers]
    assert [one.returncode for one in readers] == [0, 0, 0]
    assert outputs == [scanned(tmp_path, Wanted())[:500]] * 3


@pytest.mark.promise("T5")
def test_a_reader_whose_index_is_held_answers_without_it(tmp_path: Path) -> None:
    """A reader that hangs with the index in its hands keeps nobody from reading."""
    Writer(tmp_path).write(*numbered(1, 3))
    with keeping.held(tmp_path, 0.0) as is_held:
        assert is_held
        page = Folder(tmp_path, patience_s=0.0, keep_from_bytes=0).query(Wish(wanted=Wanted()))
    assert tools(page.lines) == ["s.3", "s.2", "s.1"]
    assert not (tmp_path / keeping.NAME).exists()


@pytest.mark.promise("T5")
def test_lines_that_are_no_records_are_counted_and_passed_over(tmp_path: Path) -> None:
    """Issue 8, faults: a record cut in half by SIGKILL, and whatever else stands there."""
    writer = Writer(tmp_path)
    writer.write(call(tool="s.1"))
    writer.raw(b'{"id":"abcdefghijkl-2","ti\n\xff\xfe\n[1]\nnull\n' + b"[" * 5000 + b"\n\n")
    writer.raw(b'{"time":5,"decision":{},"agent":7,"rules":"x","tool":[],"id":[]}\n')
    writer.write(call(tool="s.2"))
    writer.raw(b'{"half')
    page = asked(tmp_path, Wanted())
    assert [json.loads(line).get("tool") for line in page.lines] == ["s.2", [], "s.1"]
    assert page.notes == (
        "5 lines are no records – `mesh7 audit verify` says where",
        "the last line of `audit.jsonl` is not whole: it is being written, or was cut",
    )


@pytest.mark.promise("T5")
def test_a_file_that_came_back_or_went_is_seen(tmp_path: Path) -> None:
    """A generation that is taken out of the middle, or put back, is no reason to be wrong."""
    writer = Writer(tmp_path)
    for number in (1, 2, 3):
        writer.write(call(tool=f"s.{number}"))
        writer.rotate()
    assert tools(asked(tmp_path, Wanted()).lines) == ["s.3", "s.2", "s.1"]
    aside = tmp_path / "aside"
    writer.generation(2).rename(aside)
    assert tools(asked(tmp_path, Wanted()).lines) == ["s.3", "s.1"]
    aside.rename(writer.generation(2))
    assert tools(asked(tmp_path, Wanted()).lines) == ["s.3", "s.2", "s.1"]
    writer.generation(4).unlink(missing_ok=True)
    writer.generation(3).unlink()
    assert tools(asked(tmp_path, Wanted()).lines) == ["s.3", "s.2"]


@pytest.mark.promise("T5")
@pytest.mark.parametrize("cursor", ["x", "é", "AAAA", "Li4uLi4uLi4uLi4uLi4uLi4uLi4uLi4uLi46MQ"])
def test_what_is_no_cursor_is_refused(tmp_path: Path, cursor: str) -> None:
    """Every error says what to do."""
    Writer(tmp_path).write(call())
    with pytest.raises(errors.SettingsError, match="that is no cursor"):
        asked(tmp_path, Wanted(), 1, cursor)


@pytest.mark.promise("T5")
def test_what_rotated_away_since_a_cursor_is_said(tmp_path: Path) -> None:
    """A page that ends early says why."""
    writer = Writer(tmp_path)
    writer.write(*numbered(1, 3))
    page = asked(tmp_path, Wanted(), 1)
    for _ in range(3):
        writer.rotate(kept=2)
    writer.write(call())
    later = asked(tmp_path, Wanted(), 1, page.cursor)
    assert (later.lines, later.notes) == ((), ("what is older than this cursor is no longer kept",))
