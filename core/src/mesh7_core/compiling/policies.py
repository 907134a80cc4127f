"""AgentPolicy from written to meant.

Pure: no clock, no network, no logging.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from mesh7_core.api import policies as written
from mesh7_core.api.manifests import Document
from mesh7_core.api.places import Path
from mesh7_core.api.suggestions import advice
from mesh7_core.compiling import dead_rules, selectors
from mesh7_core.compiling.diagnostics import Findings
from mesh7_core.compiling.texts import Parser
from mesh7_core.policy import rules
from mesh7_core.policy.calls import Family

SMALLEST_WINDOW = timedelta(seconds=1)
SMALLEST_TIMEOUT = timedelta(seconds=1)
DEFAULT_TIMEOUT = timedelta(minutes=10)
DEFAULT_USE_WITHIN = timedelta(minutes=10)

DEFAULT_RULE = "default"
"""The rule name under which a `defaultAction` speaks; no rule may have it."""
LOOPS = "loops"
"""The name under which loops refuse and ask; no limit and no rule may have it."""

_JSON_PATH = re.compile(
    r"\$((\.\.?[A-Za-z_][A-Za-z0-9_-]*)|(\.\*)|(\[\*\])|(\[[0-9]+\])|(\['[^'\\]+'\]))+"
)
_RULES: Path = ("spec", "rules")
_LIMITS: Path = ("spec", "limits")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sheet:
    """One policy's compilation: what is shared by its steps."""

    id: str
    mode: rules.Mode
    document: Document
    findings: Findings
    parser: Parser

    def error(self, path: Path, message: str) -> None:
        self.findings.error(self.document, path, message)

    def warning(self, path: Path, message: str) -> None:
        self.findings.warning(self.document, path, message)


def compile_policy(
    policy: written.AgentPolicy, document: Document, namespace: str, parser: Parser
) -> rules.Policy:
    """One policy; only of use when no error was found.

    Args:
        policy: as written.
        document: where it is written.
        namespace: the effective one; of a baseline policy the release namespace.
        parser: of the same document; its findings are added to.
    """
    spec = policy.spec
    sheet = _Sheet(
        id=f"{namespace}/{policy.metadata.name}",
        mode=rules.Mode(spec.mode),
        document=document,
        findings=parser.findings,
        parser=parser,
    )
    limits = _limits(spec.limits, sheet)
    compiled = tuple(_rule(index, one, limits, sheet) for index, one in enumerate(spec.rules))
    _check_names(spec, sheet)
    _check_dead(compiled, spec.rules, sheet)
    _check_layer(spec, sheet)
    _check_redact(spec.record.redact, sheet)
    accounts = parser.text_globs(spec.service_accounts or (), ("spec", "serviceAccounts"))
    return rules.Policy(
        id=sheet.id,
        layer=rules.Layer.BASELINE if document.is_baseline else rules.Layer.NAMESPACE,
        selector=selectors.compile_selector(
            spec.selector, accounts, document, ("spec", "selector"), parser.findings
        ),
        mode=sheet.mode,
        default_action=_default_action(spec.default_action, is_baseline=document.is_baseline),
        default_approval=_approval(written.Approval()),
        rules=compiled,
        limits=tuple(limits.values()),
        loop=_loop(spec.loops, sheet),
        arguments=_said_of_arguments(spec),
        redact=spec.record.redact,
    )


def _default_action(action: str | None, *, is_baseline: bool) -> rules.Action:
    if action is not None:
        return rules.Action(action)
    return rules.Action.NONE if is_baseline else rules.Action.DENY


def _rule(
    index: int, rule: written.Rule, limits: Mapping[str, rules.Limit], sheet: _Sheet
) -> rules.Rule:
    path: Path = (*_RULES, index)
    family, texts = _family(rule, path, sheet)
    action = rules.Action(rule.action)
    is_audit = rules.Mode.AUDIT in (sheet.mode, rule.mode)
    if rule.name == DEFAULT_RULE:
        sheet.error((*path, "name"), f"`{DEFAULT_RULE}` is the name of the default action, "
                    "choose another")  # fmt: skip
    if rule.name == LOOPS:
        sheet.error((*path, "name"), f"`{LOOPS}` is the name of the policy's loops, choose another")
    if rule.limits and action is rules.Action.DENY:
        sheet.warning((*path, "limits"), f"rule `{rule.name}` denies, its limits never count")
    return rules.Rule(
        id=rules.RuleId(f"{sheet.id}/{rule.name}"),
        family=family,
        patterns=sheet.parser.name_globs(texts, (*path, family.value)),
        condition=sheet.parser.condition(rule.when, (*path, "when")),
        action=action,
        mode=rules.Mode.AUDIT if is_audit else rules.Mode.ENFORCE,
        limits=_named_limits(rule, limits, path, sheet),
        approval=_rule_approval(rule, action, path, sheet),
        text=rule.reason or "",
    )


