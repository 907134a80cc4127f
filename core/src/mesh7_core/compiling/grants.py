"""Grant from written to meant: a standing permission within its rule's bounds, or a veto.

Pure: no clock, no network, no logging.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime

from mesh7_core import names
from mesh7_core.api import grants as written
from mesh7_core.api import manifests
from mesh7_core.api.manifests import Document
from mesh7_core.api.places import Path
from mesh7_core.api.quantities import spell_duration
from mesh7_core.api.suggestions import advice
from mesh7_core.compiling.diagnostics import Code, Findings, Severity
from mesh7_core.compiling.texts import Parser
from mesh7_core.policy import bundle, rules, standing
from mesh7_core.policy.calls import Family
from mesh7_core.policy.globs import NameGlob

MAXIMUM_CHARACTERS = 64 * 1024
"""Of a document made by hand: the control API takes less, in any spelling of it."""
MOST_ADVISED = 10
"""Findings of a set, after which is not looked any more which policy a grant may have meant; and
rules of which is told why a grant does not stand in for them."""
MAXIMUM_COMPARED = 1_500_000
"""Characters of globs, when those of a grant are held against those of the rules it relaxes: more
take longer than an admission may."""
MAXIMUM_DEPTH = 16
"""How deep its objects and lists may lie in each other; a manifest needs four."""

_MADE: Path = ("metadata", "creationTimestamp")
_POLICY: Path = ("spec", "policyRef")
_TOOLS: Path = ("spec", "tools")


def compile_grant(
    grant: written.Grant, document: Document, namespace: str, policies: Mapping[str, rules.Policy],
    parser: Parser, *, in_cluster: bool,
) -> bundle.Grant | None:  # fmt: skip
    """One grant or veto; None for one that answers a held call. Of use only without errors.

    Args:
        grant: as written.
        document: where it is written.
        namespace: the effective one.
        policies: of the set, by id.
        parser: of the same document; its findings are added to.
        in_cluster: admission said who made it; elsewhere what it says of that means nothing.
    """
    spec = grant.spec
    effect = bundle.Effect(spec.effect)
    _check_shape(spec, document, parser.findings)
    patterns = parser.name_globs(spec.tools or (), _TOOLS)
    condition = parser.condition(spec.when, ("spec", "when"))
    policy = ""
    is_exact = spec.request_ref is not None or spec.digest is not None
    if (effect is bundle.Effect.ALLOW or is_exact) and spec.policy_ref is not None:
        policy = f"{spec.policy_ref.namespace}/{spec.policy_ref.name}"
        if policy not in policies:
            is_first = len(parser.findings.diagnostics) < MOST_ADVISED
            hint = (
                "there is no policy" if not policies
                else advice(policy, list(policies)) if is_first
                else "see the names of the policies"
            )  # fmt: skip
            parser.findings.error(
                document, ("spec", "policyRef"), f"unknown policy `{policy}`, {hint}",
                Code.UNKNOWN_POLICY,
            )  # fmt: skip
    compiled = bundle.Grant(
        id=f"{namespace}/{grant.metadata.name}",
        effect=effect,
        service_account=spec.subject.service_account or "",
        pod=spec.subject.pod or "",
        patterns=patterns,
        policy=policy,
        expires_at=spec.expires_at,
        maximum_uses=spec.max_uses if effect is bundle.Effect.ALLOW else None,
        condition=condition,
        reason=spec.reason or "",
        created_at=_created_at(grant.metadata.creation_timestamp, document, parser.findings),
        groups=_groups(spec) if in_cluster and effect is bundle.Effect.ALLOW else None,
    )
    if is_exact:
        return None
    if policy in policies and patterns:
        _check_bounds(compiled, policies[policy], document, parser.findings)
    return compiled


def _groups(spec: written.GrantSpec) -> tuple[str, ...]:
    return () if spec.granted_by is None else spec.granted_by.groups


def read_standing(text: str) -> Mapping[str, object] | None:
    """What a document made by hand says; None for one that is no JSON object, or is too much.

    Anybody may write to a store, so nothing of it is looked at that is too long or too deep.
    """
    try:
        found = json.loads(text) if len(text) <= MAXIMUM_CHARACTERS else None
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and _is_flat(found) else None


def _is_flat(found: object) -> bool:
    """Whether nothing lies deeper than `MAXIMUM_DEPTH`; level by level, without recursion."""
    level = [found]
    for _ in range(MAXIMUM_DEPTH):
        level = [
            below
            for each in level
            if isinstance(each, dict | list)
            for below in (each.values() if isinstance(each, dict) else each)
        ]
    return not level


def compile_standing(text: str, in_force: bundle.Bundle) -> bundle.Grant | tuple[str, ...]:
    """A grant or veto made by hand while a gateway runs; or what is wrong with it.

    Args:
        text: one manifest as JSON.
        in_force: the bundle whose policies it is about.
    """
    if read_standing(text) is None:
        most = f"{MAXIMUM_CHARACTERS} characters and {MAXIMUM_DEPTH} levels"
        return (f"it is no JSON object of at most {most}",)
    reading = manifests.read_file("grant.json", text.encode("utf-8", "replace"))
    if reading.problems:
        return tuple(problem.message for problem in reading.problems)
    if [one.kind for one in reading.documents] != [names.GRANT]:
        return (f"it is not one manifest of kind `{names.GRANT}`",)
    policies = {one.id: one for one in in_force.policies}
    compiled = compile_document(reading.documents[0], in_force.namespace, policies)
    if compiled is None:
        return ("it answers one held call and stands for no other",)
    return compiled


def compile_document(
    document: Document, namespace: str, policies: Mapping[str, rules.Policy], *,
    in_cluster: bool = False,
) -> bundle.Grant | tuple[str, ...] | None:  # fmt: skip
    """A grant or veto beside a bundle; or what is wrong with it; None = it answers a held call.

    Args:
        document: of kind Grant.
        namespace: the bundle's.
        policies: the bundle's, by id.
        in_cluster: see `compile_grant`.
    """
    if document.namespace not in (None, namespace):
        return (f"namespace `{document.namespace}` is not `{namespace}`",)
    grant = manifests.validate(document, written.Grant, document.value)
    if isinstance(grant, list):
        return tuple(f"{one.path}: {one.message}" for one in grant)
    findings = Findings()
    parser = Parser(document, findings)
    compiled = compile_grant(
        grant, document, namespace, policies, parser, in_cluster=in_cluster
    )  # fmt: skip
    wrong = [one for one in findings.in_order() if one.severity is Severity.ERROR]
    return tuple(f"{one.path}: {one.message}" for one in wrong) or compiled


def asking(policy: rules.Policy, patterns: Sequence[NameGlob]) -> list[rules.Rule]:
    """The policy's rules that ask people about some tool that the globs name."""
    return [
        rule
        for rule in policy.rules
        if rule.action is rules.Action.REQUIRE_APPROVAL
        and rule.family is Family.TOOLS
        and any(one.meets(other) for one in rule.patterns for other in patterns)
    ]


