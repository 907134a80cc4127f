"""The page about OWASP's ten risks: it names all of them, and tests that exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "owasp.md").read_text("utf-8")
SECTIONS = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
NAMED = re.findall(r"^- `([^`]+)::([^`]+)`$", PAGE, flags=re.MULTILINE)


@cache
def names_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(one.name for one in tree.body if isinstance(one, kinds))


@pytest.mark.promise("C5")
def test_the_ten_risks_stand_there_in_their_order() -> None:
    """OWASP Top 10 for Agentic Applications, 2026."""
    assert [one[:5] for one in SECTIONS] == [f"ASI{number:02}" for number in range(1, 11)]


@pytest.mark.promise("C5")
@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section[:5])
def test_each_says_what_is_done_what_attacks_it_and_what_remains(section: str) -> None:
    """A risk that nothing is left of would be a boast."""
    for heading in ("**What mesh7 does.** ", "**Attacked by**\n- `", "**What remains.** "):
        assert heading in section


@pytest.mark.promise("C5")
@pytest.mark.parametrize(("path", "name"), sorted(set(NAMED)))
def test_every_attack_that_it_names_is_a_test(path: str, name: str) -> None:
    """The evidence of others' pages was missing (W16)."""
    assert name in names_in(path)
