"""What of an answer's head reaches the agent, worked out once for all answers with the same head.

Pure: no clock, no network, no logging.
"""

from mesh7_sidecar.net import headers as header_lines
from mesh7_sidecar.net.exchange import Headers
from mesh7_sidecar.wire import headers


class Passed:
    """The head of an MCP answer, understood.

    Attributes:
        fields: the head as it was received; read only.
        headers: those that reach the agent.
        block: the same, rendered.
        is_events: the answer is an event stream, if its status is 200.
    """

    __slots__ = ("block", "fields", "headers", "is_events")

    def __init__(self, fields: Headers) -> None:
        self.fields = fields
        self.headers = headers.mcp_response_headers(fields)
        self.block = header_lines.render(self.headers)
        kind = next((value for name, value in fields if name == headers.CONTENT_TYPE), None)
        self.is_events = headers.is_event_stream(kind)
