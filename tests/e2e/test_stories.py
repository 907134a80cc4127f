"""Stories of `e2e/stories` are folders that people can read without knowing pytest."""

import re
from pathlib import Path

import pytest

_STORIES = Path(__file__).parents[2] / "e2e/stories"
_TOLD = sorted({path.parent for path in _STORIES.glob("*/test_*.py")})
_TITLE_AND_PARAGRAPH = re.compile(r"# (?P<title>[A-Z][^\n]+)\n\n(?P<paragraph>[A-Z][^\n]+\.)\n")


@pytest.mark.parametrize("folder", _TOLD, ids=lambda folder: folder.name)
def test_a_story_says_in_one_paragraph_what_happens(folder: Path) -> None:
    """e2e/stories/ground.py: README.md says it, without headings, lists or code."""
    written = _TITLE_AND_PARAGRAPH.fullmatch((folder / "README.md").read_text(encoding="utf-8"))
    assert written is not None
    assert written["title"].lower().replace(" ", "_") == folder.name
    assert len(written["paragraph"]) < 400


@pytest.mark.parametrize("folder", _TOLD, ids=lambda folder: folder.name)
def test_a_story_is_one_file_of_tests(folder: Path) -> None:
    """e2e/stories/ground.py: it is named after its folder, for all of them are collected as one."""
    assert [path.name for path in folder.glob("test_*.py")] == [f"test_{folder.name}.py"]
