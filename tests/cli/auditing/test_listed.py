"""`mesh7 audit` on terminals of any width: what people copy is whole, reasons can be read."""

import json
from pathlib import Path

import pytest

from mesh7_cli.verbs import listed, recorded
from tests.cli import terminal
from tests.cli.auditing.written import CHAIN, REQUEST, Writer, call, deed

LONG = "billing.create_refund_for_a_customer_of_another_region"
WHY = "denied-by-rule default/quickstart/unsigned-commits"


def drawn(state: Path, columns: int, *words: str) -> list[str]:
    """The lines on a terminal so wide."""
    with terminal.running(["audit", "--state", str(state), *words], columns=columns) as screen:
        assert screen.end() == 0
        return screen.text.splitlines()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    writer = Writer(tmp_path)
    for number in range(12):
        writer.write(
            call(number, tool=LONG, decision="Deny", outcome="refused", reason="denied-by-rule",
                 rules=["default/quickstart/unsigned-commits"]),
        )  # fmt: skip
    writer.write(deed(20))
    return tmp_path


@pytest.mark.promise("C2")
@pytest.mark.parametrize("columns", [40, 60, 80, 120, 200])
def test_the_audit_can_be_read_on_a_terminal_of_any_width(state: Path, columns: int) -> None:
    """On 80 columns WHAT was `Al…`, the ID was cut and WHY was gone; on 60 so were columns."""
    lines = drawn(state, columns)
    assert max(map(len, lines)) <= max(columns, 50)
    words = " ".join(lines).split()
    for head in ("TIME", "WHAT", "TOOL", "AGENT", "OUTCOME", "TOOK", "ID", "WHY"):
        assert words.count(head) == 1
    for number in range(1, 14):
        assert words.count(f"{CHAIN}-{number}") == 1
    assert (words.count("Deny"), words.count("approve")) == (12, 1)
    text = " ".join(words)
    assert (text.count(WHY), text.count(f"{REQUEST}: fine")) == (12, 1)


@pytest.mark.promise("C2")
@pytest.mark.parametrize(
    ("columns", "below"),
    [(60, "AGENT  OUTCOME  TOOK  WHY"), (80, "OUTCOME  TOOK  WHY"), (120, "WHY"), (200, "")],
)
def test_what_has_no_room_stands_below(state: Path, columns: int, below: str) -> None:
    """Reasons were folded into ten letters on 120 columns."""
    lines = drawn(state, columns, "--until", "2026-11-21T10:00:01Z")
    if below:
        heads, more, row, *rest = lines
        assert more == f"    {below}"
        assert row.endswith(f"{CHAIN}-1")
        assert all(line.startswith("    ") for line in rest)
        assert " ".join(map(str.strip, rest)).endswith(WHY)
    else:
        heads, row = lines
        assert row.endswith(f"{CHAIN}-1  {WHY}")
    assert heads.startswith("TIME")


@pytest.mark.promise("C2")
def test_records_that_come_fit_into_the_terminal_too(state: Path) -> None:
    """`-f` knows no record before it comes."""
    words = ["audit", "-f", "--state", str(state), "--limit", "1"]
    with terminal.running(words, columns=80) as screen:
        lines = screen.until(f"{REQUEST}: fine").splitlines()
        assert screen.end(pressing="\x03") == 130
    assert max(map(len, lines)) <= 80
    assert f"{CHAIN}-13" in lines[2]


@pytest.mark.promise("C2")
def test_wide_rows_and_what_goes_into_a_pipe_are_cut_nowhere(state: Path) -> None:
    """`-o wide` is all that there is, however long the lines become."""
    (_, line) = drawn(state, 60, "-o", "wide", "--limit", "1", "--decision", "deny")[:2]
    assert (LONG in line, line.endswith(WHY)) == (True, True)
    said = recorded.read(json.dumps(call(tool=LONG)))
    assert said is not None
    cells = dict(listed.columns(said))
    (line,) = listed.of([cells], None).lines(cells)
    assert LONG in line


@pytest.mark.promise("T6")
def test_a_record_that_somebody_wrote_by_hand_moves_no_column(tmp_path: Path) -> None:
    """Attack: a WHAT so long, or letters so wide, that the row hides the others'."""
    Writer(tmp_path).write(call(decision="Allow" * 99, outcome="ok" * 99, tool="道" * 99), call())
    lines = drawn(tmp_path, 80)
    (own,) = (line for line in lines if f"{CHAIN}-2" in line)
    assert own.index("Allow") == lines[0].index("WHAT")
    assert f"{CHAIN}-1" in "".join(lines)
