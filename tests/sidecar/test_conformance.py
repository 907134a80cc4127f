"""Promise M1: the conformance suite finds the same through the gateway as without it."""

import sys
from pathlib import Path

import pytest

from tests.peers import conformance, open_policy, processes
from tests.peers.gateway import running_gateway

# Extensions that the fixture server does not serve; how exactly they fail is nobody's promise.
EXTENSION = "tasks-"
MODERN_CLIENT = (
    "tools_call",
    "request-metadata",
    "http-standard-headers",
    "http-custom-headers",
    "http-invalid-tool-headers",
    "sep-2322-client-request-state",
    "json-schema-ref-no-deref",
)
LEGACY_CLIENT = ("tools_call", "initialize", "elicitation-sep1034-client-defaults", "sse-retry")


def judged(report: conformance.Report) -> dict[str, conformance.Outcome]:
    """The scenarios that are compared."""
    found = report.outcomes.items()
    return {name: outcome for name, outcome in found if not name.startswith(EXTENSION)}


@pytest.mark.promise("M1")
@pytest.mark.timeout(240)
@pytest.mark.parametrize("requirements", ["2026-07-28", "2025-11-25"])
@pytest.mark.parametrize("more", ["", open_policy.DENYING], ids=["allow-all", "filtering"])
async def test_a_server_behind_the_gateway_is_as_conformant_as_it_is_alone(
    tmp_path: Path, requirements: str, more: str
) -> None:
    """Issue 1, "Tests with real parts"; design 10, both eras."""
    async with processes.serving("tests.peers.conformance_server") as upstream:
        alone = await conformance.run_conformance(
            f"{upstream}/mcp", requirements, tmp_path / "alone"
        )
        folder = open_policy.write(tmp_path / "folder", f"{upstream}/mcp", more)
        async with running_gateway(folder) as gateway:
            guarded = await conformance.run_conformance(
                f"{gateway.url}/mcp/{open_policy.SOURCE}", requirements, tmp_path / "guarded"
            )

    assert alone.code == 0, alone.text
    assert judged(guarded) == judged(alone)
    assert guarded.code == 0, guarded.text


@pytest.mark.promise("M1")
@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("revision", "scenario"),
    [("2026-07-28", name) for name in MODERN_CLIENT]
    + [("2025-11-25", name) for name in LEGACY_CLIENT],
)
async def test_a_client_behind_the_gateway_is_as_conformant_as_it_is_alone(
    tmp_path: Path, revision: str, scenario: str
) -> None:
    """Issue 1, "Tests with real parts"; scenarios that need authorization need other addresses."""
    alone = await conformance.run_client_conformance(
        f"{sys.executable} -m tests.peers.conformance_client",
        scenario,
        revision,
        tmp_path / "alone",
    )
    guarded = await conformance.run_client_conformance(
        f"{sys.executable} -m tests.peers.guarded_client", scenario, revision, tmp_path / "guarded"
    )

    assert alone.code == 0, alone.text
    assert guarded.code == 0, guarded.text
    # The gateway lists a source's tools itself, so a check may be met once more.
    assert _met(guarded) == _met(alone)


def _met(report: conformance.Report) -> dict[str, set[tuple[str, str]]]:
    return {scenario: set(outcome.checks) for scenario, outcome in report.outcomes.items()}
