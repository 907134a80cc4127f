"""Documentation in step with the code: links lead somewhere, every word and reason is explained."""

import re
from pathlib import Path

import pytest

from mesh7_core.injection.outcomes import Refusal, Skip
from mesh7_core.policy.reasons import Reason
from tests.architecture import tree

_LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
_FENCE = re.compile(r"(?ms)^```.*?^```")
_HEADING = re.compile(r"(?m)^#+ +(.+)$")


def _pages() -> list[Path]:
    return [path for path in tree.files() if path.suffix == ".md"]


def _anchors(page: Path) -> set[str]:
    """The anchors that a forge makes of headings: lower case, blanks to hyphens."""
    headings = _HEADING.findall(_FENCE.sub("", page.read_text()))
    return {
        re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings
    }


def _broken(page: Path, target: str) -> bool:
    name, _, anchor = target.partition("#")
    linked = (page.parent / name).resolve() if name else page
    return not linked.exists() or bool(anchor and anchor not in _anchors(linked))


def test_every_link_and_anchor_leads_somewhere() -> None:
    broken = [
        f"{tree.shown(page)}: {target}"
        for page in _pages()
        for target in _LINK.findall(_FENCE.sub("", page.read_text()))
        if "://" not in target and not target.startswith("mailto:") and _broken(page, target)
    ]
    assert broken == []


def test_every_reason_has_its_paragraph_and_no_paragraph_its_reason_lost() -> None:
    """A reason is a stable code, a sentence and a page (docs/reference/reasons.md)."""
    page = (tree.ROOT / "docs" / "reference" / "reasons.md").read_text()
    explained = re.findall(r"(?m)^### `([a-z-]+)`$", page)
    assert sorted(explained) == sorted(reason.value for reason in Reason)


def test_every_skip_and_refusal_has_its_paragraph() -> None:
    """What an answer of the injector names can be looked up (docs/reference/injection.md)."""
    page = (tree.ROOT / "docs" / "reference" / "injection.md").read_text()
    explained = re.findall(r"(?m)^### `([a-z-]+)`$", page)
    assert sorted(explained) == sorted(one.value for kind in (Skip, Refusal) for one in kind)


def _words() -> list[str]:
    makefile = (tree.ROOT / "Makefile").read_text()
    return re.findall(r"(?m)^([a-z]+):.*  ## ", makefile)


@pytest.mark.parametrize("word", _words())
def test_every_word_of_the_makefile_is_explained_to_contributors(word: str) -> None:
    assert f"`make {word}`" in (tree.ROOT / "CONTRIBUTING.md").read_text()
