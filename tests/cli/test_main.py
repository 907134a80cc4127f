"""The composition root: start, usage errors, unexpected errors, and the documented exit codes."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mesh7_cli import crash, exits, main
from mesh7_core import errors

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.promise("C2")
def test_the_version_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """docs/reference/commands.md."""
    assert main.exit_code(["--version"]) == exits.Exit.OK
    assert re.fullmatch(r"mesh7 \S+\n", capsys.readouterr().out)


@pytest.mark.promise("C2")
@pytest.mark.parametrize("name", list(main.program.commands))
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """docs/reference/commands.md."""
    assert main.exit_code([name, "--help"]) == exits.Exit.OK
    assert capsys.readouterr().out.startswith(f"Usage: mesh7 {name}")


@pytest.mark.promise("C4")
def test_an_unknown_command_says_where_to_look(capsys: pytest.CaptureFixture[str]) -> None:
    """Style: small first letter, no full stop, what to do."""
    assert main.exit_code(["frobnicate"]) == exits.Exit.USAGE
    assert capsys.readouterr().err == ("mesh7: no such command `frobnicate` – see `mesh7 --help`\n")


@pytest.mark.promise("C4")
def test_an_unexpected_error_is_written_to_a_private_file_and_told_in_one_line() -> None:
    """Issue 3: no traceback ever reaches a user; arguments stay out of the file."""
    line = crash.report(RuntimeError("boom"), ["call", "a.b", '{"secret": 1}'])
    found = re.search(r"`(.+)`", line)
    assert found is not None
    path = Path(found.group(1))
    try:
        assert "\n" not in line
        assert path.stat().st_mode & 0o777 == 0o600
        assert "RuntimeError: boom" in path.read_text()
        assert "secret" not in path.read_text()
    finally:
        path.unlink()


@pytest.mark.promise("C4")
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ManifestError("x"), 1),
        (errors.BundleError("x"), 1),
        (errors.SettingsError("x"), 3),
        (exits.GatewayError("x"), 4),
        (errors.UpstreamError("x"), 5),
    ],
)
def test_every_expected_error_has_its_exit_code(error: errors.Mesh7Error, code: int) -> None:
    """docs/reference/exit-codes.md."""
    assert exits.code_for(error) == code


@pytest.mark.promise("C4")
def test_the_page_of_exit_codes_lists_exactly_the_codes_there_are() -> None:
    """docs/reference/exit-codes.md is what scripts rely on."""
    page = (ROOT / "docs/reference/exit-codes.md").read_text()
    listed = {
        int(code): text for code, text in re.findall(r"^\| (\d+) \| (.+?) \|$", page, re.MULTILINE)
    }
    assert listed == {int(code): text for code, text in exits.MEANINGS.items()}
    assert set(exits.MEANINGS) == set(exits.Exit)


@pytest.mark.promise("C2")
def test_asking_for_the_version_imports_nothing_heavy() -> None:
    """Brief: completion and --version stay fast, so the heavy imports are lazy."""
    program = (
        "import sys\nfrom mesh7_cli import main\nmain.exit_code(['--version'])\n"
        "heavy = {'http.client', 'rich', 'pydantic', 'yaml', 'asyncio', 'mesh7_sidecar.main'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.promise("C2")
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_completion_script(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """docs/reference/commands.md, completion."""
    assert main.exit_code(["completion", shell]) == exits.Exit.OK
    assert "_MESH7_COMPLETE" in capsys.readouterr().out
