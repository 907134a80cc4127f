"""The digest of one exact call, made alike by the sidecar that asks and the operator that answers.

An approval is for one digest. Taken in are who asks, the tool and where it is, a mark of all that
is forwarded, the tool's definition, and the compiled form of each rule that asks; so anything that
is changed asks again, and an edit elsewhere in the policies voids nothing.
Pure: no clock, no network, no logging.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from datetime import timedelta
from typing import Final

from mesh7_core.policy import canonical
from mesh7_core.policy.rules import Action, Approval, Limit, Policy, Rule, RuleId
from mesh7_core.policy.voices import Kind, Voice

FORM: Final = "mesh7-call-2"
"""Names this way of making digests; another way gets another name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactCall:
    """All that a digest binds beside the rules that ask; the order of the fields is part of it.

    Attributes:
        uid: of the pod; empty on a laptop. A pod that is made anew under its old name is another.
        tool: `<source>.<tool>`.
        source: digest of where the source's calls go (`policy.destination`).
        mark: of what is forwarded, by `mark_of`.
        definition: digest of the tool's definition; empty when it has none.
        salt: the sidecar's; people never see it. Without it whoever sees a digest could try out
            what was masked.
    """

    namespace: str
    service_account: str
    pod: str
    uid: str
    family: str
    tool: str
    source_kind: str
    source_host: str
    source: str
    mark: str
    definition: str
    salt: str


def mark_of(form: str, text: str) -> str:
    """What is forwarded, as a form and a digest of its canonical text.

    Forms are told apart: arguments named `arguments` and `task` are no params of that name.
    """
    return f"{form}:{hashlib.sha256(text.encode()).hexdigest()}"


def is_marked(mark: str, text: str) -> bool:
    """Whether a mark is of this text, whatever its form."""
    return mark == mark_of(mark.partition(":")[0], text)


def digest(call: ExactCall, asking: Iterable[str]) -> str:
    """`sha256:` and 64 hex digits over one exact call.

    Args:
        call: who asks for what.
        asking: the rules that ask, as `asked_rules` writes them; their order does not matter.
    """
    # A list of texts: no part can run over into the next.
    parts = (FORM, *astuple(call), *sorted(asking))
    return "sha256:" + hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def asked_rules(policies: Iterable[Policy], asked: Sequence[Voice]) -> tuple[str, ...]:
    """The compiled form of each rule that asks, written out; the same after any restart."""
    known = {policy.id: policy for policy in policies}
    return tuple(canonical.written(_rule(known.get(one.policy), one)) for one in asked)


def asking_voice(policy: Policy, rule: RuleId) -> Voice | None:
    """The voice of one rule, default or loop of `policy` when it asks people; None: it does not."""
    found = next((one for one in policy.rules if one.id == rule), None)
    if found is not None:
        parts = (found.limits, found.approval, found.text)
        return _asks(Voice(found.id, found.action, Kind.RULE, *parts))
    if rule == f"{policy.id}/default":
        approval = policy.default_approval
        return _asks(Voice(rule, policy.default_action, Kind.DEFAULT, approval=approval))
    loop = policy.loop
    if loop is not None and loop.id == rule:
        return _asks(Voice(loop.id, loop.action, Kind.RULE, approval=loop.approval))
    return None


def _asks(voice: Voice) -> Voice | None:
    return voice if voice.action is Action.REQUIRE_APPROVAL else None


def _rule(policy: Policy | None, voice: Voice) -> dict[str, object]:
    said: dict[str, object] = {
        "id": voice.id,
        "action": voice.action.value,
        "approval": None if voice.approval is None else _approval(voice.approval),
        "limits": [_limit(one) for one in voice.limits],
    }
    if policy is None:
        return said
    rule = next((one for one in policy.rules if one.id == voice.id), None)
    if rule is not None:
        said |= _matching(rule)
    loop = policy.loop
    if loop is not None and loop.id == voice.id:
        said["loop"] = [loop.per.value, loop.identical, _milliseconds(loop.window)]
    return said


def _matching(rule: Rule) -> dict[str, object]:
    return {
        "family": rule.family.value,
        "patterns": sorted(one.text for one in rule.patterns),
        "when": None if rule.condition is None else rule.condition.text,
    }


def _approval(approval: Approval) -> dict[str, object]:
    grantable = approval.grantable
    return {
        "groups": sorted(approval.groups),
        "count": approval.count,
        "timeout": _milliseconds(approval.timeout),
        "useWithin": _milliseconds(approval.use_within),
        "hold": _milliseconds(approval.hold),
        "grantable": None
        if grantable is None
        else [_milliseconds(grantable.maximum_duration), grantable.maximum_uses],
    }


def _limit(limit: Limit) -> list[object]:
    return [
        limit.id,
        limit.per.value,
        limit.maximum,
        _milliseconds(limit.window),
        limit.on_store_loss.value,
    ]


def _milliseconds(span: timedelta | None) -> int | None:
    return None if span is None else span // timedelta(milliseconds=1)
