"""TAB after `mesh7 approve `: ids and names of the running gateway, and never a complaint."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.people_gateway import ID, OTHER, Book, granted, held, serve
from tests.cli.test_people import NASTY, book_with


def complete(line: str, shell: str = "bash") -> "subprocess.CompletedProcess[str]":
    """What the shell is told when TAB is pressed at the end of `line`."""
    words = line.split(" ")
    given = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1), "_MESH7_COMPLETE": ""}
    return subprocess.run(
        [sys.executable, "-m", "mesh7_cli"],
        env=os.environ | given | {"_MESH7_COMPLETE": f"{shell}_complete"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.promise("C2")
@pytest.mark.parametrize("verb", ["approve", "deny", "show"])
def test_ids_of_open_requests_are_offered(tmp_path: Path, verb: str) -> None:
    """Issue 4: whole ids are long, so the shell writes them."""
    with serve(tmp_path, book_with(held(), held(OTHER))):
        every = complete(f"mesh7 {verb} --state {tmp_path} r-")
        one = complete(f"mesh7 {verb} --state {tmp_path} {ID[:6]}")
    assert every.stdout.split() == [f"plain,{ID}", f"plain,{OTHER}"]
    assert one.stdout.split() == [f"plain,{ID}"]


@pytest.mark.promise("C2")
def test_names_of_grants_made_by_hand_are_offered(tmp_path: Path) -> None:
    """What comes from a file cannot be revoked, so it is not offered."""
    book = Book(grants=[granted("g-1"), granted("g-2", **{"from": "file"})])
    with serve(tmp_path, book):
        assert complete(f"mesh7 revoke --state {tmp_path} g").stdout.split() == ["plain,g-1"]


@pytest.mark.promise("A11")
def test_a_completion_cannot_move_the_cursor(tmp_path: Path) -> None:
    """Shells draw what a request is about, which strangers wrote."""
    with serve(tmp_path, book_with(held(tool=NASTY))):
        drawn = complete(f"mesh7 approve --state {tmp_path} ", "zsh").stdout
    assert ID in drawn
    assert all(letter.isprintable() for letter in drawn.replace("\n", ""))


@pytest.mark.promise("C4")
@pytest.mark.parametrize(
    "answer", [(503, {"detail": "lost"}), (404, {}), (422, {"detail": "no"}), (200, {})]
)
def test_a_completion_never_complains(
    tmp_path: Path, answer: tuple[int, dict[str, object]]
) -> None:
    """Nothing, when the gateway is away or has nothing to say."""
    line = f"mesh7 approve --state {tmp_path} r-"
    away = complete(line)
    with serve(tmp_path, Book(answers={"GET /control/requests?state=open": answer})):
        odd = complete(line)
    assert (away.stdout, away.stderr, odd.stdout, odd.stderr) == ("\n", "", "\n", "")
