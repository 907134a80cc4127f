"""The P1 case table: policies, calls, and the one decision each call gets, whatever the way in."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from mesh7_core.compiling import compiler
from mesh7_core.policy import calls, explain, view
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
  - {name: once, tools: ["billing.count", "api.patch"], action: Allow, limits: [one]}
  - {name: api-put, tools: ["api.put"], action: RequireApproval}
  - name: gift
    tools: ["billing.gift", "api.options"]
    action: RequireApproval
    approval: {grantable: {maxDuration: 48h}}
  - {name: stock, tools: ["billing.stock", "api.head"], action: Allow}
  - {name: api-read, tools: ["api.get"], when: "http.path.startsWith('/public/')", action: Allow}
  - {name: api-secret, tools: ["api.*"], when: "http.path == '/secret'", action: Deny}
  - {name: api-post, tools: ["api.post"], when: "http.query == ''", action: Allow}
  limits:
  - {name: lost-denies, per: Agent, max: 5, window: 1m, onStoreLoss: Deny}
  - {name: lost-allows, per: Agent, max: 5, window: 1m, onStoreLoss: Allow}
  - {name: one, per: Agent, max: 1, window: 1h}
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
    "count", "gift", "stock",
)  # fmt: skip


def standing(made_at: datetime) -> str:
    """A grant and a veto; a grant's length is measured from when it was made."""
    expires_at = made_at + timedelta(hours=24)
    return f"""\
apiVersion: mesh7.dev/v1alpha1
kind: Grant
metadata: {{name: gifts, creationTimestamp: {made_at:%Y-%m-%dT%H:%M:%SZ}}}
spec:
  effect: Allow
  subject: {{serviceAccount: default}}
  tools: ["billing.gift", "api.options"]
  policyRef: {{namespace: default, name: shop}}
  expiresAt: {expires_at:%Y-%m-%dT%H:%M:%SZ}
  reason: the holidays
---
apiVersion: mesh7.dev/v1alpha1
kind: Grant
metadata: {{name: stop}}
spec:
  effect: Deny
  subject: {{serviceAccount: default}}
  tools: ["billing.stock", "api.head"]
  reason: stocktaking
"""


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
        dry: the decision where nothing was counted before; None = the same.
    """

    tool: str
    judged: Judged
    arguments: dict[str, object] = field(default_factory=dict)
    is_listed: bool = True
    http: tuple[str, str] = ("", "")
    dry: Judged | None = None

    @property
    def when_dry(self) -> Judged:
        """The decision of a dry run, which takes nothing and finds nothing taken."""
        return self.dry or self.judged


def _allowed(rule: str, **more: str) -> Judged:
    return Judged(decision="Allow", reason="allowed-by-rule", rule=f"default/shop/{rule}", **more)


def _denied(rule: str, reason: str = "denied-by-rule", **more: str) -> Judged:
    return Judged(decision="Deny", reason=reason, rule=f"default/shop/{rule}", **more)


def _held(rule: str) -> Judged:
    return Judged(decision="Hold", reason="approval-required", rule=f"default/shop/{rule}")


_GRANTED = Judged(decision="Allow", reason="granted", rule="default/shop/gift")
_SPENT = _denied("once", "limit-exceeded", limit="default/shop/one")
_VETOED = Judged(decision="Deny", reason="vetoed", rule="default/stop")
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
    Case(tool="pay", judged=_held("ask")),
    Case(tool="strict", judged=_allowed("strict")),
    Case(tool="lenient", judged=_allowed("lenient")),
    Case(tool="watched", judged=_allowed("watched", would="Deny default/trial/stop-watched")),
    Case(tool="rename", judged=_BY_DEFAULT, is_listed=False),
    Case(tool="count", judged=_allowed("once")),
    Case(tool="count", judged=_SPENT, dry=_allowed("once")),
    Case(tool="gift", judged=_GRANTED),
    Case(tool="stock", judged=_VETOED),
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
    Case(tool="put", http=("PUT", "/orders"), judged=_held("api-put")),
    Case(tool="patch", http=("PATCH", "/orders"), judged=_allowed("once")),
    Case(tool="patch", http=("PATCH", "/orders"), judged=_SPENT, dry=_allowed("once")),
    Case(tool="options", http=("OPTIONS", "/orders"), judged=_GRANTED),
    Case(tool="head", http=("HEAD", "/orders"), judged=_VETOED),
)


def expected(cases: tuple[Case, ...]) -> list[tuple[str, Judged]]:
    """What every way in must record."""
    return [(case.tool, case.judged) for case in cases]


def expected_dry(cases: tuple[Case, ...]) -> list[tuple[str, Judged]]:
    """What dry runs must record."""
    return [(case.tool, case.when_dry) for case in cases]


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
    now = datetime(2026, 11, 21, tzinfo=UTC)
    manifests = f"{POLICIES}---\n{standing(now)}"
    compiled = compiler.compile_files({"policies.yaml": manifests.encode()})
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
    found = explain.offline(view.view_of(compiled.bundle, agent), call, now)
    return case.tool, _judged(found.decision)


def _judged(decision: Decision) -> Judged:
    would = decision.would
    text = "" if would is None else " ".join([would.verdict, *would.rules])
    is_denied = decision.verdict != "Allow"
    return Judged(
        decision=decision.verdict, reason=decision.reason, rule=", ".join(decision.rules),
        limit=decision.limit if is_denied else "", would=text,
    )  # fmt: skip
