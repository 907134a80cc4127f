"""`mesh7 audit verify` and `mesh7 audit head`: what is said of what was done to files."""

import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mesh7_cli import exits, main
from mesh7_cli.auditing import signed, verified
from mesh7_cli.auditing.signed import Signed
from mesh7_cli.verbs.verify import MEANINGS
from mesh7_core.audit import heads
from mesh7_core.audit.findings import Kind
from mesh7_core.delivery import keys
from mesh7_sidecar.audit import signing
from mesh7_sidecar.audit.signing import SignedHeads
from tests.cli.auditing.written import CHAIN, Writer, call, numbered

Capture = pytest.CaptureFixture[str]
PAGE = Path(__file__).resolve().parents[3] / "docs/user/audit.md"


def recorded(state: Path, blocks: int = 3, word: str = "s") -> Writer:
    """Files of so many blocks, the last one signed."""
    writer = Writer(state)
    for number in range(blocks):
        writer.write(call(number, tool=f"{word}.{number}"), call(number, tool=f"{word}.again"))
    SignedHeads(state).sign(writer.head)
    return writer


def verify(state: Path, *words: str) -> int:
    return main.exit_code(["audit", "verify", "--state", str(state), *words])


@pytest.mark.promise("T5")
def test_what_was_checked_is_said(tmp_path: Path, capsys: Capture) -> None:
    """docs/user/audit.md, verifying: records, blocks, from when to when, the head and its key."""
    recorded(tmp_path)
    public = signing.public_key(tmp_path)
    assert public is not None
    assert verify(tmp_path) == exits.Exit.OK
    assert capsys.readouterr().out == (
        "checked   6 records in 3 blocks of 1 file\n"
        "time      2026-11-21T10:00:00.000000Z to 2026-11-21T10:00:00.000000Z\n"
        f"chain     {CHAIN}, blocks 1 to 3\n"
        f"head      block 3 of 2026-11-21T10:00:00.000000Z, signed by key {keys.name_of(public)}\n"
        "sound: nothing was changed\n"
    )


def edit(writer: Writer) -> None:
    writer.path.write_bytes(writer.path.read_bytes().replace(b"s.1", b"s.7", 1))


def cut(writer: Writer) -> None:
    content = writer.path.read_bytes()
    os.truncate(writer.path, content.rindex(b'{"seal"', 0, content.rindex(b'{"seal"')))


def empty(writer: Writer) -> None:
    os.truncate(writer.path, 0)


def remove(writer: Writer) -> None:
    writer.path.unlink()


def add(writer: Writer) -> None:
    content = writer.path.read_bytes()
    writer.path.write_bytes(content + b'{"decision":"Allow"}\n')


def swap(writer: Writer) -> None:
    writer.path.unlink()
    Writer(writer.path.parent, "mnopqrstuvwx").write(call())


def forget_heads(writer: Writer) -> None:
    (writer.path.parent / signing.HEADS_NAME).unlink()


def forget_the_key(writer: Writer) -> None:
    (writer.path.parent / signing.KEY_NAME).unlink()


@pytest.mark.promise("W10")
@pytest.mark.promise("T5")
@pytest.mark.parametrize(
    ("attack", "said"),
    [
        (edit, "audit.jsonl:4: edited"),
        (cut, f"cut: of chain {CHAIN}, blocks 2 to 3 are missing at its end"),
        (empty, "cut: "),
        (remove, "cut: "),
        (add, "audit.jsonl:10: foreign"),
        (swap, "swapped: "),
        (forget_heads, "no head of it is signed"),
        (forget_the_key, "no head of it is signed"),
    ],
)
def test_what_was_done_to_the_files_is_found_and_placed(
    tmp_path: Path, capsys: Capture, attack: Callable[[Writer], None], said: str
) -> None:
    """Attack: the audit of a laptop edited, cut, swapped, added to; its heads removed."""
    attack(recorded(tmp_path))
    assert verify(tmp_path) == exits.Exit.UNSOUND
    out = capsys.readouterr().out
    assert said in out
    assert out.splitlines()[-1].startswith("not sound: ")


