"""What people ask for in a hurry, written out as a Grant: a permission for a while, or a veto.

Pure: no clock, no network, no logging.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mesh7_core import names
from mesh7_core.api.quantities import spell_duration
from mesh7_core.api.suggestions import advice
from mesh7_core.compiling import grants
from mesh7_core.policy.globs import BadGlob, NameGlob
from mesh7_core.policy.rules import Action, Mode, Policy, Rule

Manifest = dict[str, object]
"""A `kind: Grant`, ready for `json.dumps`."""

_LONGEST_REASON = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A permission as somebody asks for it.

    Attributes:
        tool: a full name, or a glob.
        service_account: of the agent that it is for.
        lasts: from now.
        uses: None = as often as it likes.
        when: CEL, None = every call.
        policy: `<namespace>/<policy>` or its last part; None = the only one that asks.
    """

    tool: str
    service_account: str
    lasts: timedelta
    reason: str
    uses: int | None = None
    when: str | None = None
    policy: str | None = None


@dataclass(frozen=True, slots=True)
class Undrafted:
    """No grant can be made of it; `why` is for people: small first letter, no full stop."""

    why: str


def draft(
    wish: Wish, policies: Iterable[Policy], *, namespace: str, suffix: str, now: datetime
) -> Manifest | Undrafted:
    """The Grant that does what is wished for; `grants.compile_standing` has the last word on it.

    Args:
        wish: what somebody asks for.
        policies: that bear on the agent (`AgentView.policies`), or all when it is not known.
        namespace: of the bundle.
        suffix: random letters and digits, that make the name `hand-…` unique.
        now: by the clock that the grant will be judged by.
    """
    wrong = _wrong(wish)
    if wrong:
        return Undrafted(wrong)
    chosen = _chosen(wish, list(policies))
    if isinstance(chosen, Undrafted):
        return chosen
    policy_namespace, _, policy_name = chosen.id.rpartition("/")
    return _manifest(namespace, suffix, now, {
        "effect": "Allow",
        "subject": {"serviceAccount": wish.service_account},
        "tools": [wish.tool],
        **({} if wish.when is None else {"when": wish.when}),
        "policyRef": {"namespace": policy_namespace, "name": policy_name},
        "expiresAt": _spelled(now + wish.lasts),
        **({} if wish.uses is None else {"maxUses": wish.uses}),
        "reason": wish.reason.strip(),
    })  # fmt: skip


def is_asked_by(policies: Iterable[Policy], wish: Wish) -> bool:
    """Whether any of the policies asks people about what is wished for."""
    return not _wrong(wish) and any(_asking(one, wish) for one in policies)


def veto(
    service_account: str | None, reason: str, *, namespace: str, suffix: str, now: datetime
) -> Manifest:
    """The Grant that stops every call of an agent, or of all; until it is revoked.

    Args:
        service_account: None = every agent of the namespace.
        reason: cut to what a manifest takes, for nothing may keep a kill from working.
        namespace: of the bundle.
        suffix: random letters and digits, that make the name `hand-…` unique.
        now: when it is made.
    """
    words = "".join(sign if sign.isprintable() else " " for sign in reason).split()
    text = " ".join(words)[:_LONGEST_REASON]
    return _manifest(namespace, suffix, now, {
        "effect": "Deny",
        "subject": {} if service_account is None else {"serviceAccount": service_account},
        "tools": ["*"],
        **({"reason": text} if text else {}),
    })  # fmt: skip


def _manifest(namespace: str, suffix: str, now: datetime, spec: Manifest) -> Manifest:
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.GRANT,
        "metadata": {
            "name": f"hand-{suffix}",
            "namespace": namespace,
            "creationTimestamp": _spelled(now),
        },
        "spec": spec,
    }


def _spelled(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _wrong(wish: Wish) -> str:
    """What is wrong with the wish whatever the policies say; empty when nothing is."""
    if not wish.reason.strip():
        return "a grant needs a reason, write one that others will understand"
    if wish.lasts <= timedelta():
        return "a grant has to last for some time, write a duration such as `30m`"
    if wish.uses is not None and wish.uses < 1:
        return f"a grant cannot be used {wish.uses} times, write 1 or more"
    try:
        NameGlob.parse(wish.tool)
    except BadGlob as error:
        return error.message
    return ""


def _chosen(wish: Wish, policies: Sequence[Policy]) -> Policy | Undrafted:
    """The one policy that asks and lets itself be relaxed as far as is wished."""
    if wish.policy is not None:
        policies = [one for one in policies if wish.policy in (one.id, one.id.rpartition("/")[2])]
    if wish.policy is not None and len(policies) != 1:
        return _not_one(wish.policy, policies)
    found = [(one, rules) for one in policies if (rules := _asking(one, wish))]
    if not found:
        return Undrafted(_nobody_asks(wish, policies))
    if len(found) > 1:
        those = " and ".join(f"`{policy.id}`" for policy, _ in found)
        return Undrafted(f"policies {those} ask about `{wish.tool}`, name one with --policy; a "
                         "call that several ask about needs a grant for each")  # fmt: skip
    policy, rules = found[0]
    # What could be asked for differently is told before what could not be asked for at all.
    rules.sort(key=lambda rule: rule.approval is None or rule.approval.grantable is None)
    objections = [_objection(rule, wish) for rule in rules]
    return policy if "" in objections else Undrafted(objections[0])


def _not_one(policy: str, found: Sequence[Policy]) -> Undrafted:
    if not found:
        return Undrafted(f"no policy `{policy}` bears on the agent, `mesh7 explain` names those "
                         "that do")  # fmt: skip
    return Undrafted(f"`{policy}` is several policies, {advice(policy, [one.id for one in found])}")


def _asking(policy: Policy, wish: Wish) -> list[Rule]:
    accounts = policy.selector.service_accounts
    if accounts and not any(glob.matches(wish.service_account) for glob in accounts):
        return []
    asking = grants.asking(policy, [NameGlob.parse(wish.tool)])
    return [rule for rule in asking if rule.mode is Mode.ENFORCE]


def _nobody_asks(wish: Wish, policies: Sequence[Policy]) -> str:
    by_default = [
        one.id
        for one in policies
        if one.default_action is Action.REQUIRE_APPROVAL and one.mode is Mode.ENFORCE
    ]
    if by_default:
        return (
            f"only the `defaultAction` of policy `{by_default[0]}` asks about `{wish.tool}`, and "
            "no grant stands in for that, write a RequireApproval rule with `grantable`"
        )
    return f"no rule asks people about `{wish.tool}`, so there is nothing to grant"


def _objection(rule: Rule, wish: Wish) -> str:
    """Why the rule does not let itself be relaxed so far; empty when it does."""
    grantable = None if rule.approval is None else rule.approval.grantable
    if grantable is None:
        return f"rule `{rule.id}` cannot be relaxed, add `grantable` to its `approval`"
    if wish.lasts > grantable.maximum_duration:
        span = spell_duration(grantable.maximum_duration)
        return f"rule `{rule.id}` lets a grant last {span} at most, ask for no longer"
    most = grantable.maximum_uses
    if most is not None and (wish.uses is None or wish.uses > most):
        return f"rule `{rule.id}` lets a grant be used {most} times at most, say how often"
    return ""
