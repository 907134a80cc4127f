"""What no file may hold: patches, machine paths, blanket catches, a package named operator."""

import ast
import re

import pytest

from tests.architecture import tree

_PATCHES = re.compile(r"\bmock\.patch\b|\bmocker\.|monkeypatch\.setattr|\bimport_module\(.unittest")
_MACHINE_PATHS = re.compile(r"(?<![\w.])/(?:root|home/\w+|Users/\w+|work/(?:main|shared))\b")
_HOSTS = re.compile(r"pypi\.org|pythonhosted\.org|registry\.npmjs\.org|crates\.io|proxy\.golang")
_NAMES_ITSELF = "tests/architecture/test_manners.py"
_BLANKET_ROOTS = {
    "operator/src/mesh7_operator/main.py",
    # One namespace that shows a defect must not cost the others their turns.
    "operator/src/mesh7_operator/controller/turns.py",
    # A round of upkeep that shows a defect must not cost all namespaces their leader.
    "operator/src/mesh7_operator/controller/rounds.py",
    # What is raised in a thread is raised again where it is awaited.
    "operator/src/mesh7_operator/injector/turns.py",
    "sidecar/src/mesh7_sidecar/main.py",
    # A record that our own defect loses has to be counted in the audit.
    "sidecar/src/mesh7_sidecar/audit/lines.py",
    "sidecar/src/mesh7_sidecar/gate/edge.py",
    "sidecar/src/mesh7_sidecar/gate/gate.py",
    # What was delivered and makes us fail must not keep what comes next from being taken.
    "sidecar/src/mesh7_sidecar/bundles/delivered.py",
    # One who fails to hear of a change must neither undo it nor keep it from others.
    "sidecar/src/mesh7_sidecar/telling.py",
    # A thread or task that ends unseen would keep all later telemetry waiting for ever.
    "core/src/mesh7_core/otlp/metrics.py",
    "core/src/mesh7_core/otlp/sending.py",
    # One who is told of an answer must not cost the others theirs.
    "core/src/mesh7_core/ledger/resp.py",
    "cli/src/mesh7_cli/main.py",
    "cli/src/mesh7_cli/crash.py",
    "cli/src/mesh7_cli/plugin.py",
}


def _lines_with(pattern: re.Pattern[str], suffixes: tuple[str, ...] = ()) -> list[str]:
    return [
        f"{tree.shown(path)}:{number}"
        for path in tree.files()
        if tree.shown(path) != _NAMES_ITSELF and (not suffixes or path.suffix in suffixes)
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]


def test_the_operator_folder_never_becomes_a_package() -> None:
    """`operator/__init__.py` would shadow the standard library's `operator` from the root."""
    assert not (tree.ROOT / "operator" / "__init__.py").exists()


def test_nothing_is_patched() -> None:
    """The house style: real parts, or fakes that pass the same contract suite."""
    assert _lines_with(_PATCHES, (".py",)) == []


def test_no_file_names_somebodys_machine() -> None:
    assert _lines_with(_MACHINE_PATHS) == []


def test_no_file_names_a_package_index() -> None:
    """Pins carry hashes; where packages come from is the business of whoever installs."""
    assert _lines_with(_HOSTS) == []


def _is_blanket(node: ast.ExceptHandler) -> bool:
    """A catch of everything that does not end by raising it again."""
    return (
        node.type is None or ast.unparse(node.type) in {"Exception", "BaseException"}
    ) and ast.unparse(node.body[-1]) != "raise"


def test_only_composition_roots_catch_everything() -> None:
    """A blanket catch elsewhere would hide a defect behind a guess."""
    blanket = [
        f"{tree.shown(path)}:{node.lineno}"
        for path in tree.sources()
        if tree.shown(path) not in _BLANKET_ROOTS
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler) and _is_blanket(node)
    ]
    assert blanket == []


@pytest.mark.parametrize(
    "word", ["manager", "helper", "helpers", "util", "utils", "common", "misc"]
)
def test_no_module_is_named_after_nothing(word: str) -> None:
    assert [tree.shown(path) for path in tree.sources() if path.stem == word] == []


def test_every_module_says_its_one_idea_first() -> None:
    silent = [
        tree.shown(path)
        for path in tree.sources()
        if path.read_text().strip() and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []


def test_every_room_is_a_package() -> None:
    """A folder without `__init__.py` would be left out of import contracts without a word."""
    folders = {path.parent for path in tree.sources() if path.parent.name != "src"}
    assert [
        tree.shown(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()
    ] == []
