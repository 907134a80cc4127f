"""Our gateway as a contender: `mesh7 run` on a folder with so many rules, one with a `when`."""

import sys
from pathlib import Path

from bench import calls, catalog, contenders, upstream

UNKNOWN = "unknown tool"
"""In the answer to a made-up name."""
_SOURCE = """\
apiVersion: mesh7.dev/v1alpha1
kind: ToolSource
metadata: {{name: billing}}
spec:
  mcp: {{transport: StreamableHTTP, url: "http://127.0.0.1:{port}/mcp"}}
"""
_POLICY = """\
apiVersion: mesh7.dev/v1alpha1
kind: AgentPolicy
metadata: {{name: bench}}
spec:
  selector: {{}}
  defaultAction: Deny
  rules:
{rules}
"""


def contender(
    name: str, rules: int, audit: str, upstream_port: int, folder: Path
) -> contenders.Contender:
    """A gateway of its own folder, state and port.

    Args:
        rules: how many, the one that allows the call the last.
        audit: `all` or `off`.
    """
    port = upstream.free_port()
    place = folder / name.replace(" ", "-").replace(",", "")
    manifests = place / "manifests"
    manifests.mkdir(parents=True)
    (manifests / "source.yaml").write_text(_SOURCE.format(port=upstream_port), encoding="utf-8")
    (manifests / "policy.yaml").write_text(policy(rules), encoding="utf-8")
    argv = (str(Path(sys.executable).with_name("mesh7")), "run", str(manifests),
            "--listen", f"127.0.0.1:{port}", "--admin", "off", "--state", str(place / "state"),
            "--audit", audit)  # fmt: skip
    return contenders.Contender(
        name=name,
        argv=argv,
        port=port,
        path="/mcp/billing",
        names=calls.Names.KNOWN,
        marker=calls.MARKER,
    )


def policy(rules: int) -> str:
    """An AgentPolicy of so many rules, each for one tool by name; the last one has the `when`."""
    listed = catalog.TOOLS[1:]
    others = [*listed, *(f"other_{number:05d}" for number in range(rules - 1 - len(listed)))]
    lines = [
        f'  - {{name: r{number}, tools: ["billing.{tool}"], action: Allow}}'
        for number, tool in enumerate(others)
    ]
    lines.append(
        f'  - {{name: small-refunds, tools: ["billing.{calls.TOOL}"], '
        'when: "args.amount < 500", action: Allow}'
    )
    return _POLICY.format(rules="\n".join(lines))
