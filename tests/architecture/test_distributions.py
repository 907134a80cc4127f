"""The distributions agree with each other, and the pins with what they declare."""

import re
import tomllib
from typing import Any

import pytest

from mesh7_core import names
from tests.architecture import tree

_MEMBERS = ("core", "sidecar", "cli")


def _project(member: str) -> dict[str, Any]:
    text = (tree.ROOT / member / "pyproject.toml").read_text()
    project: dict[str, Any] = tomllib.loads(text)["project"]
    return project


def _pinned(name: str) -> set[str]:
    text = (tree.ROOT / "requirements" / name).read_text()
    return {
        re.sub(r"[-_.]+", "-", found).lower() for found in re.findall(r"(?m)^([\w.-]+)==", text)
    }


def _versions(name: str) -> dict[str, str]:
    text = (tree.ROOT / "requirements" / name).read_text()
    return dict(re.findall(r"(?m)^([\w.-]+)==([^ ;]+)", text))


def test_all_distributions_have_one_version_and_ask_for_each_other_by_it() -> None:
    versions = {_project(member)["version"] for member in _MEMBERS}
    siblings = {
        requirement
        for member in _MEMBERS
        for requirement in _project(member)["dependencies"]
        if requirement.startswith("mesh7")
    }
    version = versions.pop()
    assert versions == set()
    assert version == names.RELEASE
    assert siblings == {f"mesh7-core=={version}", f"mesh7-sidecar=={version}"}


@pytest.mark.parametrize("member", _MEMBERS)
def test_everything_declared_is_pinned_and_told_to_the_compiler_of_pins(member: str) -> None:
    """`make run` installs pins only, so a dependency that is not in run.in would be missing."""
    told = (tree.ROOT / "requirements" / "run.in").read_text().splitlines()
    others = [need for need in _project(member)["dependencies"] if not need.startswith("mesh7")]
    assert [need for need in others if need not in told] == []
    names = {re.split(r"[<>=!~\[]", need)[0].replace("_", "-").lower() for need in others}
    assert names - _pinned("run.txt") == set()


@pytest.mark.parametrize("program", ["sidecar", "operator"])
def test_an_image_holds_what_its_program_declares_and_nothing_else(program: str) -> None:
    """What the tests ran with: each pin is the one of dev.txt."""
    needs = {need for part in ("core", program) for need in _project(part)["dependencies"]}
    told = (tree.ROOT / "requirements" / f"{program}.in").read_text().splitlines()
    others = sorted(need for need in needs if not need.startswith("mesh7"))
    assert [line for line in told if not line.startswith("#")] == others
    assert _versions(f"{program}.txt").items() <= _versions("dev.txt").items()


_FILES = ("uv", "pip", "run", "dev", "mcp1", "bench", "sidecar", "operator", "agent")


@pytest.mark.parametrize("name", _FILES)
def test_every_pin_has_a_hash(name: str) -> None:
    text = (tree.ROOT / "requirements" / f"{name}.txt").read_text()
    entries = re.split(r"(?m)^(?=[A-Za-z0-9])", text)[1:]
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("member", _MEMBERS)
def test_every_distribution_is_typed_and_licensed(member: str) -> None:
    (package,) = (tree.ROOT / member / "src").glob("mesh7_*/py.typed")
    assert package.read_text() == ""
    assert (tree.ROOT / member / "LICENSE").read_text() == (tree.ROOT / "LICENSE").read_text()
