"""What a fresh interpreter holds once a program's main is imported: weight is a promise too."""

import subprocess
import sys

import pytest

_PROBE = "import sys, {module}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"


def _modules_after(module: str) -> set[str]:
    probe = subprocess.run(
        [sys.executable, "-I", "-c", _PROBE.format(module=module)],
        check=True,
        capture_output=True,
        text=True,
    )
    return set(probe.stdout.split())


def test_the_sidecar_starts_without_frameworks_that_it_may_never_need() -> None:
    """docs/developer/architecture.md: `mcp` comes with the first stdio child, the others never."""
    heavy = {"kopf", "kubernetes", "httpx", "mcp", "click", "rich", "fastmcp", "starlette"}
    assert _modules_after("mesh7_sidecar.main") & heavy == set()


def test_a_pods_gateway_starts_without_what_a_pod_has_no_use_for() -> None:
    """docs/reference/pod-environment.md: we speak to Redis ourselves."""
    heavy = {
        "kopf", "kubernetes", "httpx", "mcp", "redis", "pydantic_settings", "click", "rich",
        "fastmcp", "starlette", "mesh7_cli", "mesh7_operator",
    }  # fmt: skip
    assert _modules_after("mesh7_sidecar.pod") & heavy == set()


@pytest.mark.parametrize("room", ["mesh7_core.policy.judge", "mesh7_core.compiling.compiler"])
def test_the_core_judges_without_any_program(room: str) -> None:
    """The laptop and the cluster share the core; neither may leak into it."""
    programs = {"mesh7_sidecar", "mesh7_cli", "mesh7_operator", "aiohttp", "httptools", "uvloop"}
    assert _modules_after(room) & programs == set()
