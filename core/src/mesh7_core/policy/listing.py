"""What lists show: a name unless every call to it would be denied.

Pure: no clock, no network, no logging.
"""

from collections.abc import Sequence

from mesh7_core.policy.calls import Family
from mesh7_core.policy.rules import Action
from mesh7_core.policy.view import Candidate, Plan, Stand
from mesh7_core.policy.voices import Kind


def is_listed(plan: Plan) -> bool:
    """Every rule could speak that conditions let speak; the layers' chances are then combined.

    Vetoes hide nothing: who calls what was stopped is told so, and lists need no clock.
    """
    baseline, namespace = (_chances(*layer) for layer in plan.enforced.layers)
    passing = {(one, other) for one in baseline for other in namespace}
    is_tool = plan.family is Family.TOOLS
    return any(
        Kind.RULE in pair or Kind.AUDIT_ONLY in pair or (is_tool and Kind.DEFAULT in pair)
        for pair in passing
    )


def _chances(stand: Stand, policies: Sequence[Sequence[Candidate]]) -> set[Kind | None]:
    """What a layer may come to short of a Deny: a rule, a default, or None for silence."""
    if not all(_can_avoid_denial(candidates) for candidates in policies):
        return set()
    chances: set[Kind | None] = set()
    if any(_can_pass(candidates) for candidates in policies):
        chances.add(Kind.RULE)
    if all(candidates[-1].condition is not None for candidates in policies):
        if not stand.defaults:
            chances.add(None)
        elif stand.defaults[0].action is not Action.DENY:
            chances.add(stand.defaults[0].kind)
    return chances


def _can_pass(candidates: Sequence[Candidate]) -> bool:
    return any(one.rule.action is not Action.DENY for one in candidates)


def _can_avoid_denial(candidates: Sequence[Candidate]) -> bool:
    return _can_pass(candidates) or candidates[-1].condition is not None