def _created_at(text: str | None, document: Document, findings: Findings) -> datetime | None:
    if text is None:
        return None
    try:
        return written.parse_moment(text)
    except ValueError as error:
        findings.error(document, _MADE, str(error))
        return None


def check_place(spec: written.GrantSpec, document: Document, findings: Findings) -> None:
    """Warn of what only a cluster gives a meaning."""
    if spec.request_ref is not None and spec.digest is not None:
        findings.warning(document, ("spec",), "it answers one held call of a cluster, here it "
                         "means nothing")  # fmt: skip
    if spec.granted_by is not None and spec.granted_by.stamp:
        findings.warning(document, ("spec", "grantedBy"), "`grantedBy` is filled in by a cluster's "
                         "admission, here it means nothing")  # fmt: skip


def _check_shape(spec: written.GrantSpec, document: Document, findings: Findings) -> None:
    is_exact = spec.request_ref is not None or spec.digest is not None
    if is_exact and (spec.request_ref is None or spec.digest is None):
        findings.error(document, ("spec",), "`requestRef` and `digest` belong together, write both")
    if is_exact and spec.tools is not None:
        findings.error(document, ("spec",), "name either `tools`, or `requestRef` with `digest`")
    if spec.unseen and not is_exact:
        findings.error(document, ("spec", "unseen"), "only an answer to a held call can be "
                       "`unseen`, write `requestRef` and `digest` or remove it")  # fmt: skip
    if is_exact:
        _check_answer(spec, document, findings)
    elif spec.effect == "Allow":
        _check_permission(spec, document, findings)
    else:
        _check_veto(spec, document, findings)


