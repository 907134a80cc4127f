"""The quickstart as a new user tries it: a real gateway, real servers, the lines it prints."""

import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mesh7_cli import exits, main
from tests.cli import terminal

ROOT = Path(__file__).resolve().parents[2]
MESH7 = [sys.executable, "-m", "mesh7_cli"]
PROMPT = "[q]uit > "


@pytest.fixture
def quickstart(tmp_path: Path) -> Path:
    """A copy of the example with its small repository, so that runs share nothing."""
    folder = tmp_path / "examples/quickstart"
    shutil.copytree(
        ROOT / "examples/quickstart", folder, ignore=shutil.ignore_patterns(".repository", ".mesh7")
    )
    subprocess.run([folder / "prepare"], check=True)
    return folder


@contextmanager
def running(folder: Path, *flags: str) -> Iterator[list[str]]:
    """`mesh7 run` on a free port, with the lines it announced itself with."""
    command = [*MESH7, "run", str(folder), "--listen", "127.0.0.1:0", "--admin", "off", *flags]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    with process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if line.startswith("Ctrl-C"):
                break
        try:
            yield lines
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(15) == exits.Exit.OK


@pytest.mark.promise("C1")
@pytest.mark.promise("C2")
def test_the_quickstart_does_what_its_page_says(
    quickstart: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """docs/user/getting-started.md, in its order, and each line that the program prints."""
    where = ["--dir", str(quickstart)]
    commit = '{"repo_path": ".repository", "message": "%s"}'
    with running(quickstart) as lines:
        assert lines[0] == f"mesh7 guards {quickstart} for agent default/default"
        assert main.exit_code(["tools", *where]) == exits.Exit.OK
        listed = capsys.readouterr().out
        assert "git.git_commit" in listed
        assert "git.git_reset" not in listed
        arguments = ["call", "git.git_commit", commit % "wip", *where]
        assert main.exit_code(arguments) == exits.Exit.DENIED
        assert 'a commit message of an agent starts with "agent: "' in capsys.readouterr().out
        held = [*MESH7, "call", "git.git_commit", commit % "agent: buy bread", *where]
        pipe = subprocess.PIPE
        with subprocess.Popen(held, stdout=pipe, stderr=pipe, text=True) as waiting:
            assert waiting.stderr is not None
            assert waiting.stderr.readline().startswith("waits for a person, request r-")
            with terminal.running(["watch", *where]) as watching:
                assert "agent: buy bread" in watching.until(PROMPT)
                watching.until("usable once", pressing="a")
                assert waiting.wait(15) == exits.Exit.OK
                assert watching.end(pressing="q") == exits.Exit.OK
            assert waiting.communicate()[0].startswith("Changes committed successfully")
        arguments = ["call", "git.git_log", '{"repo_path": ".repository"}', *where]
        assert main.exit_code(arguments) == exits.Exit.OK
        assert "agent: buy bread" in capsys.readouterr().out
        reset = ["call", "git.git_reset", '{"repo_path": ".repository"}', *where]
        assert main.exit_code(reset) == exits.Exit.DENIED
        assert capsys.readouterr().out == "unknown tool `git_reset`\n"
        assert main.exit_code(["status", *where]) == exits.Exit.OK


@pytest.mark.promise("C5")
def test_the_readme_s_transcript_is_what_is_printed(
    quickstart: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """README.md, Quickstart; `…` stands for the rest of a line."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    session = re.search(r"^```console running\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    assert session is not None
    monkeypatch.chdir(quickstart.parents[1])
    with running(quickstart):
        for typed, shown in re.findall(
            r"^\$ \S+mesh7 (.*)\n((?:(?!\$ ).*\n)*)", session.group(1), re.MULTILINE
        ):
            main.exit_code(shlex.split(typed))
            printed = capsys.readouterr()
            expected = re.escape(shown).replace("…", ".*")
            assert re.fullmatch(expected, printed.out + printed.err), typed


@pytest.mark.promise("C5")
def test_the_readme_s_two_terminals_are_what_is_shown(
    quickstart: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """README.md: a commit waits, somebody else approves it, the first terminal goes on."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = dict(re.findall(r"^```console (\w+)\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL))
    typed = shlex.split(blocks["held"].removeprefix("$ "))[1:]
    watched, _, shown = blocks["watching"].partition("\n")
    monkeypatch.chdir(quickstart.parents[1])
    with (
        running(quickstart),
        subprocess.Popen([*MESH7, *typed], stdout=subprocess.PIPE, text=True) as waiting,
        terminal.running(shlex.split(watched.removeprefix("$ "))[1:]) as watching,
    ):
        drawn = watching.until(PROMPT)
        drawn += watching.until("usable once, until ", pressing="a")
        assert watching.end(pressing="q") == exits.Exit.OK
        answer = waiting.communicate(timeout=60)[0]
    expected = re.escape(shown.rstrip("…\n")).replace("…", ".*")
    assert re.search(expected, drawn), drawn
    assert re.fullmatch(re.escape(blocks["approved"]).replace("…", ".*"), answer)


@pytest.mark.promise("C1")
def test_the_lines_to_paste_work_from_any_folder(quickstart: Path, tmp_path: Path) -> None:
    """Issue 3: `make run` prints lines to paste, with absolute paths."""
    with running(quickstart, "--hold", "0s") as lines:
        pasted = [line.strip() for line in lines if f" --dir {quickstart}" in line]
        assert pasted.pop().split()[-3:] == ["watch", "--dir", str(quickstart)]
        codes = [
            subprocess.run(
                shlex.split(line), cwd=tmp_path, capture_output=True, check=False
            ).returncode
            for line in pasted
        ]
    assert codes == [exits.Exit.OK, exits.Exit.OK, exits.Exit.HELD, exits.Exit.DENIED]
    claude = [line.split() for line in lines if "claude mcp add mesh7 --" in line]
    assert [Path(words[-1]) for words in claude] == [quickstart]


@pytest.mark.promise("C4")
@pytest.mark.parametrize("flag", ["--listen", "--admin"])
def test_a_given_port_that_is_taken_is_an_error_in_one_line(quickstart: Path, flag: str) -> None:
    """Design 10: the default admin port yields, a given one does not."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        free = {"--listen": "--admin", "--admin": "--listen"}[flag]
        command = [*MESH7, "run", str(quickstart), flag, address, free, "127.0.0.1:0"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == exits.Exit.SETTINGS
    assert done.stderr.startswith("mesh7: ")
    assert address in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.promise("C4")
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "missing"], exits.Exit.SETTINGS, "cannot be entered: No such file or directory"),
        (["run", ".", "--listen", "7007"], exits.Exit.USAGE, "`7007` is no address"),
        (["run", ".", "--listen", "off"], exits.Exit.USAGE, "use `mesh7 stdio`"),
        (["run", ".", "--label", "x"], exits.Exit.USAGE, "`x` is not a label, write key=value"),
        (["stdio", "missing"], exits.Exit.SETTINGS, "cannot be entered"),
    ],
)
def test_what_cannot_be_started_is_told_in_one_line(
    tmp_path: Path, arguments: list[str], code: exits.Exit, message: str
) -> None:
    """Issue 3, bad input: a clear message and the right exit code."""
    done = subprocess.run(
        [*MESH7, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.count("\n")) == (code, 1)
    assert message in done.stderr
    assert done.stdout == ""


@pytest.mark.promise("C4")
def test_a_folder_that_does_not_compile_is_told_line_by_line(tmp_path: Path) -> None:
    """Issue 3: `mesh7 run` says what a compiler would say, and exits 1."""
    (tmp_path / "policy.yaml").write_text("apiVersion: mesh7.dev/v1alpha1\nkind: AgentPolice\n")
    done = subprocess.run(
        [*MESH7, "run", str(tmp_path), "--listen", "127.0.0.1:0", "--admin", "off"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == exits.Exit.WRONG
    assert f"{tmp_path}/policy.yaml:2: error: kind: unknown kind `AgentPolice`" in done.stderr