@pytest.mark.promise("T5")
@pytest.mark.parametrize("torn", [b'{"id":"abcdefghijkl-7","ti', b'{"seal":{"chain"'])
def test_what_a_crash_tore_is_told_and_sound(tmp_path: Path, capsys: Capture, torn: bytes) -> None:
    """Issue 8, faults: a record cut in half by SIGKILL is no edit."""
    recorded(tmp_path).raw(torn)
    assert verify(tmp_path) == exits.Exit.OK
    out = capsys.readouterr().out
    assert "torn: the gateway was killed while it wrote" in out
    assert out.splitlines()[-1] == "sound: nothing was changed, a crash left its trace"


@pytest.mark.promise("W10")
def test_an_owner_who_signs_anew_is_found_by_a_head_kept_elsewhere(
    tmp_path: Path, capsys: Capture
) -> None:
    """Attack: your own user id rewrites all records, and seals and signs them with your key."""
    state, kept = tmp_path / "state", tmp_path / "kept"
    writer = recorded(state)
    assert main.exit_code(["audit", "head", "--state", str(state)]) == exits.Exit.OK
    line = capsys.readouterr().out
    kept.write_text(line)
    writer.path.unlink()
    recorded(state, blocks=4, word="forged")
    assert verify(state) == exits.Exit.OK
    for head in (str(kept), line.strip()):
        assert verify(state, "--head", head) == exits.Exit.UNSOUND
    assert "block 3 is not the one that was signed" in capsys.readouterr().out


@pytest.mark.promise("W10")
def test_a_state_folder_that_was_begun_anew_is_found_by_a_head_kept_elsewhere(
    tmp_path: Path, capsys: Capture
) -> None:
    """Attack: everything removed, and another gateway's files put there."""
    recorded(tmp_path / "old")
    main.exit_code(["audit", "head", "--state", str(tmp_path / "old")])
    head = capsys.readouterr().out.strip()
    other = Writer(tmp_path / "new", "mnopqrstuvwx")
    other.write(call())
    SignedHeads(tmp_path / "new").sign(other.head)
    assert verify(tmp_path / "new") == exits.Exit.OK
    assert verify(tmp_path / "new", "--head", head) == exits.Exit.UNSOUND
    assert f"no block of chain {CHAIN} is there" in capsys.readouterr().out


@pytest.mark.promise("T5")
def test_a_head_that_still_holds_is_said_to(tmp_path: Path, capsys: Capture) -> None:
    """A kept head of an earlier block, and files that grew and rotated since."""
    writer = recorded(tmp_path)
    kept = (tmp_path / signing.HEADS_NAME).read_text()
    writer.rotate()
    writer.write(*numbered(1, 3))
    SignedHeads(tmp_path).sign(writer.head)
    assert verify(tmp_path, "--head", kept) == exits.Exit.OK
    assert "the files agree with it" in capsys.readouterr().out
    SignedHeads(tmp_path).let_go(CHAIN, 3)
    writer.generation(1).unlink()
    assert verify(tmp_path) == exits.Exit.OK
    assert verify(tmp_path, "--head", kept) == exits.Exit.UNSOUND
    assert "block 3 is no longer kept, the oldest is 4" in capsys.readouterr().out


@pytest.mark.promise("T5")
def test_a_rotation_while_it_is_verified_is_no_gap() -> None:
    """What may be missing is what the later heads say, what must be there what the earlier do."""
    head = replace(heads.begun(CHAIN), block=5, total=9, time="t")
    before = (Signed(head=replace(head, first=1), line=""),)
    later = (Signed(head=replace(head, block=8, first=4), line=""),)
    far = (Signed(head=replace(head, block=30, first=20), line=""),)
    assert signed.standing(before, later) == [replace(head, first=4)]
    assert signed.standing(before, far) == [replace(head, first=6)]
    assert signed.standing(before, ()) == []


