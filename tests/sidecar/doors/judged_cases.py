"""The P1 case table: policies, calls, and the one decision each call gets, whatever the way in."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from mesh7_core.compiling import compiler
from mesh7_core.policy import calls, explain, judge, view
from mesh7_core.policy.decision import Decision

POLICIES = """\
apiVersion: mesh7.dev/v1alpha1
kind: AgentPolicy
metadata: {name: shop}
spec:
  selector: {}
  defaultAction: Deny
  rules:
  - {name: read, tools: ["billing.get_*"], action: Allow}
  - {name: small, tools: ["billing.refund"], when: "args.amount < 500", action: Allow}
  - {name: no-force, tools: ["billing.delete"], when: "args.force == true", action: Deny}
  - {name: delete, tools: ["billing.delete"], action: Allow}
  - {name: never, tools: ["billing.wipe"], action: Deny, reason: nobody wipes}
  - {name: ask, tools: ["billing.pay"], action: RequireApproval}
  - {name: strict, tools: ["billing.strict"], action: Allow, limits: [lost-denies]}
  - {name: lenient, tools: ["billing.lenient"], action: Allow, limits: [lost-allows]}
  - {name: watched, tools: ["billing.watched"], action: Allow}
  - {name: api-read, tools: ["api.get"], when: "http.path.startsWith('/public/')", action: Allow}
  - {name: api-secret, tools: ["api.*"], when: "http.path == '/secret'", action: Deny}
  - {name: api-post, tools: ["api.post"], when: "http.query == ''", action: Allow}
  limits:
  - {name: lost-denies, per: Agent, max: 5, window: 1m, onStoreLoss: Deny}
  - {name: lost-allows, per: Agent, max: 5, window: 1m, onStoreLoss: Allow}
---
apiVersion: mesh7.dev/v1alpha1
kind: AgentPolicy
metadata: {name: trial}
spec:
  selector: {}
  mode: Audit
  defaultAction: Allow
  rules:
  - {name: stop-watched, tools: ["billing.watched"], action: Deny}
"""
TOOLS = (
    "get_invoice", "refund", "delete", "wipe", "pay", "strict", "lenient", "watched", "rename",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A decision as records and answers show it; `would` is what audit policies would have done."""

    decision: str
    reason: str
    rule: str = ""
    limit: str = ""
    would: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One call and what is decided about it.

    Attributes:
        is_listed: some call to the tool could be allowed, so that lists show it.
        http: method and path of a plain HTTP call; empty for a tool call.
    """

    tool: str
    judged: Judged
    arguments: dict[str, object] = field(default_factory=dict)
    is_listed: bool = True
    http: tuple[str, str] = ("", "")


def _allowed(rule: str, **more: str) -> Judged:
    return Judged(decision="Allow", reason="allowed-by-rule", rule=f"default/shop/{rule}", **more)


def _denied(rule: str, reason: str = "denied-by-rule", **more: str) -> Judged:
    return Judged(decision="Deny", reason=reason, rule=f"default/shop/{rule}", **more)


_BY_DEFAULT = _denied("default", "denied-by-default")
CASES = (
    Case(tool="get_invoice", judged=_allowed("read")),
    Case(tool="refund", arguments={"amount": 499}, judged=_allowed("small")),
    Case(tool="refund", arguments={"amount": 500}, judged=_BY_DEFAULT),
    # A failing `when` never allows: there is no amount, and it is no number.
    Case(tool="refund", judged=_BY_DEFAULT),
    Case(tool="refund", arguments={"amount": "1"}, judged=_BY_DEFAULT),
    Case(tool="refund", arguments={"amount": 2**80}, judged=_BY_DEFAULT),
    Case(tool="delete", arguments={"force": True}, judged=_denied("no-force")),
    Case(tool="delete", arguments={"force": False}, judged=_allowed("delete")),
    Case(tool="delete", judged=_denied("no-force", "condition-failed")),
    Case(tool="wipe", judged=_denied("never"), is_listed=False),
    Case(tool="pay", judged=_denied("ask", "approval-unavailable")),
    Case(
        tool="strict",
        judged=_denied("strict", "limit-unavailable", limit="default/shop/lost-denies"),
    ),
    Case(tool="lenient", judged=_allowed("lenient")),
    Case(tool="watched", judged=_allowed("watched", would="Deny default/trial/stop-watched")),
    Case(tool="rename", judged=_BY_DEFAULT, is_listed=False),
)
UNKNOWN = Case(
    tool="made_up", judged=Judged(decision="Deny", reason="unknown-tool"), is_listed=False
)
"""Only a gateway knows what a source lists, so offline explain has no say in it."""

HTTP_CASES = (
    Case(tool="get", http=("GET", "/public/a?b=c"), judged=_allowed("api-read")),
    Case(tool="get", http=("GET", "/public/%61"), judged=_allowed("api-read")),
    Case(tool="get", http=("GET", "/private"), judged=_BY_DEFAULT),
    Case(tool="get", http=("GET", "/secret"), judged=_denied("api-secret")),
    Case(tool="post", http=("POST", "/secret"), judged=_denied("api-secret")),
    Case(tool="post", http=("POST", "/orders"), judged=_allowed("api-post")),
    Case(tool="post", http=("POST", "/orders?dry=1"), judged=_BY_DEFAULT),
    Case(tool="delete", http=("DELETE", "/orders"), judged=_BY_DEFAULT),
)


def expected(cases: tuple[Case, ...]) -> list[tuple[str, Judged]]:
    """What every way in must record."""
    return [(case.tool, case.judged) for case in cases]


def from_record(record: dict[str, object]) -> tuple[str, Judged]:
    """Tool and decision of an audit line."""
    rules, would = record["rules"], record.get("would")
    assert isinstance(rules, list)
    text = ""
    if isinstance(would, dict):
        text = " ".join([would["decision"], *would["rules"]])
    judged = Judged(
        decision=str(record["decision"]), reason=str(record["reason"]), rule=", ".join(rules),
        limit=str(record.get("limit", "")), would=text,
    )  # fmt: skip
    return str(record["tool"]).partition(".")[2], judged


def explained(case: Case) -> tuple[str, Judged]:
    """Tool and decision by offline explain."""
    compiled = compiler.compile_files({"policies.yaml": POLICIES.encode()})
    assert compiled.bundle is not None
    agent = calls.Agent(namespace="default", service_account="default", pod="offline")
    method, target = case.http
    path, _, query = target.partition("?")
    path = path.replace("%61", "a")
    http = calls.HttpPart(method=method, path=path, query=query) if method else None
    kind = calls.SourceKind.HTTP if method else calls.SourceKind.MCP
    call = calls.Call(
        agent, calls.Family.TOOLS, "api" if method else "billing", case.tool, case.arguments,
        kind, "127.0.0.1", http,
    )  # fmt: skip
    now = datetime(2026, 11, 21, tzinfo=UTC)
    found = explain.explain(view.view_of(compiled.bundle, agent), call, now, judge.NO_LEDGER)
    return case.tool, _judged(found.decision)


def _judged(decision: Decision) -> Judged:
    would = decision.would
    text = "" if would is None else " ".join([would.verdict, *would.rules])
    is_denied = decision.verdict != "Allow"
    return Judged(
        decision=decision.verdict, reason=decision.reason, rule=", ".join(decision.rules),
        limit=decision.limit if is_denied else "", would=text,
    )  # fmt: skip
