"""Builds policies, agents and calls for tests, with defaults for what a test does not speak of."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache

from mesh7_core.policy.bundle import Bundle, Effect, Grant
from mesh7_core.policy.calls import Agent, Call, Family, HttpPart
from mesh7_core.policy.conditions import compile_condition
from mesh7_core.policy.globs import NameGlob, TextGlob
from mesh7_core.policy.rules import (
    Action,
    Approval,
    Grantable,
    LabelRequirement,
    Layer,
    Limit,
    Loop,
    Mode,
    Per,
    Policy,
    Rule,
    RuleId,
    Selector,
    StoreLoss,
)
from mesh7_core.policy.view import AgentView, view_of

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
AGENT = Agent(namespace="shop", service_account="support", pod="pod-1", labels={"app": "support"})
APPROVAL = Approval(
    groups=(),
    count=1,
    timeout=timedelta(minutes=10),
    use_within=timedelta(minutes=10),
    hold=None,
    grantable=None,
)


def a_call(
    name: str = "billing.refund",
    arguments: dict[str, object] | None = None,
    *,
    family: Family = Family.TOOLS,
    agent: Agent = AGENT,
    http: HttpPart | None = None,
) -> Call:
    source, _, own = name.partition(".")
    return Call(agent, family, source, own, arguments or {}, source_host="pay.example", http=http)


def a_rule(  # noqa: PLR0913 - one field each
    action: str,
    patterns: Sequence[str] | str = "*",
    *,
    when: str = "",
    name: str = "rule",
    mode: Mode = Mode.ENFORCE,
    family: Family = Family.TOOLS,
    limits: Sequence[Limit] = (),
    text: str = "",
    grantable: Grantable | None = None,
    groups: Sequence[str] = (),
    count: int = 1,
) -> Rule:
    """A rule; its id becomes whole in `a_policy`."""
    globs = [patterns] if isinstance(patterns, str) else patterns
    approval = replace(APPROVAL, grantable=grantable, groups=tuple(groups), count=count)
    return Rule(
        id=RuleId(name),
        family=family,
        patterns=tuple(NameGlob.parse(one) for one in globs),
        condition=_compiled(when) if when else None,
        action=Action(action),
        mode=mode,
        limits=tuple(limits),
        approval=approval if action == "RequireApproval" else None,
        text=text,
    )


_compiled = cache(compile_condition)


def a_policy(
    *rules: Rule,
    name: str = "policy",
    default: str = "Deny",
    mode: Mode = Mode.ENFORCE,
    selector: Selector | None = None,
    loop: Loop | None = None,
    baseline: bool = False,
) -> Policy:
    identity = f"{'mesh7-system' if baseline else 'shop'}/{name}"
    return Policy(
        id=identity,
        layer=Layer.BASELINE if baseline else Layer.NAMESPACE,
        selector=selector or a_selector(),
        mode=mode,
        default_action=Action(default),
        default_approval=APPROVAL,
        rules=tuple(_placed(rule, identity, mode) for rule in rules),
        limits=(),
        loop=loop,
        arguments=None,
        redact=(),
    )


def _placed(rule: Rule, policy: str, mode: Mode) -> Rule:
    return Rule(
        id=RuleId(f"{policy}/{rule.id}"),
        family=rule.family,
        patterns=rule.patterns,
        condition=rule.condition,
        action=rule.action,
        mode=Mode.AUDIT if mode is Mode.AUDIT else rule.mode,
        limits=rule.limits,
        approval=rule.approval,
        text=rule.text,
    )


def a_selector(
    labels: Mapping[str, str] | None = None,
    expressions: Sequence[LabelRequirement] = (),
    service_accounts: Sequence[str] = (),
) -> Selector:
    return Selector(
        match_labels=tuple((labels or {}).items()),
        match_expressions=tuple(expressions),
        service_accounts=tuple(TextGlob.parse(one) for one in service_accounts),
    )


def a_limit(name: str = "writes", on_store_loss: StoreLoss = StoreLoss.DENY) -> Limit:
    return Limit(
        id=f"shop/policy/{name}",
        per=Per.AGENT,
        maximum=30,
        window=timedelta(minutes=1),
        on_store_loss=on_store_loss,
    )


def a_loop(action: Action = Action.DENY, policy: str = "policy") -> Loop:
    return Loop(
        id=RuleId(f"shop/{policy}/loops"),
        per=Per.POD,
        identical=3,
        window=timedelta(seconds=10),
        action=action,
        approval=APPROVAL,
    )


HOUR = Grantable(maximum_duration=timedelta(hours=1), maximum_uses=20)
"""What rules in tests let grants do."""


def a_grant(  # noqa: PLR0913 - one field each
    name: str = "grant",
    patterns: Sequence[str] | str = "billing.*",
    *,
    effect: Effect = Effect.ALLOW,
    policy: str = "shop/policy",
    account: str = "",
    pod: str = "",
    when: str = "",
    lasts: timedelta | None = timedelta(minutes=30),
    made_at: datetime | None = NOW,
    uses: int | None = 10,
    text: str = "",
    groups: tuple[str, ...] | None = None,
) -> Grant:
    """A grant or veto; it ends `lasts` after NOW."""
    globs = [patterns] if isinstance(patterns, str) else patterns
    return Grant(
        id=f"shop/{name}",
        effect=effect,
        service_account=account,
        pod=pod,
        patterns=tuple(NameGlob.parse(one) for one in globs),
        policy=policy if effect is Effect.ALLOW else "",
        expires_at=None if lasts is None else NOW + lasts,
        maximum_uses=uses if effect is Effect.ALLOW else None,
        condition=_compiled(when) if when else None,
        reason=text,
        created_at=made_at,
        groups=groups,
    )


def a_bundle(*policies: Policy, grants: Sequence[Grant] = ()) -> Bundle:
    return Bundle(
        namespace="shop",
        digest="sha256:" + "0" * 64,
        policies=policies,
        sources={},
        grants=tuple(grants),
    )


def a_view(*policies: Policy, agent: Agent = AGENT, grants: Sequence[Grant] = ()) -> AgentView:
    return view_of(a_bundle(*policies, grants=grants), agent)
