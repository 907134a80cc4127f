"""The one-file plugin: unpacked once for the Python that runs it, and by nobody else's hand."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from images.places import BuildError
from images.plugin import archive, krew
from mesh7_core import names

TAG = f"cp{sys.version_info[0]}{sys.version_info[1]}"
_SAYS = (
    b"import os, sys\ndef main():\n    print('%s', os.path.dirname(os.path.dirname(__file__)))\n"
)
FILES = {
    "mesh7_cli/__init__.py": b"",
    "mesh7_cli/plugin.py": _SAYS % b"plugin",
    "mesh7_cli/plugin_completing.py": _SAYS % b"completing",
}


class Started:
    """The file, and a cache of its own."""

    def __init__(self, folder: Path, tags: tuple[str, ...] = (TAG,)) -> None:
        self.cache = folder / "cache"
        self.cache.mkdir()
        self.file = folder / archive.NAME
        self.file.write_bytes(archive.one_file(dict.fromkeys(tags, FILES)))
        self.file.chmod(0o755)

    def run(self, file: Path | None = None) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-S", str(file or self.file)],
            env={"XDG_CACHE_HOME": str(self.cache), "TMPDIR": str(self.file.parent)},
            capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip

    def unpacked(self) -> list[Path]:
        """Folders of the cache that programs start from."""
        return sorted(self.cache.glob(f"mesh7/plugin/*/{TAG}"))


@pytest.fixture
def started(tmp_path: Path) -> Started:
    return Started(tmp_path)


def test_it_is_unpacked_once_and_then_found(started: Started) -> None:
    """Issue 7: a zipapp; binary parts cannot be imported out of a zip."""
    done = started.run()
    (folder,) = started.unpacked()
    assert (done.stdout, done.stderr) == (f"plugin {folder}\n", "")
    # What lies there is what runs.
    (folder / "mesh7_cli/plugin.py").write_text("def main(): print('found')")
    assert started.run().stdout == "found\n"
    assert [one.name for one in folder.parent.iterdir()] == [TAG]


def test_by_its_other_name_it_completes(started: Started) -> None:
    """Kubectl looks for `kubectl_complete-mesh7`."""
    link = started.file.with_name(archive.COMPLETES)
    link.symlink_to(archive.NAME)
    assert started.run(link).stdout.startswith("completing ")


def test_another_content_is_another_folder(started: Started) -> None:
    """An update never runs what an older release left in the cache."""
    started.run()
    other = dict(FILES) | {"mesh7_cli/plugin.py": b"def main(): print('newer')"}
    started.file.write_bytes(archive.one_file({TAG: other}))
    assert started.run().stdout == "newer\n"
    assert len(started.unpacked()) == 2


def test_an_unknown_python_is_told_which_ones_there_are(tmp_path: Path) -> None:
    """Whoever has another `python3` reads one line, and no traceback."""
    done = Started(tmp_path, ("cp39", "cp310")).run()
    assert done.returncode == 1
    assert done.stderr == (
        "error: this kubectl-mesh7 runs with Python 3.9, 3.10; `python3` is "
        f"{sys.version_info[0]}.{sys.version_info[1]}\n"
    )


def test_a_folder_that_others_may_write_is_not_run(started: Started) -> None:
    """Attack: another user of the machine puts a program where ours is looked for."""
    started.run()
    (folder,) = started.unpacked()
    (folder / "mesh7_cli/plugin.py").write_text("def main(): print('evil')")
    folder.chmod(0o777)
    done = started.run()
    assert done.stdout.startswith("plugin ")
    assert "nothing can be kept" in done.stderr


def test_a_link_in_the_cache_is_not_followed(started: Started, tmp_path: Path) -> None:
    """Attack: the same by a link to a folder of theirs."""
    started.run()
    (folder,) = started.unpacked()
    folder.rename(tmp_path / "theirs")
    (tmp_path / "theirs/mesh7_cli/plugin.py").write_text("def main(): print('evil')")
    folder.symlink_to(tmp_path / "theirs")
    assert started.run().stdout.startswith("plugin ")


def test_without_a_cache_it_runs_and_leaves_nothing(started: Started) -> None:
    """A home that cannot be written, as in many pipelines."""
    started.cache.rmdir()
    started.cache.write_text("no folder")
    done = started.run()
    assert done.stdout.startswith("plugin ")
    assert "nothing can be kept" in done.stderr
    assert sorted(one.name for one in started.file.parent.iterdir()) == ["cache", archive.NAME]


def test_many_that_start_at_once_all_run(started: Started) -> None:
    """A pipeline starts ten of them; the first start unpacks, whoever it is."""
    programs = [
        subprocess.Popen(
            [sys.executable, "-S", str(started.file)],
            env={"XDG_CACHE_HOME": str(started.cache)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(6)
    ]  # fmt: skip
    told = [one.communicate(timeout=60) for one in programs]
    (folder,) = started.unpacked()
    assert told == [(f"plugin {folder}\n", "")] * 6
    assert [one.name for one in folder.parent.iterdir()] == [TAG]


def test_the_same_files_give_the_same_bytes() -> None:
    """Whoever builds it again can compare."""
    assert archive.one_file({TAG: FILES}) == archive.one_file({TAG: dict(reversed(FILES.items()))})


def test_what_every_python_has_alike_is_packed_once() -> None:
    """The file would be four times as large."""
    big = {"data": os.urandom(100_000)}
    assert len(archive.one_file({"cp311": big, "cp312": big})) < 120_000


_IMPORTED = {
    "annotated-types": "annotated_types", "cel-expr-python": "cel_expr_python",
    "cffi": "_cffi_backend", "pydantic-core": "pydantic_core", "pyyaml": "yaml",
    "typing-extensions": "typing_extensions", "typing-inspection": "typing_inspection",
}  # fmt: skip
_EVERYTHING = """
import importlib, pkgutil, sys

