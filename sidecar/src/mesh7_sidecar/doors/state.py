"""What the MCP doors of one gateway share."""

from collections.abc import Callable
from dataclasses import dataclass, field

from mesh7_sidecar.doors.sessions import Sessions
from mesh7_sidecar.doors.tasks import Tasks
from mesh7_sidecar.gate.gate import Gate
from mesh7_sidecar.net.exchange import Exchange
from mesh7_sidecar.sources.registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class McpState:
    """The judge, the sources, and what agents have open.

    Attributes:
        clock_s: monotonic seconds, for sessions.
        streams: answers without an end; finished first when the gateway stops.
    """

    gate: Gate
    registry: Registry
    clock_s: Callable[[], float]
    sessions: Sessions = field(default_factory=Sessions)
    tasks: Tasks = field(default_factory=Tasks)
    streams: set[Exchange] = field(default_factory=set)
