"""What one agent is judged by: the policies that select it and, per name, who may speak.

Made once per agent and bundle. A `Plan` is what a name comes to; all names that the same rules
match share one, so that a call finds its rules, and often its whole answer, in one look-up, and
a made-up name needs nothing new.
Pure: no clock, no network, no logging.
"""

from collections.abc import Iterable, Mapping, Sequence

from mesh7_core.policy.bundle import Bundle, Effect, Grant
from mesh7_core.policy.calls import Agent, Family
from mesh7_core.policy.conditions import Condition
from mesh7_core.policy.index import Index
from mesh7_core.policy.needs import Needs
from mesh7_core.policy.recording import recording_of
from mesh7_core.policy.rules import (
    Action,
    LabelRequirement,
    Layer,
    Loop,
    Mode,
    Policy,
    Rule,
    RuleId,
    Selector,
)
from mesh7_core.policy.voices import STRENGTH, Kind, Voice

MOST_NAMES = 2048
"""Names remembered per agent and family; when there are as many, all are forgotten."""

LONGEST_NAME = 256
"""Characters of a name that is remembered, so that made-up ones do not fill the memory."""

MOST_PLANS = 4096
"""Plans kept per agent; one serves all names that the same rules match."""


class Candidate:
    """A rule whose globs match a name.

    Attributes:
        speaks: its voice when its condition holds or it has none.
        fails: its voice when its condition fails; None when it is skipped then (Allow).
        goes_on: matching goes on after it failed (RequireApproval).
    """

    __slots__ = ("condition", "fails", "goes_on", "rule", "speaks")

    def __init__(self, rule: Rule) -> None:
        parts = (rule.limits, rule.approval, rule.text)
        self.rule = rule
        self.condition: Condition | None = rule.condition
        self.speaks = Voice(rule.id, rule.action, Kind.RULE, *parts)
        is_skipped = rule.action is Action.ALLOW
        self.fails = None if is_skipped else Voice(rule.id, rule.action, Kind.FAILED, *parts)
        self.goes_on = rule.action is not Action.DENY


class Stand:
    """One layer under one reading (as enforced, or had audit been enforced).

    Attributes:
        layer: which.
        policies: the selected policies that take part.
        defaults: what is said when no rule speaks: the strictest default actions, one voice per
            policy that has it; empty = silence.
        loops: of the policies that take part.
    """

    __slots__ = ("defaults", "layer", "loops", "policies")

    def __init__(
        self, layer: Layer, policies: tuple[Policy, ...], defaults: tuple[Voice, ...]
    ) -> None:
        self.layer = layer
        self.policies = policies
        self.defaults = defaults
        self.loops: tuple[Loop, ...] = tuple(one.loop for one in policies if one.loop is not None)


class Ladder:
    """What a name comes to under one reading.

    Attributes:
        layers: per layer its stand and, per policy that has any, its candidates in written
            order, up to the first that always speaks.
        voiced: those of them in which somebody may speak; often one.
        is_constant: no candidate has a condition.
    """

    __slots__ = ("is_constant", "layers", "voiced")

    def __init__(self, layers: tuple[tuple[Stand, tuple[tuple[Candidate, ...], ...]], ...]) -> None:
        self.layers = layers
        self.voiced = tuple(
            (stand, policies) for stand, policies in layers if policies or stand.defaults
        )
        self.is_constant = all(
            one.condition is None
            for _, policies in layers
            for candidates in policies
            for one in candidates
        )


class Plan:
    """What a name comes to for one agent. `judge` keeps in it what it has once worked out.

    Attributes:
        would: the ladder with audit policies and rules enforced; None when there are none.
        grants: standing grants of the agent whose globs match the name.
        vetoes: the same of vetoes; whoever judges looks at them first.
        constant: the needs of every call to the name, when they depend on no call and no time.
        settled: needs by who spoke; bounded by `judge`.
        is_listed: whether some call may pass; None = not asked yet.
    """

    __slots__ = (
        "constant", "enforced", "family", "grants", "is_listed", "settled", "vetoes", "would",
    )  # fmt: skip

    def __init__(
        self, family: Family, enforced: Ladder, would: Ladder | None, grants: tuple[Grant, ...]
    ) -> None:
        self.family = family
        self.enforced = enforced
        self.would = would
        self.grants = tuple(one for one in grants if one.effect is Effect.ALLOW)
        self.vetoes = tuple(one for one in grants if one.effect is Effect.DENY)
        self.constant: Needs | None = None
        self.settled: dict[tuple[Voice, ...], Needs] = {}
        self.is_listed: bool | None = None


