"""Our gateway as a contender: `mesh7 run` on a folder with so many rules, one with a `when`."""

import sys
from dataclasses import dataclass
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
_RULES_OF_A_POLICY = 500
"""As many as one may have."""
_POLICY = """\
apiVersion: mesh7.dev/v1alpha1
kind: AgentPolicy
metadata: {{name: bench-{number}}}
spec:
  selector: {{}}
  defaultAction: Deny
  rules:
{rules}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How a gateway of ours is set up.

    Attributes:
        rules: how many, the one that allows the call the last.
        audit: `all` or `off`.
        is_limited: the call counts against a limit that it never reaches.
        redis_port: where the ledger is kept; 0 = in SQLite.
        trace_share: how many calls are traced; "" = there is no collector.
    """

    rules: int = 10
    audit: str = "all"
    is_limited: bool = False
    redis_port: int = 0
    trace_share: str = ""


def contender(name: str, shape: Shape, upstream_port: int, folder: Path) -> contenders.Contender:
    """A gateway of its own folder, state and port."""
    port = upstream.free_port()
    place = folder / name.replace(" ", "-").replace(",", "")
    manifests = place / "manifests"
    manifests.mkdir(parents=True)
    (manifests / "source.yaml").write_text(_SOURCE.format(port=upstream_port), encoding="utf-8")
    (manifests / "policy.yaml").write_text(policy(shape), encoding="utf-8")
    argv: tuple[str, ...] = (str(Path(sys.executable).with_name("mesh7")), "run", str(manifests),
            "--listen", f"127.0.0.1:{port}", "--admin", "off", "--state", str(place / "state"),
            "--audit", shape.audit)  # fmt: skip
    if shape.redis_port:
        argv += ("--redis", f"redis://127.0.0.1:{shape.redis_port}")
    if shape.trace_share:
        collector = f"http://127.0.0.1:{upstream_port}{upstream.COLLECTOR}"
        argv = ("/usr/bin/env", f"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT={collector}", *argv,
                "--trace-share", shape.trace_share)  # fmt: skip
    return contenders.Contender(
        name=name,
        argv=argv,
        port=port,
        path="/mcp/billing",
        names=calls.Names.KNOWN,
        marker=calls.MARKER,
    )


def policy(shape: Shape) -> str:
    """AgentPolicies of so many rules, each for one tool by name; the last one has the `when`."""
    listed = catalog.TOOLS[1:]
    others = [*listed, *(f"other_{number:05d}" for number in range(shape.rules - 1 - len(listed)))]
    lines = [
        f'  - {{name: r{number}, tools: ["billing.{tool}"], action: Allow}}'
        for number, tool in enumerate(others)
    ]
    limits = ", limits: [calls]" if shape.is_limited else ""
    lines.append(
        f'  - {{name: small-refunds, tools: ["billing.{calls.TOOL}"], '
        f'when: "args.amount < 500", action: Allow{limits}}}'
    )
    texts = [
        _POLICY.format(number=first, rules="\n".join(lines[first : first + _RULES_OF_A_POLICY]))
        for first in range(0, len(lines), _RULES_OF_A_POLICY)
    ]
    if shape.is_limited:
        texts[-1] += "  limits:\n  - {name: calls, per: Agent, max: 1000000000, window: 1m}\n"
    return "---\n".join(texts)