def _family(rule: written.Rule, path: Path, sheet: _Sheet) -> tuple[Family, tuple[str, ...]]:
    found = [
        (family, texts)
        for family, texts in (
            (Family.TOOLS, rule.tools),
            (Family.RESOURCES, rule.resources),
            (Family.PROMPTS, rule.prompts),
        )
        if texts is not None
    ]
    if len(found) == 1:
        return found[0]
    if found:
        names = " and ".join(f"`{family}`" for family, _ in found)
        sheet.error(path, f"rule `{rule.name}` has {names}, write one rule for each")
        return found[0]
    sheet.error(path, f"rule `{rule.name}` names nothing, add `tools`, `resources` or `prompts`")
    return Family.TOOLS, ()


def _named_limits(
    rule: written.Rule, limits: Mapping[str, rules.Limit], path: Path, sheet: _Sheet
) -> tuple[rules.Limit, ...]:
    found: dict[str, rules.Limit] = {}
    for index, name in enumerate(rule.limits):
        place = (*path, "limits", index)
        if name in found:
            sheet.error(place, f"limit `{name}` is named twice, name it once")
        elif name in limits:
            found[name] = limits[name]
        else:
            hint = advice(name, list(limits)) if limits else "add it to `spec.limits`"
            sheet.error(place, f"unknown limit `{name}`, {hint}")
    pers = {limit.per for limit in found.values()}
    if rules.Per.SESSION in pers and not pers & {rules.Per.POD, rules.Per.AGENT}:
        sheet.warning((*path, "limits"), f"rule `{rule.name}` is limited per Session only, and "
                      "the agent chooses its session, add a limit per Pod or Agent")  # fmt: skip
    return tuple(found.values())


def _limits(limits: Sequence[written.Limit], sheet: _Sheet) -> dict[str, rules.Limit]:
    found: dict[str, rules.Limit] = {}
    for index, limit in enumerate(limits):
        path = (*_LIMITS, index)
        if limit.name in found:
            sheet.error((*path, "name"), f"two limits are named `{limit.name}`, rename one")
        if limit.name == LOOPS:
            sheet.error((*path, "name"), f"`{LOOPS}` is the name of the policy's loops, "
                        "choose another")  # fmt: skip
        _check_window(limit.window, (*path, "window"), sheet)
        found[limit.name] = rules.Limit(
            id=f"{sheet.id}/{limit.name}",
            per=rules.Per(limit.per),
            maximum=limit.max,
            window=limit.window,
            on_store_loss=rules.StoreLoss(limit.on_store_loss),
        )
    return found


def _loop(loops: written.Loops | None, sheet: _Sheet) -> rules.Loop | None:
    if loops is None:
        return None
    _check_window(loops.window, ("spec", "loops", "window"), sheet)
    return rules.Loop(
        id=rules.RuleId(f"{sheet.id}/{LOOPS}"),
        per=rules.Per(loops.per),
        identical=loops.identical,
        window=loops.window,
        action=rules.Action(loops.action),
        approval=_approval(written.Approval()),
    )


def _check_window(window: timedelta | None, path: Path, sheet: _Sheet) -> None:
    if window is not None and window < SMALLEST_WINDOW:
        sheet.error(path, "the window is shorter than a second, the least is `1s`")