class AgentView:
    """What one agent is judged by under one bundle.

    Attributes:
        policies: all that select the agent, sorted by id.
        grants: the agent's grants and vetoes, sorted by id.
        recording: what records show of its arguments; None = digests alone.
        enforced, would: both layers' stands, baseline first; `would` is None when nothing is
            audited.
    """

    __slots__ = (
        "_candidates", "_indexes", "_names", "_plans", "enforced", "grants", "policies",
        "recording", "would",
    )  # fmt: skip

    def __init__(self, policies: tuple[Policy, ...], grants: tuple[Grant, ...]) -> None:
        self.policies = policies
        self.grants = grants
        self.recording = recording_of(policies)
        self.enforced = _stands(policies)
        self.would = _stands_of_all(policies) if _is_audited(policies) else None
        rules = [rule for policy in policies for rule in policy.rules]
        owners = [policy for policy in policies for _ in policy.rules]
        self._candidates = tuple(
            (owner, Candidate(rule)) for owner, rule in zip(owners, rules, strict=True)
        )
        self._indexes = {family: _index(rules, family) for family in Family}
        self._names: dict[Family, dict[tuple[str, str], Plan]] = {one: {} for one in Family}
        self._plans: dict[tuple[Family, tuple[int, ...], tuple[Grant, ...]], Plan] = {}

    def plan(self, family: Family, source: str, name: str) -> Plan:
        """What the name comes to."""
        names = self._names[family]
        found = names.get((source, name))
        if found is None:
            found = self._look_up(family, source, name)
            if len(name) <= LONGEST_NAME:
                if len(names) >= MOST_NAMES:
                    names.clear()
                names[source, name] = found
        return found

    def _look_up(self, family: Family, source: str, name: str) -> Plan:
        grants = tuple(one for one in self.grants if _is_about(one, family, source, name))
        key = (family, tuple(self._indexes[family].matching(source, name)), grants)
        found = self._plans.get(key)
        if found is None:
            if len(self._plans) >= MOST_PLANS:
                self._plans.clear()
            found = self._plans[key] = self._fresh(*key)
        return found

    def _fresh(self, family: Family, positions: tuple[int, ...], grants: tuple[Grant, ...]) -> Plan:
        found = [self._candidates[at] for at in positions]
        enforcing = [(owner, one) for owner, one in found if one.rule.mode is Mode.ENFORCE]
        would = None if self.would is None else _ladder(self.would, found)
        return Plan(family, _ladder(self.enforced, enforcing), would, grants)


def view_of(bundle: Bundle, agent: Agent, overlay: tuple[Grant, ...] = ()) -> AgentView:
    """Select what bears on `agent`; one of another namespace than the bundle's gets nothing.

    Args:
        bundle: in force.
        agent: who calls.
        overlay: grants and vetoes made by hand; they count beside the bundle's.
    """
    if agent.namespace != bundle.namespace:
        return AgentView((), ())
    policies = sorted(
        (one for one in bundle.policies if selects(one.selector, agent)), key=lambda one: one.id
    )
    grants = sorted(
        (one for one in (*bundle.grants, *overlay) if _is_for(one, agent)),
        key=lambda one: one.id,
    )
    # Whom no policy selects is denied as such, and no veto has to say it again.
    return AgentView(tuple(policies), tuple(grants) if policies else ())


def selects(selector: Selector, agent: Agent) -> bool:
    """Whether every part of the selector matches the agent; empty parts match all."""
    return selects_labels(selector, agent.labels) and (
        not selector.service_accounts
        or any(glob.matches(agent.service_account) for glob in selector.service_accounts)
    )


def selects_labels(selector: Selector, labels: Mapping[str, str]) -> bool:
    """Whether the labels, an agent's or a namespace's, meet every label part of the selector."""
    return all(labels.get(key) == value for key, value in selector.match_labels) and all(
        _is_met(one, labels.get(one.key)) for one in selector.match_expressions
    )


