"""Every metric of a sidecar, which the laptop's gateway is too. Pure: a table.

Durations of MCP follow the GenAI conventions of OpenTelemetry: names, labels and buckets.
"""

from functools import partial
from typing import Final

from mesh7_core.policy.reasons import Reason
from mesh7_core.telemetry.instruments import OTHER, Instrument, Kind, Label, Program

MOST_TOOLS: Final = 200
MOST_RULES: Final = 200
MOST_SERIES: Final = 10_000

_OPERATION_S: Final = (
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
)  # fmt: skip
_WAIT_S: Final = (1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
_LEDGER_S: Final = (0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0)
_LAG_S: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)

_LISTED: Final = f"that a source lists, at most {MOST_TOOLS}; all others are `{OTHER}`"
_EFFECT: Final = Label(attribute="effect", values=("allow", "deny", "require_approval", "throttle"))
_REASON: Final = Label(attribute="reason", bound="[reasons](reasons.md)")
_RULE: Final = Label(
    attribute="rule",
    bound=f"the first rule that spoke, of the bundle in force, at most {MOST_RULES}; all others "
    f"are `{OTHER}`",
)
_TOOL: Final = Label(attribute="tool", bound=f"`<source>.<tool>` {_LISTED}")
_SOURCE: Final = Label(attribute="source", bound="sources of the bundle in force")
_OPERATION_LABELS: Final = (
    Label(
        attribute="mcp.method.name",
        values=("tools/call", "prompts/get", "resources/read"),
    ),
    Label(attribute="gen_ai.tool.name", bound=f"a tool {_LISTED}; none beside `tools/call`"),
    _SOURCE,
    Label(
        attribute="error.type",
        bound=f"`tool_error`, a JSON-RPC code, or why there was no answer, at most 50, others are "
        f"`{OTHER}`; none when it went well",
    ),
)
_of_sidecar = partial(Instrument, programs=(Program.SIDECAR,))
_counter = partial(_of_sidecar, kind=Kind.COUNTER)
_gauge = partial(_of_sidecar, kind=Kind.GAUGE)
_histogram = partial(_of_sidecar, kind=Kind.HISTOGRAM)

