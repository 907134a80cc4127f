"""Tables on terminals of any width: nothing to decide by is ever cut."""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from mesh7_cli import fitting, output, tables
from tests.cli import terminal
from tests.cli.people_gateway import ID, OTHER, Book, granted, held, serve

LONG = "billing.create_refund_for_a_customer_of_another_region"
HEADS = ["id", "state", "tool", "rules"]
ROWS = [
    [ID, "pending", LONG, "shop/refunds/big, shop/refunds/of-another-region"],
    [OTHER, "denied", "git.status", ""],
]


def lines(width: float, heads: Sequence[str] = HEADS) -> list[str]:
    return list(tables.lines(heads, ROWS, width, lambda _, drawn: drawn))


def test_off_a_terminal_every_row_is_one_aligned_line() -> None:
    """docs/reference/commands.md: a table in a pipe is for programs."""
    heads, first, second = lines(math.inf)
    assert heads == f"{'ID':28}  STATE    {'TOOL':54}  RULES"
    assert first == "  ".join(ROWS[0])
    assert second == f"{OTHER}  denied   git.status"
    assert lines(math.inf, ()) == [first, second]


def test_the_last_column_goes_on_in_a_second_line() -> None:
    assert lines(125)[1:] == [
        f"{ID}  pending  {LONG}  shop/refunds/big,",
        " " * 95 + "shop/refunds/of-another-region",
        f"{OTHER}  denied   git.status",
    ]


def test_what_has_no_room_stands_below_its_row() -> None:
    assert lines(80) == [
        f"{'ID':28}  STATE",
        f"{ID}  pending",
        f"    tool: {LONG}",
        "    rules: shop/refunds/big, shop/refunds/of-another-region",
        f"{OTHER}  denied",
        "    tool: git.status",
    ]


@pytest.mark.parametrize("width", range(1, 160))
def test_nothing_is_cut_however_narrow_a_terminal_is(width: int) -> None:
    found = lines(width)
    assert all(fitting.width(one) <= max(width, 28, len(tables.INDENT) + 1) for one in found)
    text = "".join("".join(found).split())
    for cell in [cell for row in ROWS for cell in row]:
        assert "".join(cell.split()) in text


def drawn(state: Path, columns: int, *words: str) -> list[str]:
    with terminal.running([*words, "--state", str(state)], columns=columns) as screen:
        assert screen.end() == 0
        return screen.text.splitlines()


@pytest.mark.promise("A11")
@pytest.mark.parametrize("columns", [40, 60, 80, 120, 200])
def test_held_calls_and_grants_can_be_decided_on_a_terminal_of_any_width(
    tmp_path: Path, columns: int
) -> None:
    """On 80 columns ID, TOOL and AGENT were cut to a few letters each."""
    requests = {ID: held(tool=LONG), OTHER: held(OTHER, agent="shop/refunds-of-another-region")}
    book = Book(requests=requests, grants=[granted(), granted("g-2", tools=[LONG])])
    with serve(tmp_path, book):
        found = drawn(tmp_path, columns, "requests") + drawn(tmp_path, columns, "grants")
    assert max(map(len, found)) <= columns
    text = "".join("".join(found).split())
    for one in (ID, OTHER, LONG, "shop/refunds-of-another-region", "g-1", "g-2", "INC-1"):
        assert one in text
    assert "…" not in text
    assert [line.split()[0] for line in found if line.startswith("r-")] == [ID, OTHER]


def test_a_cell_cannot_draw_beyond_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(["tool", "why"], [["a\x1b[2J\n", "b\u202e"]])
    assert capsys.readouterr().out == "TOOL        WHY\na\\x1b[2J\\n  b\\u202e\n"
