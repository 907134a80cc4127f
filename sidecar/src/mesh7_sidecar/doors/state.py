"""What the MCP doors of one gateway share."""

from collections.abc import Callable
from dataclasses import dataclass, field

from mesh7_sidecar.doors.sessions import Sessions
from mesh7_sidecar.doors.tasks import Tasks
from mesh7_sidecar.doors.waiting import HeldCalls
from mesh7_sidecar.gate.gate import Gate
from mesh7_sidecar.net.exchange import Exchange
from mesh7_sidecar.settings import Patience
from mesh7_sidecar.sources.registry import Registry, Served


@dataclass(frozen=True, slots=True, kw_only=True)
class McpState:
    """The judge, the sources, and what agents have open.

    Attributes:
        clock_s: monotonic seconds, for sessions.
        streams: answers without an end, each with whether it may go on under the policy in force;
            finished first when the gateway stops.
        patience: how clients of held calls are kept.
        held: calls of legacy clients that wait for people.
    """

    gate: Gate
    registry: Registry
    clock_s: Callable[[], float]
    sessions: Sessions = field(default_factory=Sessions)
    tasks: Tasks = field(default_factory=Tasks)
    streams: dict[Exchange, Callable[[], bool]] = field(default_factory=dict)
    patience: Patience = field(default_factory=Patience)
    held: HeldCalls = field(default_factory=HeldCalls)

    def serves(self, served: Served) -> bool:
        """Whether this very source is in force, not removed and not another by its name."""
        return self.registry.find(served.source.name, served.source.kind) is served

    def end_streams(self) -> None:
        """End every open stream, so that a stop need not wait for it."""
        for exchange in tuple(self.streams):
            exchange.abandon()

    def end_forbidden_streams(self) -> None:
        """End streams that the policy in force would not open any more."""
        for exchange, may_go_on in tuple(self.streams.items()):
            if not may_go_on():
                exchange.abandon()
