"""What the documentation shows is true: its YAML compiles, its commands print what it says."""

import re
import shlex
from pathlib import Path

import pytest

from mesh7_cli import exits, main
from mesh7_core.compiling import compiler

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(language: str) -> list[tuple[str, str]]:
    """(`page:line`, text) of every fenced block of `language`."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            line = text.count("\n", 0, match.start()) + 1
            found.append((f"{page.relative_to(ROOT)}:{line}", match.group(1)))
    return found


def manifests() -> list[tuple[str, str]]:
    """The YAML blocks that show mesh7's own kinds, but for cases."""
    return [
        (place, text)
        for place, text in blocks("yaml")
        if "apiVersion: mesh7.dev/" in text and "kind: PolicyCases" not in text
    ]


def sessions() -> list[tuple[str, str]]:
    """The `console` blocks: lines after `$` are typed, the rest is what is printed."""
    return blocks("console")


@pytest.mark.promise("C5")
@pytest.mark.parametrize(("place", "text"), manifests(), ids=[place for place, _ in manifests()])
def test_every_documented_manifest_compiles(place: str, text: str) -> None:
    """Promise C5: examples in the documentation are executed."""
    compiled = compiler.compile_files(
        {"page.yaml": text.encode()}, namespace="default", environment={}
    )
    assert [str(one) for one in compiled.diagnostics if one.severity == "error"] == [], place


@pytest.mark.promise("C5")
@pytest.mark.parametrize(("place", "text"), sessions(), ids=[place for place, _ in sessions()])
def test_every_documented_session_prints_what_the_page_says(
    place: str,
    text: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Promise C5: examples in the documentation are executed, from the root of the repository."""
    monkeypatch.chdir(ROOT)
    for typed, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE):
        words = shlex.split(typed)
        assert words[0] == "mesh7", place
        main.exit_code(words[1:])
        printed = capsys.readouterr()
        assert printed.out + printed.err == expected, place


@pytest.mark.promise("C2")
@pytest.mark.parametrize("path", ["examples/", "examples/quickstart", "examples/model-api"])
def test_the_examples_are_clean(
    path: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 3: `mesh7 check examples/` clean."""
    monkeypatch.chdir(ROOT)
    assert main.exit_code(["check", path]) == exits.Exit.OK
    assert "error" not in capsys.readouterr().out