def _rule_approval(
    rule: written.Rule, action: rules.Action, path: Path, sheet: _Sheet
) -> rules.Approval | None:
    if action is not rules.Action.REQUIRE_APPROVAL:
        if rule.approval is not None:
            sheet.error((*path, "approval"), f"rule `{rule.name}` answers `{rule.action}`, "
                        "`approval` belongs to `RequireApproval`, remove one of them")  # fmt: skip
        return None
    approval = rule.approval or written.Approval()
    for name, span in (("timeout", approval.timeout), ("useWithin", approval.use_within)):
        if span is not None and span < SMALLEST_TIMEOUT:
            sheet.error((*path, "approval", name), f"`{name}` is shorter than a second, "
                        "the least is `1s`")  # fmt: skip
    return _approval(approval)


def _approval(approval: written.Approval) -> rules.Approval:
    grantable = approval.grantable
    return rules.Approval(
        groups=approval.groups,
        count=approval.count,
        timeout=DEFAULT_TIMEOUT if approval.timeout is None else approval.timeout,
        use_within=DEFAULT_USE_WITHIN if approval.use_within is None else approval.use_within,
        hold=approval.hold,
        grantable=None if grantable is None else rules.Grantable(
            maximum_duration=grantable.max_duration, maximum_uses=grantable.max_uses
        ),
    )  # fmt: skip


def _check_names(spec: written.AgentPolicySpec, sheet: _Sheet) -> None:
    first: dict[str, int] = {}
    for index, rule in enumerate(spec.rules):
        if rule.name in first:
            where = sheet.document.where(*_RULES, first[rule.name], "name")
            sheet.error((*_RULES, index, "name"), f"two rules are named `{rule.name}`, the first "
                        f"in {where}, rename one")  # fmt: skip
        first.setdefault(rule.name, index)
    named = {name for rule in spec.rules for name in rule.limits}
    if named - {limit.name for limit in spec.limits}:
        # A misspelt name is told already; the limit it meant is not idle.
        return
    for index, limit in enumerate(spec.limits):
        if limit.name not in named:
            sheet.warning((*_LIMITS, index, "name"), f"limit `{limit.name}` is named by no rule, "
                          "it limits nothing")  # fmt: skip


def _check_dead(
    compiled: Sequence[rules.Rule], rules_written: Sequence[written.Rule], sheet: _Sheet
) -> None:
    # A rule of an Audit policy counts as enforcing beside its neighbours: the policy may be
    # switched to Enforce as it stands. One whose `when` did not compile is left out.
    if any(
        len(one.patterns) < len(_texts(rule))
        for one, rule in zip(compiled, rules_written, strict=True)
    ):
        # A malformed glob is told already, and without it nothing here would be true.
        return
    speaks = [one.mode != "Audit" and one.when is None for one in rules_written]
    for dead in dead_rules.find_dead(compiled, speaks):
        rule, other = rules_written[dead.position], rules_written[dead.covered_by]
        where = sheet.document.where(*_RULES, dead.covered_by)
        sheet.error((*_RULES, dead.position), f"rule `{rule.name}` can never speak: rule "
                    f"`{other.name}` in {where} already matches all that it names, "
                    "move it up or remove it")  # fmt: skip


def _texts(rule: written.Rule) -> tuple[str, ...]:
    return (*(rule.tools or ()), *(rule.resources or ()), *(rule.prompts or ()))


def _check_layer(spec: written.AgentPolicySpec, sheet: _Sheet) -> None:
    if sheet.document.is_baseline:
        return
    if spec.namespace_selector is not None:
        sheet.error(("spec", "namespaceSelector"), "`namespaceSelector` is for baseline policies "
                    "only, remove it or move the policy to `baseline/`")  # fmt: skip
    if spec.default_action == "None":
        sheet.error(("spec", "defaultAction"), "`None` is for baseline policies only, write "
                    "`Deny`, `RequireApproval` or `Allow`")  # fmt: skip


def _said_of_arguments(spec: written.AgentPolicySpec) -> rules.ArgumentRecord | None:
    """A policy without `record` leaves it to others; one with it means its default, too."""
    if "record" not in spec.model_fields_set:
        return None
    return rules.ArgumentRecord(spec.record.arguments)


def _check_redact(paths: Sequence[str], sheet: _Sheet) -> None:
    for index, path in enumerate(paths):
        if not _JSON_PATH.fullmatch(path):
            sheet.error(("spec", "record", "redact", index), f"`{path}` is no JSONPath that can "
                        "be used, write one such as `$.token` or `$.items[*].secret`")  # fmt: skip