def _check_answer(spec: written.GrantSpec, document: Document, findings: Findings) -> None:
    """A yes or a no: it is for one call, so nothing is left that could be bounded further."""
    if spec.policy_ref is None:
        findings.error(document, ("spec",), "`policyRef` is missing, an answer to a held call "
                       "needs it")  # fmt: skip
    if not spec.subject.pod or spec.subject.service_account:
        findings.error(document, ("spec", "subject"), "name the `pod` alone, an answer to a held "
                       "call is for that one")  # fmt: skip
    for name, value in (("when", spec.when), ("maxUses", spec.max_uses)):
        if value is not None:
            findings.error(document, ("spec", name), f"an answer to a held call has no use for "
                           f"`{name}`, remove it")  # fmt: skip


def _check_permission(spec: written.GrantSpec, document: Document, findings: Findings) -> None:
    if len([one for one in (spec.subject.service_account, spec.subject.pod) if one]) != 1:
        findings.error(document, ("spec", "subject"), "name exactly one of `serviceAccount` and "
                       "`pod`")  # fmt: skip
    if spec.tools is None:
        findings.error(document, ("spec",), "name either `tools`, or `requestRef` with `digest`")
    needed = (
        ("expiresAt", spec.expires_at is not None),
        ("policyRef", spec.policy_ref is not None),
        ("reason", bool(spec.reason and spec.reason.strip())),
    )
    for name, is_there in needed:
        if not is_there:
            findings.error(document, ("spec",), f"`{name}` is missing, effect `Allow` needs it")


def _check_veto(spec: written.GrantSpec, document: Document, findings: Findings) -> None:
    """What a veto cannot use is a warning: an error would keep it from stopping anything."""
    if spec.subject.service_account and spec.subject.pod:
        findings.error(document, ("spec", "subject"), "name at most one of `serviceAccount` and "
                       "`pod`; `{}` stops every agent")  # fmt: skip
    for name, value in (("policyRef", spec.policy_ref), ("maxUses", spec.max_uses)):
        if value is not None:
            findings.warning(document, ("spec", name), f"effect `Deny` has no use for `{name}`, "
                             "remove it")  # fmt: skip


def _check_bounds(
    grant: bundle.Grant, policy: rules.Policy, document: Document, findings: Findings
) -> None:
    """Whether any rule lets itself be relaxed by the grant; what needs a clock is judged later."""
    asked = asking(policy, [NameGlob.parse("*")])
    if not any(_grantable(rule) for rule in asked):
        findings.error(document, ("spec", "policyRef"), f"no rule of policy `{policy.id}` can be "
                       "relaxed, add `grantable` to the `approval` of one",
                       Code.BEYOND_GRANTABLE)  # fmt: skip
        return
    relaxed = [(rule, found) for rule in asked if (found := _grantable(rule)) is not None]
    if _comparisons([rule for rule, _ in relaxed], grant.patterns) > MAXIMUM_COMPARED:
        findings.error(document, _TOOLS, f"holding them against all rules of policy `{policy.id}` "
                       "would take too long, name fewer tools", Code.BEYOND_GRANTABLE)  # fmt: skip
        return
    bounded = []
    idle = set(range(len(grant.patterns)))
    for rule, found in relaxed:
        met = {at for at, glob in enumerate(grant.patterns)
               if any(one.meets(glob) for one in rule.patterns)}  # fmt: skip
        idle -= met
        if met:
            bounded.append((rule, found))
    for index in sorted(idle):
        findings.warning(document, (*_TOOLS, index), f"no grantable rule of policy "
                         f"`{policy.id}` is about `{grant.patterns[index].text}`")  # fmt: skip
    _check_widest(grant, _answered(grant, bounded, document, findings), document, findings)


