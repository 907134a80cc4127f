"""A kubectl that goes on: its lines as they come, and its end when nobody reads any more."""

import os
import threading
from pathlib import Path

import pytest

from mesh7_cli.cluster.errors import ForbiddenError
from mesh7_cli.cluster.kubectl import Kubectl

_PATIENCE_S = 30.0


def _program(folder: Path, text: str) -> None:
    program = folder / "kubectl"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_lines_are_there_before_it_ends(folder: Path) -> None:
    """The second waits for what we do after the first."""
    os.mkfifo(folder / "go")
    _program(folder, f'echo first; read word <"{folder}/go"; echo "$word"')
    lines = Kubectl().lines("get")
    assert next(lines) == "first\n"
    (folder / "go").write_text("second\n")
    assert list(lines) == ["second\n"]


def test_its_complaint_is_the_error(folder: Path) -> None:
    """As of every other kubectl."""
    _program(
        folder,
        "echo 'Error from server (Forbidden): x is forbidden: User \"jane\" cannot' >&2; exit 1",
    )
    with pytest.raises(ForbiddenError):
        list(Kubectl().lines("get"))


def test_what_is_followed_has_no_time_limit(folder: Path) -> None:
    """The last of two flags counts."""
    _program(folder, 'echo "$@"')
    assert list(Kubectl(request_timeout="3s").lines("get")) == [
        "--request-timeout=3s get --request-timeout=0\n"
    ]


def test_who_closes_it_ends_the_reader(folder: Path) -> None:
    """Issue 7: the child is ended when `watch` is."""
    os.mkfifo(folder / "never")
    _program(folder, f'echo $$; exec /bin/cat "{folder}/never"')
    kubectl = Kubectl()
    lines = kubectl.lines("get")
    number = int(next(lines))
    ended = threading.Thread(target=kubectl.close)
    ended.start()
    assert list(lines) == []
    ended.join(_PATIENCE_S)
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)


def test_a_closed_one_starts_nothing_that_goes_on(folder: Path) -> None:
    """Regression: closed between two questions, it would have left a kubectl behind."""
    os.mkfifo(folder / "never")
    _program(folder, f'exec /bin/cat "{folder}/never"')
    kubectl = Kubectl()
    kubectl.close()
    assert list(kubectl.lines("get")) == []


def test_one_alike_ends_apart(folder: Path) -> None:
    """Who decides goes on when who follows is ended."""
    _program(folder, 'echo "$@"')
    kubectl = Kubectl(["--context=x"], namespace="shop")
    alike = kubectl.alike()
    kubectl.close()
    assert alike.text("get") == "--context=x --request-timeout=15s get\n"
    assert alike.named == "shop"
