"""Manifests beside what the compiler says of them: tests/golden/{broken,good}."""

from pathlib import Path

import pytest

from mesh7_core.compiling import compiler

GOLDEN = Path(__file__).parents[2] / "golden"
BROKEN = sorted((GOLDEN / "broken").glob("*.yaml"))
GOOD = sorted(path for path in (GOLDEN / "good").iterdir() if path.suffix != ".txt")
ENVIRONMENT = {"MESH7_TEST_HOST": "billing.example.com"}


def compile_file(path: Path) -> compiler.Compiled:
    return compiler.compile_files({path.name: path.read_bytes()}, environment=ENVIRONMENT)


def lines(compiled: compiler.Compiled) -> str:
    return "".join(f"{diagnostic}\n" for diagnostic in compiled.diagnostics)


@pytest.mark.promise("P6")
@pytest.mark.promise("C4")
@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_a_broken_manifest_is_refused_with_its_message(path: Path) -> None:
    """Issue 1, shown by 2; D2, D22, D23, D55 say what silence costs."""
    compiled = compile_file(path)

    assert compiled.bundle is None
    assert lines(compiled) == path.with_suffix(".txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_a_good_manifest_compiles_with_the_warnings_it_deserves(path: Path) -> None:
    compiled = compile_file(path)

    assert compiled.bundle is not None
    assert lines(compiled) == path.with_suffix(".txt").read_text(encoding="utf-8")


def test_there_are_at_least_twenty_broken_manifests() -> None:
    """Issue 1, shown by 2."""
    assert len(BROKEN) >= 20


def test_no_message_tells_a_secret() -> None:
    """S6."""
    compiled = compile_file(GOLDEN / "broken" / "credential-hosts.yaml")

    assert "secret-value" not in lines(compiled) + repr(compiled)