SERVER_DURATION: Final = _histogram(
    name="mcp.server.operation.duration",
    unit="s",
    labels=_OPERATION_LABELS,
    help="MCP requests of agents, from reading them to the end of the answer",
    meaning="MCP requests of agents, refused ones too, from reading them to the end of the answer. "
    "What waited for people is in it: see `mesh7_hold_wait_seconds`",
    buckets=_OPERATION_S,
)
CLIENT_DURATION: Final = _histogram(
    name="mcp.client.operation.duration",
    unit="s",
    labels=_OPERATION_LABELS,
    help="MCP requests to sources, from sending them to the end of the answer",
    buckets=_OPERATION_S,
)
CALL_DURATION: Final = _histogram(
    name="mesh7.call.duration",
    unit="s",
    labels=(
        Label(attribute="door", values=("mcp", "aggregate", "v1", "decide", "http")),
        _EFFECT,
    ),
    help="Calls by every door, from reading them to the end of the answer",
    buckets=_OPERATION_S,
)
CALLS: Final = _counter(
    name="mesh7.calls",
    unit="{call}",
    labels=(_EFFECT, _REASON, _RULE, _TOOL),
    help="Calls that were decided",
    meaning="calls that were decided, dry runs too; one each. At most "
    f"{MOST_SERIES:,} series, what is more is counted with rule and tool `{OTHER}`",
)
WOULD_BE_CALLS: Final = _counter(
    name="mesh7.would_be.calls",
    unit="{call}",
    labels=(_EFFECT, _REASON, _RULE, _TOOL),
    help="Calls that would have been decided otherwise, were audit enforced",
    meaning="calls that policies and rules of mode `Audit` would have decided as the labels say, "
    "had they been enforced",
)
HOLDS: Final = _counter(
    name="mesh7.holds", unit="{call}", help="Calls that people had to be asked about"
)
HOLD_WAIT: Final = _histogram(
    name="mesh7.hold.wait",
    unit="s",
    labels=(_REASON,),
    help="How long held calls waited, by what became of them",
    meaning="how long held calls waited, by what became of them: `approved`, `denied-by-person`, "
    "`approval-required` for those that were answered as pending, and so on",
    buckets=_WAIT_S,
)
PENDING_CALLERS: Final = _gauge(
    name="mesh7.pending.callers", unit="{call}", help="Calls that wait for people now"
)
LEDGER_DURATION: Final = _histogram(
    name="mesh7.ledger.duration",
    unit="s",
    help="Trips of calls to the ledger, from asking to its answer",
    buckets=_LEDGER_S,
)
LEDGER_LOSSES: Final = _counter(
    name="mesh7.ledger.losses",
    unit="{call}",
    help="Trips that the ledger did not answer",
    meaning="trips that the ledger did not answer: limits did what their `onStoreLoss` says",
)
STORE_STATE: Final = _gauge(
    name="mesh7.sidecar.store.state",
    labels=(Label(attribute="state", values=("connected", "lost", "none")),),
    help="1 for how it stands with the ledger",
)
SOURCE_FAILURES: Final = _counter(
    name="mesh7.source.failures",
    unit="{call}",
    labels=(_SOURCE, Label(attribute="kind", bound=f"a closed set of words, and `{OTHER}`")),
    help="Calls that a source did not answer, or not in whole",
    meaning="calls that a source did not answer, or not in whole: `unresolved`, "
    "`forbidden-address`, `refused`, `tls`, `timed-out`, `closed`, `malformed`, `too-large`, "
    "`busy`, `resting`, `unsendable`, `source-unavailable`",
)
SOURCE_RESTING: Final = _gauge(
    name="mesh7.source.resting",
    labels=(_SOURCE,),
    help="1 where a source failed five times in a row and is left alone",
)
SOURCE_IN_FLIGHT: Final = _gauge(
    name="mesh7.source.in_flight",
    unit="{call}",
    labels=(_SOURCE,),
    help="Requests under way to a source, those that wait for a connection too",
)
SOURCE_UNUSABLE: Final = _gauge(
    name="mesh7.source.unusable",
    labels=(_SOURCE,),
    help="1 where a source cannot be listed, or lacks its credential",
)
BUNDLE_VERSION: Final = _gauge(
    name="mesh7.sidecar.bundle.version",
    help="The bundle in force: Unix time in milliseconds when it was made",
    meaning="the bundle in force: Unix time in milliseconds when it was made; 0 before the first. "
    "In a pod alone",
)
BUNDLE_AGE: Final = _gauge(
    name="mesh7.sidecar.bundle.age",
    unit="s",
    help="How long ago the bundle in force was made, on a laptop loaded",
    meaning="how long ago the bundle in force was made, on a laptop loaded; no series before the "
    "first. A bundle gets old when nobody changes a policy: compare versions to see who lags",
)
BUNDLE_ORIGIN: Final = _gauge(
    name="mesh7.sidecar.bundle.origin",
    labels=(Label(attribute="origin", values=("folder", "redis", "configmap", "none")),),
    help="1 for which way the bundle in force came",
)
OVERLAY_VERSION: Final = _gauge(
    name="mesh7.sidecar.overlay.version",
    help="The grants and vetoes in force: Unix time in milliseconds when they were delivered",
    meaning="the grants and vetoes in force: Unix time in milliseconds when they were delivered; "
    "0 before the first. In a pod alone",
)
REFUSED_DELIVERIES: Final = _counter(
    name="mesh7.deliveries.refused",
    unit="{delivery}",
    labels=(
        Label(attribute="reason", values=("malformed", "unsigned", "foreign", "old", "too-large")),
    ),
    help="Bundles, overlays and decisions that were ignored",
    meaning="bundles, overlays and decisions that were ignored, by why: `unsigned` and `foreign` "
    "are somebody who writes past mesh7. In a pod alone",
)
OTLP_SENT: Final = _counter(
    name="mesh7.otlp.sent",
    programs=tuple(Program),
    unit="{item}",
    labels=(Label(attribute="signal", values=("traces", "metrics", "logs")),),
    help="Spans, metrics and log records that the collector took",
)
OTLP_DROPPED: Final = _counter(
    name="mesh7.otlp.dropped",
    programs=tuple(Program),
    unit="{item}",
    labels=(
        Label(attribute="signal", values=("traces", "metrics", "logs")),
        Label(
            attribute="reason",
            values=("queue-full", "unreachable", "timed-out", "refused", "closed"),
        ),
    ),
    help="Spans, metrics and log records that no collector has",
    meaning="spans, metrics and log records that no collector has: more were made than are sent, "
    "it is away, it does not answer, it does not take them, or the program ended first",
)
AUDIT_RECORDS: Final = _counter(
    name="mesh7.audit.records", unit="{record}", help="Audit records that were written"
)
AUDIT_DROPPED: Final = _counter(
    name="mesh7.audit.dropped",
    unit="{record}",
    help="Audit records that were lost: no room, or they could not be written",
)
AUDIT_WITHHELD: Final = _counter(
    name="mesh7.audit.withheld",
    unit="{record}",
    help="Audit records that are on stdout and were not sent to Redis: it was away, or full",
    meaning="audit records of a pod that are on stdout and were not sent to Redis, because it was "
    "away for long or nobody read there; the chain in Redis names them "
    "(docs/administrator/audit.md, Findings)",
)
LOOP_LAG: Final = _histogram(
    name="mesh7.event_loop.lag",
    unit="s",
    help="How late the event loop comes to what is due, looked at every second",
    buckets=_LAG_S,
)
CONNECTIONS: Final = _gauge(
    name="mesh7.connections", unit="{connection}", help="Connections of agents and of people"
)
REFUSED_REQUESTS: Final = _counter(
    name="mesh7.requests.refused",
    unit="{request}",
    labels=(Label(attribute="reason", values=tuple(Reason), bound="[reasons](reasons.md)"),),
    help="Requests that were refused before they were a call",
    meaning="requests that were refused before they were a call: by host, origin, token or path",
)
BUILD: Final = _gauge(
    name="mesh7.build.info",
    labels=(Label(attribute="version", bound="one"), Label(attribute="python", bound="one")),
    help="1, of this release on this Python",
)

ALL: Final[tuple[Instrument, ...]] = tuple(
    each for each in tuple(globals().values()) if isinstance(each, Instrument)
)
"""In the order of the documentation."""
