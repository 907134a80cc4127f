"""What the tests of this room run on is installed by `make test`, in the versions that we name."""

import json

import pytest

from tests.peers import npm, processes

PINS: dict[str, str] = json.loads(
    processes.ROOT.joinpath("requirements/npm/package.json").read_text(encoding="utf-8")
)["dependencies"]


@pytest.mark.promise("C1")
@pytest.mark.parametrize("name", sorted(PINS))
def test_an_npm_package_is_the_one_that_is_pinned(name: str) -> None:
    """Issue 1: npm's parts by exact version; nothing is skipped when they are not there."""
    installed = json.loads((npm.package(name) / "package.json").read_text(encoding="utf-8"))

    assert installed["version"] == PINS[name]


@pytest.mark.promise("C1")
def test_what_is_not_installed_is_said_with_the_command_that_installs_it() -> None:
    """docs/developer: tests fail clearly without npm's parts, and are not skipped."""
    with pytest.raises(AssertionError, match=r"npm's nobody is not in .*; run `make test`"):
        npm.package("nobody")
