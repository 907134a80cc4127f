"""`mesh7 explain ID` holds the one block that the record lies in against its seal."""

import json
from pathlib import Path

import pytest

from mesh7_cli import exits, main
from mesh7_cli.auditing.folder import Folder
from mesh7_cli.records import Seal
from tests.cli.auditing.written import CHAIN, Writer, call, numbered

Capture = pytest.CaptureFixture[str]


def seal(state: Path, number: int) -> Seal:
    return Folder(state).seal(f"{CHAIN}-{number}")


@pytest.mark.promise("W10")
def test_words_that_somebody_edited_are_not_retold_without_a_hint(
    tmp_path: Path, capsys: Capture
) -> None:
    """Attack: a denial made an approval in the file; `explain` retold the forged words."""
    writer = Writer(tmp_path)
    writer.write(call(decision="Deny", reason="denied-by-rule"))
    writer.write(call())
    words = ["explain", f"{CHAIN}-1", "--state", str(tmp_path)]
    assert main.exit_code(words) == exits.Exit.OK
    printed = capsys.readouterr()
    assert "  seal        the seal of the record's block agrees\n" in printed.out
    assert printed.err == ""
    writer.path.write_bytes(writer.path.read_bytes().replace(b'"Deny"', b'"Allow"', 1))
    assert main.exit_code(words) == exits.Exit.OK
    printed = capsys.readouterr()
    assert (
        "  seal        the seal of the record's block does NOT agree, something in" in printed.out
    )
    assert printed.err.startswith("mesh7: the record may not say what was written: ")
    assert main.exit_code([*words, "-o", "json"]) == exits.Exit.OK
    assert json.loads(capsys.readouterr().out)["seal"] == "differs"


@pytest.mark.promise("W10")
def test_one_block_says_nothing_of_the_others(tmp_path: Path) -> None:
    """Blocks of several records, in files that rotated."""
    writer = Writer(tmp_path)
    for block in range(4):
        writer.write(*numbered(2 * block + 1, 2 * block + 2))
        if block == 1:
            writer.rotate()
    writer.path.write_bytes(writer.path.read_bytes().replace(b'"s.5"', b'"s.x"'))
    assert [seal(tmp_path, number) for number in range(1, 10)] == [
        *[Seal.AGREES] * 4, *[Seal.DIFFERS] * 2, *[Seal.AGREES] * 2, Seal.NONE,
    ]  # fmt: skip


@pytest.mark.promise("W10")
@pytest.mark.parametrize(
    "forged",
    [
        b'{"seal":{"chain":"abcdefghijkl"}}\n',
        b'{"seal":{"chain":"' + b"x" * 2000 + b'"}}\n',
    ],
)
def test_a_line_that_only_claims_to_be_a_seal_vouches_for_nothing(
    tmp_path: Path, forged: bytes
) -> None:
    """Attack: half a seal before a record, or behind it."""
    writer = Writer(tmp_path)
    writer.write(*numbered(1, 3))
    sound = writer.path.read_bytes()
    for number in (1, 2):
        first, second, third, own, _ = sound.split(b"\n")
        lines = [first, second, third, own, b""]
        lines.insert(number, forged.rstrip(b"\n"))
        writer.path.write_bytes(b"\n".join(lines))
        assert seal(tmp_path, 2) is Seal.DIFFERS


@pytest.mark.promise("W10")
def test_blocks_longer_than_a_piece_are_read_whole(tmp_path: Path) -> None:
    """Records of what policies show in full may be long."""
    writer = Writer(tmp_path)
    writer.write(call())
    for length in (262_100, 262_144, 600_000):
        writer.write(call(redacted="x" * length), call())
    assert {seal(tmp_path, number) for number in range(1, 8)} == {Seal.AGREES}
    path = writer.path
    path.write_bytes(path.read_bytes().replace(b"xx", b"xy", 1))
    assert [seal(tmp_path, number) for number in (1, 2, 3, 4)] == [
        Seal.AGREES, Seal.DIFFERS, Seal.DIFFERS, Seal.AGREES,
    ]  # fmt: skip


@pytest.mark.promise("W10")
def test_what_has_no_seal_yet_is_said_to_have_none(tmp_path: Path) -> None:
    """A record that is being written, or that a crash left."""
    Writer(tmp_path).raw(f'{{"id":"{CHAIN}-1","decision":"Allow"}}\n'.encode())
    assert seal(tmp_path, 1) is Seal.NONE
