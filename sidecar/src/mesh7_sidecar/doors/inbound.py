"""What is known of one MCP message that came to a source's door."""

from typing import Final

from mesh7_core.policy import calls
from mesh7_core.policy.decision import Decision
from mesh7_core.telemetry.records import Outcome
from mesh7_sidecar.doors.prepared import Prepared
from mesh7_sidecar.doors.sessions import Session
from mesh7_sidecar.doors.state import McpState
from mesh7_sidecar.net.exchange import Exchange
from mesh7_sidecar.sources.registry import Served
from mesh7_sidecar.wire import mcp

DOOR: Final = "mcp"


class Inbound:
    """One POST. A plain slotted class: made on every call (design 13).

    Attributes:
        asked: what the message asks for; set once it is read.
        call: what is judged; None for what needs no judging, and once it is recorded.
        decision: what was decided; None before.
        session: the legacy session it belongs to, if any.
        started_ns: monotonic.
    """

    __slots__ = (
        "asked", "call", "decision", "exchange", "prepared", "served", "session", "started_ns",
        "state",
    )  # fmt: skip

    asked: mcp.Asked

    def __init__(
        self, state: McpState, exchange: Exchange, prepared: Prepared, served: Served
    ) -> None:
        self.state = state
        self.exchange = exchange
        self.prepared = prepared
        self.served = served
        self.call: calls.Call | None = None
        self.decision: Decision | None = None
        self.session: Session | None = None
        self.started_ns = 0

    def call_to(self, family: calls.Family, name: str) -> calls.Call:
        """What is judged: this agent's use of a name of this source."""
        source = self.served.source
        call = self.call = calls.Call(
            self.exchange.identity,
            family,
            source.name,
            name,
            self.asked.arguments,
            calls.SourceKind.MCP,
            source.host,
            None,
            self.prepared.counted_session,
        )
        return call

    def record(self, outcome: Outcome, detail: str = "") -> None:
        """Write the call's one record; what was not judged has none, and nothing has two."""
        call, self.call = self.call, None
        if call is not None and self.decision is not None:
            self.state.gate.record(
                call, self.decision, outcome, DOOR, self.started_ns, self.prepared.trace_id, detail
            )

    def forget_request(self) -> None:
        """Let go of what was asked, but for what its answer is checked against."""
        self.asked.arguments = {}
        self.asked.message.params = {}
        self.asked.message.raw = b""
