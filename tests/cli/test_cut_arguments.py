"""A call whose arguments were too long to be kept: who decides is told that not all is shown."""

from pathlib import Path

import pytest

from mesh7_cli import exits, main
from tests.cli.people_gateway import ID, Book, held, serve
from tests.cli.test_watch import PROMPT, decided, watching

CUT = {"cut": {"bytes": 4_100_000, "digest": "sha256:33", "head": '{"t":"xx', "tail": 'THE END"}'}}
NOTE = (
    "not all of the arguments can be shown: of 4,100,000 bytes only head, tail, size and digest"
    " were kept"
)


def book() -> Book:
    return Book(requests={ID: held(arguments=CUT, argumentsCutFrom=4_100_000)})


@pytest.mark.promise("A11")
def test_show_says_that_not_all_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """docs/user/approvals.md."""
    with serve(tmp_path, book()):
        assert main.exit_code(["show", ID, "--state", str(tmp_path)]) == exits.Exit.OK
    out = capsys.readouterr().out
    assert f"  ! {NOTE}; a yes is for all of it\n" in out
    assert '"digest": "sha256:33"' in out


@pytest.mark.promise("A11")
def test_a_yes_to_it_says_so_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serve(tmp_path, book()):
        assert main.exit_code(["approve", ID, "--state", str(tmp_path)]) == exits.Exit.OK
    assert f"approved `{ID}`: git.git_commit for shop/support ({NOTE})" in capsys.readouterr().out


@pytest.mark.promise("A11")
def test_watch_takes_a_yes_only_after_all_that_was_kept_was_shown(tmp_path: Path) -> None:
    kept = book()
    with watching(tmp_path, kept) as terminal:
        card = terminal.until(PROMPT)
        assert f"! {NOTE}" in card
        assert "`f` shows all that was kept of them" in card
        terminal.until("press `f` first", pressing="a")
        assert decided(kept) == []
        terminal.until("THE END", pressing="f")
        terminal.until(PROMPT)
        terminal.until(f"approved `{ID}`", pressing="a")
        assert terminal.end(pressing="q") == exits.Exit.OK
    assert len(decided(kept)) == 1


@pytest.mark.promise("A11")
def test_watch_takes_a_yes_to_an_unseen_body_only_after_all_that_was_kept_was_shown(
    tmp_path: Path,
) -> None:
    """Attack of issue 7: a body that is padded, or no text, on a card that looks whole."""
    said = {"method": "POST", "path": "/v1/refunds", "bodySize": 33, "bodyDigest": "sha256:33"}
    kept = Book(requests={ID: held(arguments=said, unseen=True)})
    with watching(tmp_path, kept) as terminal:
        card = terminal.until(PROMPT)
        assert "! not all that is forwarded can be shown" in card
        terminal.until("press `f` first", pressing="a")
        assert decided(kept) == []
        terminal.until("asked by", pressing="f")
        terminal.until(PROMPT)
        terminal.until(f"approved `{ID}`", pressing="a")
        assert terminal.end(pressing="q") == exits.Exit.OK
    assert len(decided(kept)) == 1


def test_arguments_that_were_let_go_are_not_shown_as_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = Book(requests={ID: held(state="expired", arguments=None)})
    with serve(tmp_path, gone):
        assert main.exit_code(["show", ID, "--state", str(tmp_path)]) == exits.Exit.OK
    assert "not kept any more; the digest of the call is\n" in capsys.readouterr().out
