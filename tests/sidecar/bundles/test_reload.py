"""When a changed folder is taken up: look by look."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from mesh7_core import errors
from mesh7_core.compiling.compiler import Compiled
from mesh7_sidecar.bundles import folder, reload
from tests.sidecar.lifecycle.parts import ALLOW_ALL, policy

DENY_ALL = policy("nothing", 'name: none, tools: ["*"], action: Deny')
NOW = datetime(2026, 11, 21, tzinfo=UTC)


class Watched:
    """A folder with one policy, loaded; what is put in force is kept."""

    def __init__(self, place: Path) -> None:
        self.directory = place / "folder"
        self.directory.mkdir()
        self.path = self.directory / "policy.yaml"
        self.path.write_text(ALLOW_ALL, encoding="utf-8")
        self.applied: list[Compiled] = []
        self.reload = reload.Reload(
            self.directory, namespace=None, environment={}, apply=self._apply,
            now=lambda: NOW,
        )  # fmt: skip
        assert self.reload.load()

    def _apply(self, compiled: Compiled) -> tuple[str, ...]:
        self.applied.append(compiled)
        return ()

    @property
    def names(self) -> list[list[str]]:
        """The policies of each set that was put in force."""
        bundles = [compiled.bundle for compiled in self.applied]
        return [[each.id for each in found.policies] for found in bundles if found is not None]


@pytest.mark.promise("D2")
async def test_a_file_between_truncating_and_writing_is_never_in_force(tmp_path: Path) -> None:
    """D24: a truncating editor causes a deny-all moment, or lifts a Deny for one."""
    watched = Watched(tmp_path)
    watched.path.write_text("", encoding="utf-8")
    await watched.reload.look()
    watched.path.write_text(DENY_ALL[:40], encoding="utf-8")
    await watched.reload.look()
    watched.path.write_text(DENY_ALL, encoding="utf-8")
    await watched.reload.look()
    await watched.reload.look()

    assert watched.names == [["default/everything"], ["default/nothing"]]
    assert watched.reload.problems == ()


async def test_an_edit_is_taken_up_by_the_second_look_after_it(tmp_path: Path) -> None:
    """Design 12: within a second."""
    watched = Watched(tmp_path)
    watched.path.write_text(DENY_ALL, encoding="utf-8")
    await watched.reload.look()
    assert watched.names == [["default/everything"]]
    await watched.reload.look()
    assert watched.names == [["default/everything"], ["default/nothing"]]
    assert 3 * reload.POLL_S < 1.0, "a look may have just been, and compiling takes its time"


async def test_a_folder_that_is_never_still_is_taken_all_the_same(tmp_path: Path) -> None:
    """Else whoever writes a log into the folder would keep every edit out."""
    watched = Watched(tmp_path)
    for number in range(reload.MAXIMUM_RESTLESS_LOOKS):
        watched.path.write_text(f"{DENY_ALL}# {number}\n", encoding="utf-8")
        await watched.reload.look()

    assert watched.names == [["default/everything"], ["default/nothing"]]


async def test_what_is_still_the_same_is_not_compiled_again(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    for _ in range(3):
        await watched.reload.look()

    assert watched.names == [["default/everything"]]


async def test_a_folder_that_comes_back_as_it_was_is_in_order_again(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    watched.directory.rename(tmp_path / "away")
    await watched.reload.look()
    assert list(watched.reload.problems) == [], (
        "moved for a moment only, as far as one look can tell"
    )
    await watched.reload.look()
    assert watched.reload.problems[0].startswith(f"{watched.directory}: cannot be read: ")

    (tmp_path / "away").rename(watched.directory)
    await watched.reload.look()
    await watched.reload.look()

    assert watched.reload.problems == ()
    assert watched.names == [["default/everything"], ["default/everything"]]


async def test_a_broken_set_leaves_the_warnings_of_the_one_in_force(tmp_path: Path) -> None:
    """docs/reference/status.md: `warnings` is what the compiler says of the set in force."""
    watched = Watched(tmp_path)
    watched.path.write_text("", encoding="utf-8")
    await watched.reload.look()
    await watched.reload.look()
    warned = watched.reload.warnings
    assert len(warned) == 1

    watched.path.write_text("kind: Nonsense\n", encoding="utf-8")
    await watched.reload.look()
    await watched.reload.look()

    assert watched.reload.problems != ()
    assert watched.reload.warnings == warned


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("a.yaml", True), ("a.yml", True), ("a.json", True), ("deep/er/a.yaml", True),
        ("a.txt", False), ("a.yaml~", False), (".a.yaml", False), (".deep/a.yaml", False),
        ("..data/a.yaml", False),
    ],
)  # fmt: skip
def test_manifests_are_told_by_their_name(tmp_path: Path, name: str, *, counts: bool) -> None:
    """docs/user/policies.md; the compiler and the folder go by the same rule."""
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"text")

    assert folder.read(tmp_path) == ({name: b"text"} if counts else {})


def test_a_loop_of_symlinks_ends(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "a.yaml").write_bytes(b"text")

    assert len(folder.read(tmp_path)) == folder.MAXIMUM_DEPTH + 1


def test_too_large_a_manifest_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "big.yaml").open("wb") as file:
        file.truncate(folder.MAXIMUM_FILE_BYTES + 1)

    with pytest.raises(errors.SettingsError, match=r"big\.yaml: larger than 16777216 bytes"):
        folder.read(tmp_path)
