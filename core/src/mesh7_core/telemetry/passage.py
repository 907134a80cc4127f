"""One call's way through the gateway: by which door, when each step began, in which trace.

Pure: no clock, no network, no logging; whoever takes a step writes down when.
"""

from mesh7_core.policy.recording import Recording
from mesh7_core.telemetry.context import Context


class Sampled:
    """What a call that is traced has beside its times; calls that are not traced make none.

    Attributes:
        server: the span of what the agent sent, ours.
        parent: the agent's own span, when it named one in `_meta` or else in its headers.
        link: the ambient context of the HTTP request when `_meta` named another one.
        client: the span of what went upstream; None before something did.
        method: the MCP method (`tools/call`); for plain HTTP its method.
        request_id: the JSON-RPC id as text; empty where there is none.
        protocol: the MCP revision that the agent speaks; empty where it says none.
        session: the upstream-minted session id of a legacy client; empty elsewhere.
        server_address, server_port: of the source; empty and 0 for a child process.
    """

    __slots__ = (
        "client", "link", "method", "parent", "protocol", "request_id", "server",
        "server_address", "server_port", "session",
    )  # fmt: skip

    def __init__(self, server: Context, parent: Context | None, link: Context | None) -> None:
        self.server = server
        self.parent = parent
        self.link = link
        self.client: Context | None = None
        self.method = ""
        self.request_id = ""
        self.protocol = ""
        self.session = ""
        self.server_address = ""
        self.server_port = 0


class Passage:
    """One call's. A plain slotted class: one a call (design 13). All times are monotonic.

    Attributes:
        door: which way in: `mcp`, `aggregate`, `v1`, `decide`, `http`.
        caller: the agent's trace context; None when it sent none.
        started_ns: when the request was read.
        wait_ns: when it began to wait for people; 0 = it did not.
        judged_ns: when it was decided, or its caller left while people were asked; 0 before.
        sent_ns: when it was handed on to the source; 0 = it was not.
        sent_body: what was handed on, as it was sent; empty when nothing was, or it streamed.
        recording: what records show of the arguments; None = their digest alone.
        digest: of the exact call, where an approval, a grant or a loop hung on it; else empty.
        sampled: of a call that is traced, else None.
    """

    __slots__ = (
        "caller", "digest", "door", "judged_ns", "recording", "sampled", "sent_body", "sent_ns",
        "started_ns", "wait_ns",
    )  # fmt: skip

    def __init__(
        self,
        door: str,
        started_ns: int,
        caller: Context | None = None,
        sampled: Sampled | None = None,
    ) -> None:
        self.door = door
        self.started_ns = started_ns
        self.caller = caller
        self.sampled = sampled
        self.wait_ns = 0
        self.judged_ns = 0
        self.sent_ns = 0
        self.sent_body = b""
        self.digest = ""
        self.recording: Recording | None = None

    @property
    def trace_id(self) -> str:
        """Of the trace that it is part of, sampled or not; empty when there is none."""
        if self.sampled is not None:
            return self.sampled.server.trace_id
        return self.caller.trace_id if self.caller is not None else ""
