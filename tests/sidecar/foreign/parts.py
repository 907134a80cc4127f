"""A gateway with foreign servers behind it, and the ways in that a foreign client may take."""

import contextlib
import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests.peers import asking, gateway

NOTHING: Mapping[str, str] = {}
META_DECISION = "mesh7.dev/decision"
META_REASON = "mesh7.dev/reason"
META_RULE = "mesh7.dev/rule"


class Door(StrEnum):
    """A way in. Over STDIO a client starts `mesh7 stdio`, which joins the gateway that runs."""

    SOURCE = "one source over http"
    AGGREGATE = "all sources over http"
    STDIO = "one source over stdio"
    STDIO_AGGREGATE = "all sources over stdio"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """A running gateway.

    Attributes:
        folder: its manifests.
    """

    folder: Path
    running: gateway.GatewayProcess

    async def ask(
        self, client: str, door: Door, source: str, *calls: tuple[str, Mapping[str, object]]
    ) -> asking.Answered:
        """Let a client list and call a source's tools by the names that it has at this door."""
        is_aggregate = door in (Door.AGGREGATE, Door.STDIO_AGGREGATE)
        prefix = f"{source}_" if is_aggregate else ""
        named = [(prefix + tool, dict(arguments)) for tool, arguments in calls]
        return await asking.ask(client, self._target(door, source), *named)

    def _target(self, door: Door, source: str) -> str | list[str]:
        program = [
            *(sys.executable, "-m", "mesh7_cli", "stdio", str(self.folder)),
            *("--state", str(self.running.state)),
        ]
        match door:
            case Door.SOURCE:
                return f"{self.running.url}/mcp/{source}"
            case Door.AGGREGATE:
                return f"{self.running.url}/mcp"
            case Door.STDIO:
                return [*program, "--source", source]
            case Door.STDIO_AGGREGATE:
                return program


@contextlib.asynccontextmanager
async def guarding(place: Path, *manifests: str) -> AsyncIterator[Guarded]:
    """Run a gateway on manifests in `place / "folder"` while the block runs."""
    folder = place / "folder"
    folder.mkdir()
    (folder / "mesh7.yaml").write_text("---\n".join(manifests), encoding="utf-8")
    async with gateway.running_gateway(folder) as running:
        yield Guarded(folder=folder, running=running)


def stdio_source(name: str, *command: str | Path, env: Mapping[str, str] = NOTHING) -> str:
    """The manifest of a stdio server; `env` is added to the few variables that it gets."""
    added = [{"name": key, "value": value} for key, value in env.items()]
    words = [str(word) for word in command]
    return _source(name, {"transport": "Stdio", "command": words, "env": added})


def http_source(name: str, url: str) -> str:
    """The manifest of a Streamable HTTP server."""
    return _source(name, {"transport": "StreamableHTTP", "url": url})


def policy(rules: Sequence[Mapping[str, object]]) -> str:
    """The manifest of a policy for everybody that denies what no rule names."""
    spec = {"selector": {}, "defaultAction": "Deny", "rules": list(rules)}
    return _manifest("AgentPolicy", "agents", spec)


def _source(name: str, mcp: Mapping[str, object]) -> str:
    return _manifest("ToolSource", name, {"mcp": mcp})


def _manifest(kind: str, name: str, spec: Mapping[str, object]) -> str:
    # JSON is YAML, and quotes paths and expressions by itself.
    head = {"apiVersion": "mesh7.dev/v1alpha1", "kind": kind, "metadata": {"name": name}}
    return json.dumps({**head, "spec": spec}) + "\n"


def decision(called: asking.Called) -> tuple[object, ...]:
    """What a refused call says to machines: decision, reason and rule."""
    assert called.is_error
    assert called.raised == ""
    return tuple(called.meta.get(key) for key in (META_DECISION, META_REASON, META_RULE))
