"""A yes or a no to one held call, as the Grants that say it: one for each policy that asks.

Pure: no clock, no network, no logging.
"""

from collections.abc import Callable, Mapping
from typing import Final

from mesh7_cli import cards, exits, neutral, reading
from mesh7_cli.approving import records
from mesh7_cli.backend import Object, Pin
from mesh7_core import names

EFFECTS: Final = {"approve": records.YES, "deny": records.NO}
_LONGEST_PART: Final = 24


def objection(verb: str, value: Mapping[str, object], *, unseen: bool) -> exits.RefusedError | None:
    """Why nobody can say that to the ApprovalRequest; None = somebody may."""
    found = records.request(value)
    name, state = neutral.line(str(found["id"])), str(found["state"])
    if state != cards.PENDING:
        return exits.RefusedError(f"request `{name}` {neutral.line(_past(value, state))}")
    if verb == "approve" and not unseen and (note := cards.cut_note(found)):
        look = f"kubectl mesh7 show {name} -n {neutral.line(str(found['namespace']))}"
        return exits.RefusedError(
            f"request `{name}`: {note} – look at what there is with `{look}`; a yes is for all of "
            "it, and needs --unseen"
        )
    if not policies(value):
        return exits.RefusedError(
            f"request `{name}` names no rule that asks – see its `spec.rules`"
        )
    return None


def mistaken(value: Mapping[str, object], pin: Pin) -> exits.RefusedError | None:
    """That the ApprovalRequest is not the one that somebody saw; None = it is.

    Whoever writes to a namespace's Redis can have a name stand for another call a moment later.
    """
    found = records.request(value)
    if all(not one or one == found[key] for key, one in (("uid", pin.uid), ("digest", pin.digest))):
        return None
    name = neutral.line(str(found["id"]))
    look = f"kubectl mesh7 show {name} -n {neutral.line(str(found['namespace']))}"
    return exits.RefusedError(
        f"request `{name}` is for another call than the one that was looked at, nothing is said "
        f"to it – look at what it is now with `{look}`"
    )


def policies(value: Mapping[str, object]) -> list[str]:
    """`<namespace>/<policy>` of each policy that asks."""
    rules = reading.objects(value, "spec", "rules")
    found = (records.policy_of(reading.text(one, "rule")) for one in rules)
    return list(dict.fromkeys(one for one in found if "/" in one))


def manifests(
    verb: str,
    value: Mapping[str, object],
    reason: str,
    new_suffix: Callable[[], str],
    *,
    unseen: bool,
) -> list[Object]:
    """The Grants that say it.

    Args:
        verb: `approve` or `deny`.
        value: the ApprovalRequest.
        new_suffix: a few random letters, that make a name unique.
        unseen: the person decides without having seen all of the arguments.
    """
    request, where, uid = (
        reading.text(value, "metadata", key) for key in ("name", "namespace", "uid")
    )
    is_cut = records.request(value)["unseen"] is True
    made: list[Object] = []
    for policy in policies(value):
        of, _, name = policy.partition("/")
        part = name[:_LONGEST_PART].rstrip("-.")
        spec: Object = {
            "effect": EFFECTS[verb],
            "subject": {"pod": reading.text(value, "spec", "pod", "name")},
            "requestRef": {"name": request, "uid": uid},
            "digest": reading.text(value, "spec", "digest"),
            "policyRef": {"namespace": of, "name": name},
            **({"unseen": True} if unseen and is_cut and verb == "approve" else {}),
            **({"reason": reason} if reason.strip() else {}),
        }
        made.append(
            {
                "apiVersion": names.API_VERSION,
                "kind": names.GRANT,
                "metadata": {"name": f"{request}-{part}-{new_suffix()}", "namespace": where},
                "spec": spec,
            }
        )
    return made


def _past(value: Mapping[str, object], state: str) -> str:
    """What became of it, in the controller's words, which name who decided and when."""
    conditions = reading.objects(value, "status", "conditions")
    ready = next((one for one in conditions if reading.text(one, "type") == "Ready"), {})
    return reading.text(ready, "message") or f"is {state} already"
