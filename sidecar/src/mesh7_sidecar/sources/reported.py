"""One source as it is reported: whether it lists, what it lists, and what drifted since people saw.

Looked at on the event loop (`look`), worked out by a thread (`Look.report`): digests of a long list
take longer than a call may wait.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, assert_never

from mesh7_core.delivery import reports
from mesh7_core.policy import bundle, calls
from mesh7_core.policy.definitions import State
from mesh7_sidecar.sources.baselines import Baselines
from mesh7_sidecar.sources.pins import Pins
from mesh7_sidecar.sources.registry import Served
from mesh7_sidecar.wire import lists

_NOTHING: Final[Mapping[str, lists.ToolDefinition]] = {}


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What was seen of a source; two looks that `is_like` says are alike make the same report.

    Attributes:
        error: why its list cannot be read; empty when it was, or nobody tried yet.
        definitions, hidden: as its catalog has them; replaced there, never changed.
    """

    served: Served
    source: bundle.Source
    is_ready: bool
    error: str
    protocol: str
    definitions: Mapping[str, lists.ToolDefinition]
    hidden: Mapping[str, lists.ToolDefinition]

    def is_like(self, other: "Look") -> bool:
        """Whether nothing that is reported is another; without a digest being worked out."""
        return (
            self.source is other.source
            and self.definitions is other.definitions
            and self.hidden is other.hidden
            and (self.is_ready, self.error, self.protocol)
            == (other.is_ready, other.error, other.protocol)
        )

    def report(self, before: Mapping[str, str]) -> reports.SourceReport:
        """What the operator is told, given what was `expected`."""
        pins = self.served.catalog.pins
        listed = {**self.definitions, **self.hidden}
        # Under pinning all digests are known already; else none but those that are told is needed.
        told = list(listed.values())[: None if pins.is_on else reports.MAXIMUM_TOOLS]
        tools = [
            reports.Tool(name=one.name, digest=one.digest, drift=self._drift(pins, one))
            for one in told
        ]
        if self.is_ready:
            tools += [
                reports.Tool(name=name, digest=digest, drift=reports.Drift.REMOVED)
                for name, digest in before.items()
                if name not in listed and self.served.catalog.serves(name)
            ]
        return reports.SourceReport(
            name=self.source.name,
            is_ready=self.is_ready,
            error=self.error,
            protocol=self.protocol,
            tools=tuple(tools),
            tool_count=len(listed),
        )

    def _drift(self, pins: Pins, tool: lists.ToolDefinition) -> reports.Drift | None:
        match pins.state(tool):
            case State.CHANGED:
                return reports.Drift.CHANGED
            case State.NEW if self._is_judged_by_people(pins):
                return reports.Drift.ADDED
            case _:
                return None

    def _is_judged_by_people(self, pins: Pins) -> bool:
        """Under `Warn` what is first seen counts as good, as long as nobody accepted anything."""
        return pins.is_enforced or bool(self.source.accepted)


def look(served: Served) -> Look:
    """Look at a source; cheap."""
    source, catalog = served.source, served.catalog
    is_mcp = source.kind is calls.SourceKind.MCP
    error = served.problem or (catalog.error if is_mcp else "")
    return Look(
        served=served,
        source=source,
        is_ready=not error and (catalog.was_read or not is_mcp),
        error=error,
        protocol=served.client.protocol if is_mcp else "",
        definitions=catalog.definitions if is_mcp else _NOTHING,
        hidden=catalog.hidden if is_mcp else _NOTHING,
    )


def expected(source: bundle.Source, baselines: Baselines) -> dict[str, str]:
    """The digest that each tool is held against: what was accepted, under `Warn` what was seen."""
    match source.pinning:
        case bundle.Pinning.IGNORE:
            return {}
        case bundle.Pinning.WARN:
            seen = {name: known.digest for name, known in baselines.of(source.name).items()}
            return {**seen, **source.accepted}
        case bundle.Pinning.ENFORCE:
            return dict(source.accepted)
        case unknown:
            assert_never(unknown)
