"""Messages and heads that the tests of the wire room are about."""

import json

from mesh7_sidecar.wire import headers, jsonrpc, mcp

MODERN = "2026-07-28"
ENVELOPE = {mcp.META_VERSION: MODERN, mcp.META_CAPABILITIES: {}}


def body(method: str, params: dict[str, object] | None = None, **more: object) -> bytes:
    """A request with id 1, unless `more` says otherwise."""
    fields: dict[str, object] = {"jsonrpc": "2.0", "id": 1, "method": method}
    if params is not None:
        fields["params"] = params
    fields |= more
    return json.dumps(fields).encode()


def modern_body(method: str, params: dict[str, object] | None = None) -> bytes:
    """A request of 2026-07-28."""
    return body(method, {**(params or {}), "_meta": dict(ENVELOPE)})


def modern_head(method: str, name: str | None = None) -> headers.HeaderList:
    """The headers that go with it."""
    head = [
        (headers.PROTOCOL_VERSION, MODERN.encode()),
        (headers.METHOD, method.encode()),
    ]
    if name is not None:
        head.append((headers.NAME, headers.encode_value(name)))
    return head


def read(raw: bytes) -> jsonrpc.Message:
    """A body that must be well-formed."""
    message = jsonrpc.parse(raw)
    assert isinstance(message, jsonrpc.Message), message
    return message


def ask(raw: bytes, head: headers.HeaderList) -> mcp.Asked | jsonrpc.Malformed:
    """Parse and classify."""
    return mcp.classify(read(raw), mcp.read_routing(head))


def asked(raw: bytes, head: headers.HeaderList) -> mcp.Asked:
    """As `ask`, of what must be accepted."""
    found = ask(raw, head)
    assert isinstance(found, mcp.Asked), found
    return found


def refused(raw: bytes, head: headers.HeaderList) -> tuple[int, int]:
    """Status and code of what must be refused."""
    found = ask(raw, head)
    assert isinstance(found, jsonrpc.Malformed), found
    return found.status, found.code
