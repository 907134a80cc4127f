"""What is known of one MCP message that came to a source's door."""

from collections.abc import Callable
from typing import Final

from mesh7_core.policy import calls
from mesh7_core.policy.decision import Decision
from mesh7_core.telemetry.passage import Passage
from mesh7_core.telemetry.records import Outcome
from mesh7_sidecar.doors.prepared import Prepared
from mesh7_sidecar.doors.sessions import Session
from mesh7_sidecar.doors.state import McpState
from mesh7_sidecar.doors.waiting import Key
from mesh7_sidecar.net.exchange import Exchange, Headers
from mesh7_sidecar.sources.registry import Served
from mesh7_sidecar.wire import mcp, mirrored, sse

DOOR: Final = "mcp"


class Inbound:
    """One POST. A plain slotted class: made on every call (design 13).

    Attributes:
        asked: what the message asks for; set once it is read.
        call: what is judged; None for what needs no judging, and once it is recorded.
        decision: what was decided; None before.
        definition: digest of the called tool's definition; empty for what has none.
        end_wait: stops keeping a held client; None when it is not held.
        mirrored: arguments of the called tool that its definition wants repeated as headers.
        is_streaming: the answer became an event stream while the call was held.
        session: the legacy session it belongs to, if any.
        passage: of this message; set once it is read.
    """

    __slots__ = (
        "asked", "call", "decision", "definition", "end_wait", "exchange", "is_streaming",
        "mirrored", "passage", "prepared", "served", "session", "state",
    )  # fmt: skip

    asked: mcp.Asked
    passage: Passage

    def __init__(
        self, state: McpState, exchange: Exchange, prepared: Prepared, served: Served
    ) -> None:
        self.state = state
        self.exchange = exchange
        self.prepared = prepared
        self.served = served
        self.call: calls.Call | None = None
        self.decision: Decision | None = None
        self.definition = ""
        self.mirrored: tuple[mirrored.Declared, ...] = ()
        self.end_wait: Callable[[], None] | None = None
        self.is_streaming = False
        self.session: Session | None = None

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
            self.asked.message.raw,
            self.definition,
            self.served.digest,
        )
        return call

    def respond(self, status: int, fields: Headers, body: bytes, block: bytes = b"") -> None:
        """Answer; on a stream that began while the call was held as its one message."""
        if self.is_streaming:
            self.exchange.write(sse.encode(body))
            self.exchange.finish()
        else:
            self.exchange.respond(status, fields, body, block)

    def legacy_key(self) -> Key | None:
        """By what a legacy client cancels this request; modern ones close the connection."""
        return None if self.asked.is_modern else self.key(self.asked.message.id)

    def key(self, identifier: object) -> Key | None:
        """The request of this client that has this id; None when it is no id."""
        if type(identifier) is not int and type(identifier) is not str:
            return None
        prepared = self.prepared
        return self.exchange.identity, prepared.source, prepared.session, identifier

    def record(self, outcome: Outcome, detail: str = "") -> None:
        """Write the call's one record; what was not judged has none, and nothing has two."""
        call, self.call = self.call, None
        if call is not None and self.decision is not None:
            self.state.gate.record(call, self.decision, outcome, self.passage, detail)

    def forget_request(self) -> None:
        """Let go of what was asked, but for what its answer is checked against."""
        self.asked.arguments = {}
        self.asked.message.params = {}
        self.asked.message.raw = b""
        # Another one: what was sent is in the passage of the record, which may still be read.
        self.passage = Passage(DOOR, self.passage.started_ns)