allowed = set(sys.argv[1:]) | {"mesh7_core", "mesh7_cli", "mesh7_sidecar"}

class Nothing:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        ours = top in allowed or top.startswith("_sysconfigdata")
        if not ours and top not in sys.stdlib_module_names:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Nothing())
import mesh7_cli.plugin, mesh7_cli.plugin_completing
for room in ("plugin_commands", "approving", "checks", "explaining", "injecting", "overview",
             "pinning", "verbs", "cluster"):
    found = importlib.import_module("mesh7_cli." + room)
    for one in pkgutil.iter_modules(found.__path__):
        importlib.import_module("mesh7_cli." + room + "." + one.name)
import mesh7_cli.crash, mesh7_cli.plugin_approving, mesh7_cli.watching, mesh7_cli.following
import mesh7_sidecar.bundles.folder, mesh7_sidecar.wire.paths
import rich.box, rich.console, rich.table, rich.text
rich.console.Console(file=open("/dev/null", "w")).print(rich.table.Table())
"""


def test_what_is_packed_is_all_that_any_command_imports() -> None:
    """A package that a command needs and the file lacks would only be missed by its users."""
    names_of = [_IMPORTED.get(one, one) for one in archive.NEEDED]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _EVERYTHING, *names_of],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def _archives(folder: Path, *platforms: str, version: str = names.RELEASE) -> Path:
    for one in platforms:
        with tarfile.open(folder / f"kubectl-mesh7-{version}-{one}.tar.gz", "w:gz"):
            pass
    return folder


def test_krew_is_offered_the_archives_that_exist(tmp_path: Path) -> None:
    """Issue 7: a krew manifest; no platform is promised that nobody built."""
    _archives(tmp_path, "linux-amd64", "darwin-arm64")
    _archives(tmp_path, "linux-arm64", version="0.0.9")
    text = krew.manifest(tmp_path, "https://files.example.com/v1/", "https://example.com")
    found = yaml.safe_load(text)
    assert (found["metadata"]["name"], found["spec"]["version"]) == ("mesh7", f"v{names.RELEASE}")
    assert found["spec"]["homepage"] == "https://example.com"
    assert [one["selector"]["matchLabels"] for one in found["spec"]["platforms"]] == [
        {"os": "darwin", "arch": "arm64"},
        {"os": "linux", "arch": "amd64"},
    ]
    one = found["spec"]["platforms"][1]
    assert one["uri"] == (
        f"https://files.example.com/v1/kubectl-mesh7-{names.RELEASE}-linux-amd64.tar.gz"
    )
    assert len(one["sha256"]) == 64
    assert one["bin"] == "kubectl-mesh7"


def test_without_an_archive_there_is_no_manifest(tmp_path: Path) -> None:
    """It says how to make one."""
    with pytest.raises(BuildError, match="run `make plugin`"):
        krew.manifest(tmp_path, "https://files.example.com", "https://example.com")
