"""The `_meta` keys that the gateway writes, and that nobody else may (promise M3).

Pure: no clock, no network, no logging.
"""

from typing import Final

from mesh7_sidecar.wire import jsonrpc, splice

DECISION: Final = "mesh7.dev/decision"
RULE: Final = "mesh7.dev/rule"
REASON: Final = "mesh7.dev/reason"
REQUEST_ID: Final = "mesh7.dev/requestId"
RETRY_AFTER: Final = "mesh7.dev/retryAfter"
REPLAY_OF: Final = "mesh7.dev/replayOf"

_USUAL: Final = frozenset({
    "io.modelcontextprotocol/clientCapabilities", "io.modelcontextprotocol/clientInfo",
    "io.modelcontextprotocol/logLevel", "io.modelcontextprotocol/protocolVersion", "progressToken",
    "traceparent", "tracestate",
})  # fmt: skip
"""Keys that the protocol names; most messages have no others."""
_IN_PARAMS: Final = ("params", "_meta")
_IN_RESULT: Final = ("result", "_meta")


def without_ours(message: jsonrpc.Message) -> bytes:
    """The message's bytes without `mesh7.dev/…` keys in its `_meta`; the same object if none."""
    if has_ours(message.params.get("_meta")):
        return splice.remove_own_meta(message.raw, _IN_PARAMS)
    if message.result is not None and has_ours(message.result.get("_meta")):
        return splice.remove_own_meta(message.raw, _IN_RESULT)
    return message.raw


def has_ours(fields: object) -> bool:
    """Whether a parsed `_meta` has a key of ours."""
    if not isinstance(fields, dict):
        return False
    if _USUAL.issuperset(fields):
        return False
    # A plain loop: a generator costs three times as much.
    for key in fields:  # noqa: SIM110
        if key.startswith(splice.OWN_PREFIX):
            return True
    return False
