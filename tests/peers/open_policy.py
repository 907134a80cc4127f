"""A folder that guards one MCP server and allows everything: what is left is the wire.

With `DENYING` another policy denies tools that nobody calls, to prove that filtering lists does
not break it.
"""

from pathlib import Path

SOURCE = "fixture"
_MANIFESTS = """\
apiVersion: mesh7.dev/v1alpha1
kind: ToolSource
metadata: {{name: {source}}}
spec:
  mcp: {{transport: StreamableHTTP, url: "{url}"}}
  serverRequests: {{sampling: Allow, roots: Allow, elicitation: Allow}}
---
apiVersion: mesh7.dev/v1alpha1
kind: AgentPolicy
metadata: {{name: everything}}
spec:
  selector: {{}}
  defaultAction: Deny
  rules:
  - {{name: tools, tools: ["*"], action: Allow}}
  - {{name: resources, resources: ["*"], action: Allow}}
  - {{name: prompts, prompts: ["*"], action: Allow}}
"""
DENYING = """\
---
apiVersion: mesh7.dev/v1alpha1
kind: AgentPolicy
metadata: {name: unrelated}
spec:
  selector: {}
  defaultAction: Allow
  rules:
  - {name: nobody-calls-these, tools: ["fixture.never_*", "other.*"], action: Deny}
"""


def write(folder: Path, url: str, more: str = "") -> Path:
    """Fill `folder` with manifests that guard the MCP server at `url` as `SOURCE`."""
    folder.mkdir(parents=True, exist_ok=True)
    text = _MANIFESTS.format(source=SOURCE, url=url) + more
    (folder / "mesh7.yaml").write_text(text, encoding="utf-8")
    return folder
