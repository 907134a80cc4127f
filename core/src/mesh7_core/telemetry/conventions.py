"""The spans that mesh7's sidecars make of a call, and what each attribute means: one table.

Names without `mesh7.` are OpenTelemetry's (MCP, GenAI, HTTP); where those are silent, ours stand
under `mesh7.`. docs/reference/telemetry.md is generated from this table.
Pure: no clock, no network, no logging.
"""

from dataclasses import dataclass
from typing import Final

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"

SERVER: Final = "server"
POLICY: Final = "policy.evaluate"
APPROVAL: Final = "approval.wait"
CLIENT: Final = "client"
WOULD: Final = "mesh7.policy.would"
"""An event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanRow:
    """One kind of span.

    Attributes:
        key: how `AttributeRow.spans` names it.
        name: as backends show it.
        kind: OpenTelemetry's.
        meaning: from when to when, and when there is none.
    """

    key: str
    name: str
    kind: str
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeRow:
    """One attribute.

    Attributes:
        spans: keys of the spans, or events, that may have it.
        example: a value as it is shown.
    """

    name: str
    spans: tuple[str, ...]
    meaning: str
    example: str


SPANS: Final = (
    SpanRow(
        key=SERVER,
        name="`<method> <tool or prompt>`, such as `tools/call refund`; of plain HTTP"
        " `<method> <source>`",
        kind="SERVER",
        meaning="What the agent sent, from the whole request to the end of its answer. A name that"
        " no source lists is not part of the span's name.",
    ),
    SpanRow(
        key=POLICY,
        name=POLICY,
        kind="INTERNAL",
        meaning="From the request to the decision, or until people were asked; none where nothing"
        " had to be judged.",
    ),
    SpanRow(
        key=APPROVAL,
        name=APPROVAL,
        kind="INTERNAL",
        meaning="From the moment that people were asked to the answer; none when nobody was.",
    ),
    SpanRow(
        key=CLIENT,
        name="as the SERVER span",
        kind="CLIENT",
        meaning="What went to the source, until its answer's end; none when nothing was sent. The"
        " source gets this span as its parent.",
    ),
)

MCP_METHOD: Final = "mcp.method.name"
PROTOCOL: Final = "mcp.protocol.version"
SESSION: Final = "mcp.session.id"
RESOURCE: Final = "mcp.resource.uri"
REQUEST_ID: Final = "jsonrpc.request.id"
RPC_STATUS: Final = "rpc.response.status_code"
OPERATION: Final = "gen_ai.operation.name"
TOOL: Final = "gen_ai.tool.name"
PROMPT: Final = "gen_ai.prompt.name"
AGENT: Final = "gen_ai.agent.id"
ARGUMENTS: Final = "gen_ai.tool.call.arguments"
ERROR: Final = "error.type"
TRANSPORT: Final = "network.transport"
ADDRESS: Final = "server.address"
PORT: Final = "server.port"
HTTP_METHOD: Final = "http.request.method"
HTTP_STATUS: Final = "http.response.status_code"
HTTP_PATH: Final = "url.path"
DOOR: Final = "mesh7.door"
SOURCE: Final = "mesh7.source"
OUTCOME: Final = "mesh7.outcome"
DIGEST: Final = "mesh7.args.digest"
EFFECT: Final = "mesh7.policy.effect"
REASON: Final = "mesh7.policy.reason"
RULES: Final = "mesh7.policy.rule.id"
LIMIT: Final = "mesh7.policy.limit"
MODE: Final = "mesh7.policy.mode"
BUNDLE: Final = "mesh7.policy.bundle.version"
GRANTS: Final = "mesh7.grant.id"
APPROVAL_ID: Final = "mesh7.approval.id"
APPROVAL_OUTCOME: Final = "mesh7.approval.outcome"
APPROVAL_WAIT: Final = "mesh7.approval.wait_ms"

_BOTH: Final = (SERVER, CLIENT)
_JUDGED: Final = (SERVER, POLICY)


def _row(name: str, spans: tuple[str, ...], example: str, meaning: str) -> AttributeRow:
    return AttributeRow(name=name, spans=spans, meaning=meaning, example=example)


ATTRIBUTES: Final = (
    _row(MCP_METHOD, _BOTH, "tools/call", "The MCP method; not of plain HTTP and dry runs."),
    _row(OPERATION, _BOTH, "execute_tool", "Of `tools/call` only."),
    _row(TOOL, _BOTH, "refund", "The tool as its source calls it, 300 characters at most."),
    _row(PROMPT, _BOTH, "greeting", "The prompt, likewise."),
    _row(RESOURCE, _BOTH, "file:///a.txt",
         "The resource, likewise; `***` stands for who is logged in, the query and the fragment."),
    _row(AGENT, (SERVER,), "team-a/shopper", "Namespace and service account of who called."),
    _row(REQUEST_ID, _BOTH, "7", "The id of the agent's JSON-RPC request."),
    _row(PROTOCOL, _BOTH, "2026-07-28", "The MCP revision that the agent speaks, if it says so."),
    _row(SESSION, (SERVER,), "c0ffee", "The session of a legacy client."),
    _row(ARGUMENTS, (SERVER,), '{"amount":"***"}',
         "The arguments, masked; only where the policies say `record.arguments: Redacted` or"
         " `Full`."),
    _row(ADDRESS, _BOTH, "billing.internal", "Where the source is; not of child processes."),
    _row(PORT, _BOTH, "8080", "Its port."),
    _row(TRANSPORT, (CLIENT,), "tcp", "`tcp`, or `pipe` to a child process."),
    _row(HTTP_METHOD, _BOTH, "POST", "Of plain HTTP."),
    _row(HTTP_PATH, (SERVER,), "/v1/charges", "Of plain HTTP: the path that policy judged."),
    _row(HTTP_STATUS, _BOTH, "200", "Of plain HTTP, once there is an answer."),
    _row(RPC_STATUS, _BOTH, "-32602", "The code of a JSON-RPC error."),
    _row(ERROR, _BOTH, "tool_error",
         "Set whenever the span's status is an error. `tool_error` for a result that says `isError`"
         " and for a refusal; else a JSON-RPC code, an HTTP status, or why a source gave no"
         " answer."),
    _row(DOOR, (SERVER,), "mcp", "The way in: `mcp`, `aggregate`, `v1`, `decide` or `http`."),
    _row(SOURCE, _BOTH, "billing", "The ToolSource."),
    _row(OUTCOME, _BOTH, "refused", "What became of the call, as in the audit."),
    _row(DIGEST, (SERVER,), "sha256:…", "Of the exact call, where people were asked about it."),
    _row(EFFECT, _JUDGED, "deny", "`allow`, `deny`, `require_approval` or `throttle`."),
    _row(REASON, _JUDGED, "denied-by-rule", "A code of docs/reference/reasons.md."),
    _row(RULES, _JUDGED, "team-a/money/refunds", "The rules that spoke for it."),
    _row(LIMIT, _JUDGED, "team-a/money/hourly", "The limit or loop that refused."),
    _row(MODE, (POLICY,), "audit",
         "`audit` when policies in audit mode would have decided otherwise, else `enforce`."),
    _row(BUNDLE, (POLICY,), "sha256:…", "The digest of the bundle that judged."),
    _row(GRANTS, (SERVER,), "team-a/friday", "Standing grants that stood in for people."),
    _row(APPROVAL_ID, (SERVER, APPROVAL), "r-4fz…", "The request that people saw."),
    _row(APPROVAL_OUTCOME, (APPROVAL,), "granted",
         "`granted`, `rejected`, `expired`, `abandoned` (the caller left) or `pending` (it was told"
         " to come again)."),
    _row(APPROVAL_WAIT, (APPROVAL,), "41250", "How long it waited."),
    _row(EFFECT, (WOULD,), "deny", "On the event `mesh7.policy.would`: what audit mode would do."),
    _row(REASON, (WOULD,), "denied-by-rule", "Likewise."),
    _row(RULES, (WOULD,), "team-a/new/no-refunds", "Likewise."),
)  # fmt: skip