@pytest.mark.promise("T5")
def test_many_findings_are_not_all_printed(tmp_path: Path, capsys: Capture) -> None:
    """Files of before there were seals: each line is foreign, and the verdict is still in sight."""
    (tmp_path / "audit.jsonl").write_text('{"decision":"Allow"}\n' * 60)
    assert verify(tmp_path) == exits.Exit.UNSOUND
    lines = capsys.readouterr().out.splitlines()
    assert sum(": foreign: " in line for line in lines) == 50
    assert "and 10 more, see `-o json`" in lines


@pytest.mark.promise("C2")
def test_programs_read_what_was_found(tmp_path: Path, capsys: Capture) -> None:
    """docs/reference/commands.md, audit verify: -o json."""
    cut(recorded(tmp_path))
    assert verify(tmp_path, "-o", "json") == exits.Exit.UNSOUND
    found = json.loads(capsys.readouterr().out)
    assert list(found) == [
        "isSound", "files", "records", "blocks", "began", "key", "chains", "unsigned", "kept",
        "findings",
    ]  # fmt: skip
    assert {one["kind"]: one["mayMean"] for one in found["findings"]}["cut"] == MEANINGS[
        next(kind for kind in MEANINGS if kind == "cut")
    ]


@pytest.mark.promise("C4")
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["verify", "--state", "nowhere"], exits.Exit.SETTINGS, "there is no state folder"),
        (["verify", "--head", "nowhere"], exits.Exit.SETTINGS, "cannot be read: No such file"),
        (["verify", "--head", "{}"], exits.Exit.SETTINGS, "that is no head"),
        (["head", "--state", "unsigned"], exits.Exit.UNKNOWN, "has no signed head"),
    ],
)
def test_what_cannot_be_verified_is_said(
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    code: exits.Exit,
    said: str,
) -> None:
    """Every error says what, where and what to do."""
    monkeypatch.chdir(tmp_path)
    Writer(tmp_path / "unsigned").write(call())
    assert main.exit_code(["audit", *words]) == code
    assert said in capsys.readouterr().err


@pytest.mark.promise("C5")
def test_the_page_says_what_each_finding_may_mean() -> None:
    """docs/user/audit.md and the command say the same."""
    rows = re.findall(r"(?m)^\| `([a-z-]+)` \| (.*) \|$", PAGE.read_text())
    expected = {kind.value: meaning for kind, meaning in MEANINGS.items()}
    assert {kind: meaning.removesuffix(", so this is sound") for kind, meaning in rows} == expected


def test_a_block_that_is_being_written_is_not_called_torn(tmp_path: Path) -> None:
    """A gateway that runs writes while files are read; half a block is not what it leaves."""
    writer = recorded(tmp_path)
    whole = writer.path.read_bytes()
    writer.write(call())
    more = writer.path.read_bytes()
    rest = [more[len(whole) + 30 : -40], more[-40:]]
    writer.path.write_bytes(more[: len(whole) + 30])

    def write_on(_: float) -> None:
        writer.raw(rest.pop(0))

    verdict = verified.verify(tmp_path, (), lambda *_: None, write_on)

    assert (verdict.found.findings, verdict.found.blocks) == ((), 4)


def test_what_nobody_ends_is_torn(tmp_path: Path) -> None:
    writer = recorded(tmp_path)
    writer.raw(b'{"id":"abcdefghijkl-7","ti')
    pauses: list[float] = []
    verdict = verified.verify(tmp_path, (), lambda *_: None, pauses.append)

    assert [one.kind for one in verdict.found.findings] == [Kind.TORN]
    assert pauses


def test_files_of_before_seals_do_not_make_an_audit_unsound(
    tmp_path: Path, capsys: Capture
) -> None:
    """docs/user/audit.md, after an upgrade: they are named, and exit 0 says that all else is."""
    older = tmp_path / "audit.jsonl.1"
    older.write_text(json.dumps(call(), separators=(",", ":")) + "\n")
    recorded(tmp_path)

    assert verify(tmp_path) == exits.Exit.OK
    said = capsys.readouterr().out
    assert "audit.jsonl.1:1: unsealed: written before records were sealed" in said
    assert said.endswith("sound: nothing that was sealed was changed\n")