def _is_met(requirement: LabelRequirement, value: str | None) -> bool:
    """Kubernetes semantics: `NotIn` is met by a label that is not there."""
    match requirement.operator:
        case "In":
            return value is not None and value in requirement.values
        case "NotIn":
            return value is None or value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case unknown:
            raise ValueError(f"unknown operator `{unknown}`")


def _is_for(grant: Grant, agent: Agent) -> bool:
    return (not grant.service_account or grant.service_account == agent.service_account) and (
        not grant.pod or grant.pod == agent.pod
    )


def _is_about(grant: Grant, family: Family, source: str, name: str) -> bool:
    """Grants are for tools; a veto of everything is for resources and prompts too."""
    if grant.effect is Effect.DENY and (
        not grant.patterns or any(glob.text == "*" for glob in grant.patterns)
    ):
        return True
    return family is Family.TOOLS and any(glob.matches(source, name) for glob in grant.patterns)


def _is_audited(policies: Iterable[Policy]) -> bool:
    return any(
        policy.mode is Mode.AUDIT or any(rule.mode is Mode.AUDIT for rule in policy.rules)
        for policy in policies
    )


def _index(rules: Sequence[Rule], family: Family) -> Index:
    return Index(
        (position, glob)
        for position, rule in enumerate(rules)
        if rule.family is family
        for glob in rule.patterns
    )


def _layered(policies: Iterable[Policy]) -> tuple[tuple[Layer, tuple[Policy, ...]], ...]:
    found = tuple(policies)
    return tuple(
        (layer, tuple(one for one in found if one.layer is layer))
        for layer in (Layer.BASELINE, Layer.NAMESPACE)
    )


def _stands_of_all(policies: tuple[Policy, ...]) -> tuple[Stand, ...]:
    return tuple(Stand(layer, those, _defaults(those)) for layer, those in _layered(policies))


def _stands(policies: tuple[Policy, ...]) -> tuple[Stand, ...]:
    enforcing = tuple(one for one in policies if one.mode is Mode.ENFORCE)
    layers = _layered(enforcing)
    if not _is_audit_only(policies, enforcing):
        return tuple(Stand(layer, those, _defaults(those)) for layer, those in layers)
    forward = (Voice(RuleId(""), Action.ALLOW, Kind.AUDIT_ONLY),)
    return tuple(
        Stand(layer, those, forward if layer is Layer.NAMESPACE else _defaults(those))
        for layer, those in layers
    )


def _is_audit_only(policies: tuple[Policy, ...], enforcing: tuple[Policy, ...]) -> bool:
    """The namespace's policies are all audited; or it has none and all of the baseline's are."""
    own = [one for one in policies if one.layer is Layer.NAMESPACE]
    if own:
        return not any(one.layer is Layer.NAMESPACE for one in enforcing)
    return bool(policies) and not enforcing


def _defaults(policies: tuple[Policy, ...]) -> tuple[Voice, ...]:
    strictest = max((STRENGTH[one.default_action] for one in policies), default=0)
    return tuple(
        Voice(
            RuleId(f"{one.id}/default"),
            one.default_action,
            Kind.DEFAULT,
            approval=one.default_approval,
        )
        for one in policies
        if STRENGTH[one.default_action] == strictest > 0
    )


def _ladder(stands: tuple[Stand, ...], found: Sequence[tuple[Policy, Candidate]]) -> Ladder:
    return Ladder(tuple((stand, _by_policy(stand, found)) for stand in stands))


def _by_policy(
    stand: Stand, found: Sequence[tuple[Policy, Candidate]]
) -> tuple[tuple[Candidate, ...], ...]:
    """Written order is kept; what stands behind a rule that always speaks is never reached."""
    by_policy: dict[str, list[Candidate]] = {}
    for owner, candidate in found:
        if owner.layer is stand.layer:
            candidates = by_policy.setdefault(owner.id, [])
            if not candidates or candidates[-1].condition is not None:
                candidates.append(candidate)
    return tuple(tuple(one) for one in by_policy.values())
