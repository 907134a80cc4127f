"""The reference pages list exactly the fields that the models read."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from mesh7_core.api import grants, policies, sources

REFERENCE = Path(__file__).resolve().parents[2] / "docs/reference"

TABLES: list[tuple[str, str, type[BaseModel]]] = [
    ("agentpolicy.md", "## spec", policies.AgentPolicySpec),
    ("agentpolicy.md", "## spec.rules[]", policies.Rule),
    ("agentpolicy.md", "## spec.rules[].approval", policies.Approval),
    ("agentpolicy.md", "## spec.rules[].approval.grantable", policies.Grantable),
    ("agentpolicy.md", "## spec.limits[]", policies.Limit),
    ("agentpolicy.md", "## spec.loops", policies.Loops),
    ("agentpolicy.md", "## spec.record", policies.Record),
    ("toolsource.md", "## spec", sources.ToolSourceSpec),
    ("toolsource.md", "## spec.mcp", sources.Mcp),
    ("toolsource.md", "## spec.http", sources.Http),
    ("toolsource.md", "## spec.auth", sources.Auth),
    ("toolsource.md", "## spec.tools", sources.Tools),
    ("toolsource.md", "## spec.pinning", sources.Pinning),
    ("toolsource.md", "## spec.serverRequests", sources.ServerRequests),
    ("toolsource.md", "## spec.bounds", sources.Bounds),
    ("grant.md", "# Grant", grants.GrantSpec),
]


def section(page: str, heading: str) -> str:
    """The text from `heading` to the next heading."""
    text = (REFERENCE / page).read_text()
    found = re.search(rf"^{re.escape(heading)}\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None, f"{page} has no heading `{heading}`"
    return found.group(1)


@pytest.mark.promise("C5")
@pytest.mark.parametrize(("page", "heading", "model"), TABLES)
def test_a_page_lists_exactly_the_fields_of_its_model(
    page: str, heading: str, model: type[BaseModel]
) -> None:
    """Promise C5: every field documented, and none that does not exist."""
    rows = re.findall(r"^\| `(\w+)` \|", section(page, heading), re.MULTILINE)
    assert rows == [field.alias for field in model.model_fields.values()]