def _answered(
    grant: bundle.Grant, bounded: Sequence[tuple[rules.Rule, rules.Grantable]],
    document: Document, findings: Findings,
) -> list[tuple[rules.Rule, rules.Grantable]]:  # fmt: skip
    """Those for which its maker's word does; of the others it is told why not."""
    barred = {
        rule.id: why
        for rule, _ in bounded
        if rule.approval is not None and (why := standing.barred(grant, rule.approval))
    }
    answered = [pair for pair in bounded if pair[0].id not in barred]
    for rule, why in list(barred.items())[:MOST_ADVISED]:
        message = f"it does not stand in for rule `{rule}`: {why}"
        if answered:
            findings.warning(document, _POLICY, message)
        else:
            findings.error(document, _POLICY, message, Code.BEYOND_GRANTABLE)
    return answered


def _comparisons(asked: Sequence[rules.Rule], patterns: Sequence[NameGlob]) -> int:
    """Characters that are read when each glob is held against each."""
    others = [one for rule in asked for one in rule.patterns]
    lengths = [sum(16 + len(one.text) for one in globs) for globs in (others, patterns)]
    return lengths[0] * len(patterns) + lengths[1] * len(others)


def _check_widest(
    grant: bundle.Grant, bounded: Sequence[tuple[rules.Rule, rules.Grantable]],
    document: Document, findings: Findings,
) -> None:  # fmt: skip
    if not bounded:
        return
    rule, widest = max(bounded, key=lambda pair: pair[1].maximum_uses or 1 << 62)
    most = widest.maximum_uses
    if most is not None and (grant.maximum_uses is None or grant.maximum_uses > most):
        findings.error(document, ("spec", "maxUses"), f"rule `{rule.id}` lets a grant be used "
                       f"{most} times at most, write `maxUses: {most}` or less",
                       Code.BEYOND_GRANTABLE)  # fmt: skip
    rule, widest = max(bounded, key=lambda pair: pair[1].maximum_duration)
    _check_length(grant, rule, widest, document, findings)


def _check_length(
    grant: bundle.Grant, rule: rules.Rule, grantable: rules.Grantable, document: Document,
    findings: Findings,
) -> None:  # fmt: skip
    place: Path = ("spec", "expiresAt")
    span = spell_duration(grantable.maximum_duration)
    if grant.expires_at is None:
        return
    if grant.created_at is None:
        findings.note(document, place, "without `metadata.creationTimestamp` the grant is in force "
                      f"for the last {span} before its end, as rule `{rule.id}` lets a grant last "
                      f"{span} at most")  # fmt: skip
    elif grant.expires_at <= grant.created_at:
        findings.error(document, place, "it ends before it was made, write a later time")
    elif grant.expires_at - grant.created_at > grantable.maximum_duration:
        findings.error(document, place, f"rule `{rule.id}` lets a grant last {span} at most from "
                       "`metadata.creationTimestamp`, write an earlier time",
                       Code.BEYOND_GRANTABLE)  # fmt: skip


def _grantable(rule: rules.Rule) -> rules.Grantable | None:
    return None if rule.approval is None else rule.approval.grantable
