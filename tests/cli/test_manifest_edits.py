"""Accepted digests written into manifests: tests/golden/accept, and what is refused."""

from pathlib import Path

import pytest

from mesh7_cli import manifest_edits

GOLDEN = Path(__file__).parents[1] / "golden" / "accept"
GIVEN = sorted(path for path in GOLDEN.iterdir() if path.suffix != ".expected")
DIGESTS = {"read": f"sha256:{'1' * 64}", "on": f"sha256:{'2' * 64}"}
OLD = f"sha256:{'0' * 64}"
HEAD = "apiVersion: mesh7.dev/v1alpha1\nkind: ToolSource\nmetadata: {name: s}\n"


def edited(text: str, *, is_json: bool = False) -> str:
    return manifest_edits.accept(text, "s", DIGESTS, is_json=is_json)


@pytest.mark.promise("M11")
@pytest.mark.parametrize("path", GIVEN, ids=lambda path: path.name)
def test_digests_are_written_and_everything_else_stays(path: Path) -> None:
    """docs/user/pinning.md: comments, order and layout are kept, to the byte."""
    found = edited(path.read_bytes().decode(), is_json=path.suffix == ".json")
    assert found.encode() == path.with_name(f"{path.name}.expected").read_bytes()


@pytest.mark.promise("M11")
@pytest.mark.parametrize("path", GIVEN, ids=lambda path: path.name)
def test_accepting_the_same_again_changes_nothing(path: Path) -> None:
    is_json = path.suffix == ".json"
    once = edited(path.read_bytes().decode(), is_json=is_json)
    assert edited(once, is_json=is_json) == once


def test_there_is_a_golden_file_for_each_layout() -> None:
    """Issue 4, definitions: comments, CRLF, several documents, existing entries, flow style."""
    assert len(GIVEN) == 10


ALIASED = """\
apiVersion: v1
kind: List
items:
- apiVersion: mesh7.dev/v1alpha1
  kind: ToolSource
  metadata: {name: other}
  spec: &all
    mcp: {url: 'https://s.example.com'}
    pinning: {mode: Warn}
- apiVersion: mesh7.dev/v1alpha1
  kind: ToolSource
  metadata: {name: s}
  spec: *all
"""
FOLDED = f"""\
{HEAD}spec:
  pinning:
    accepted:
    - tool: read
      digest: >-
        {OLD}
"""


@pytest.mark.promise("M11")
@pytest.mark.parametrize(
    "text",
    [
        ALIASED,
        FOLDED,
        f"{HEAD}spec: text\n",
        f"{HEAD}spec:\n  pinning:\n    accepted: {{}}\n",
        f"{HEAD}spec:\n  pinning: [1]\n",
        HEAD,
        HEAD.replace("{name: s}", "{name: t}"),
        "",
        "a: [",
    ],
)
def test_what_cannot_be_edited_safely_is_refused(text: str) -> None:
    """Nothing is guessed: a person gets the lines to write."""
    with pytest.raises(manifest_edits.UneditableError, match="write these lines"):
        edited(text)


def test_the_lines_to_write_by_hand_are_yaml() -> None:
    assert manifest_edits.lines_to_paste(DIGESTS) == (
        "pinning:\n"
        "  accepted:\n"
        f"  - tool: read\n    digest: {DIGESTS['read']}\n"
        f'  - tool: "on"\n    digest: {DIGESTS["on"]}'
    )
