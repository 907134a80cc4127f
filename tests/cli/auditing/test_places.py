"""A state folder that is missing, is none, or has no audit: each command says it alike."""

from pathlib import Path

import pytest

from mesh7_cli import exits, main
from mesh7_sidecar.audit.signing import SignedHeads
from tests.cli import terminal
from tests.cli.auditing.written import CHAIN, TRACE, Writer, call

Capture = pytest.CaptureFixture[str]
COMMANDS = (
    ["audit"],
    ["audit", "--deeds", "-o", "json"],
    ["audit", "verify"],
    ["audit", "head"],
    ["trace", TRACE],
    ["explain", f"{CHAIN}-1"],
)


def missing(_state: Path) -> None:
    pass


def of_no_gateway(state: Path) -> None:
    state.mkdir()


def without_records(state: Path) -> None:
    state.mkdir()
    (state / "lock").touch()


@pytest.mark.promise("C4")
@pytest.mark.parametrize("words", COMMANDS)
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (missing, "there is no state folder `{}` – name the gateway's with --dir or --state"),
        (of_no_gateway, "`{}` is no state folder, no gateway was started with it – name the"),
        (without_records, "`{}` has no audit: its records are off (`--audit off`), or"),
    ],
)
def test_a_wrong_state_folder_is_said_alike_by_each_command(
    tmp_path: Path, capsys: Capture, words: list[str], make: object, said: str
) -> None:
    """It was told in five ways, and `mesh7 audit` ended with 0."""
    state = tmp_path / "state"
    assert callable(make)
    make(state)
    assert main.exit_code([*words, "--state", str(state)]) == exits.Exit.SETTINGS
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"mesh7: {said.format(state)}")


@pytest.mark.promise("C4")
def test_a_kept_head_is_held_against_a_folder_whose_audit_is_gone(
    tmp_path: Path, capsys: Capture
) -> None:
    """Attack: all of the audit taken away; who kept a head is told so, not that it is off."""
    old, state = tmp_path / "old", tmp_path / "state"
    writer = Writer(old)
    writer.write(call())
    SignedHeads(old).sign(writer.head)
    assert main.exit_code(["audit", "head", "--state", str(old)]) == exits.Exit.OK
    head = capsys.readouterr().out.strip()
    without_records(state)
    words = ["audit", "verify", "--head", head, "--state"]
    assert main.exit_code([*words, str(state)]) == exits.Exit.UNSOUND
    assert f"no block of chain {CHAIN} is there" in capsys.readouterr().out
    assert main.exit_code([*words, str(tmp_path / "none")]) == exits.Exit.SETTINGS
    assert "there is no state folder" in capsys.readouterr().err


@pytest.mark.promise("C4")
def test_an_audit_without_records_is_no_error(tmp_path: Path, capsys: Capture) -> None:
    """A gateway that nobody has called yet; and filters that no record agrees with."""
    (tmp_path / "audit.jsonl").touch()
    assert main.exit_code(["audit", "--state", str(tmp_path)]) == exits.Exit.OK
    assert capsys.readouterr().out == "there are no records\n"
    Writer(tmp_path).write(call())
    words = ["audit", "--decision", "hold", "--state", str(tmp_path)]
    assert main.exit_code(words) == exits.Exit.OK
    assert capsys.readouterr().out == "no record agrees with all of that\n"


@pytest.mark.promise("C4")
def test_following_says_what_it_waits_for(tmp_path: Path) -> None:
    """A state folder that is not there was waited for in silence."""
    state = tmp_path / "later"
    words = ["audit", "-f", "-o", "jsonl", "--state", str(state)]
    with terminal.running(words) as screen:
        screen.until(f"mesh7: there is no state folder `{state}` yet, waiting")
        Writer(state).write(call(tool="s.1"))
        screen.until('"tool":"s.1"')
        assert screen.end(pressing="\x03") == exits.Exit.INTERRUPTED
