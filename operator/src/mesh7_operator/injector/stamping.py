"""Who made it? `grantedBy` of a new Grant as the API server knows it, and our stamp on it.

Pure: no clock, no network, no logging.
"""

from collections.abc import Mapping
from typing import Final

from mesh7_core import errors
from mesh7_core.delivery import keys, stamps
from mesh7_operator.injector import judging, reviews
from mesh7_operator.injector.reviews import Cause, Review, Verdict

_SERVICE_ACCOUNT: Final = "system:serviceaccount:"
_PLACE: Final = "/spec/grantedBy"


def account_namespace(review: Review) -> str:
    """The namespace of the service account that makes a permission; empty = a person, or a veto."""
    username = review.maker.username
    if not judging.is_allow(review) or not username.startswith(_SERVICE_ACCOUNT):
        return ""
    return username.removeprefix(_SERVICE_ACCOUNT).partition(":")[0]


def refuse_account(review: Review) -> Verdict:
    """The maker is an agent, or could be one: who asks cannot approve."""
    namespace = account_namespace(review)
    return reviews.forbidden(
        f"`{review.maker.username}` is a service account of the guarded namespace `{namespace}`, "
        "and agents approve nothing; let a person make the grant, or an account of another "
        "namespace"
    )


def stamp(
    review: Review, policy: Mapping[str, object] | None, key: keys.SigningKey | None
) -> Verdict:
    """Fill in `grantedBy`, over anything that was written there.

    Args:
        review: about a Grant that is new.
        policy: the one that it relaxes; None = there is none, which the judge refuses.
        key: the stamp key; None = a veto, which needs no stamp.
    """
    spec = review.value.get("spec")
    if not isinstance(spec, dict):
        # The schema refuses it with better words.
        return reviews.Allowed()
    granted_by = _granted_by(review, policy)
    if key is not None:
        try:
            made = {**review.value, "spec": {**spec, "grantedBy": granted_by}}
            granted_by = {**granted_by, "stamp": stamps.stamp(made, key)}
        except errors.ManifestError:
            return reviews.invalid(_NAMELESS)
    return reviews.Allowed(patch=({"op": "add", "path": _PLACE, "value": granted_by},))


_NAMELESS: Final = Cause(
    path="metadata.name",
    message="is missing, and what is to be stamped needs a name of its own; write one instead of "
    "`generateName`",
)


def _granted_by(review: Review, policy: Mapping[str, object] | None) -> dict[str, object]:
    maker = review.maker
    named = _groups_named(policy or {})
    found: dict[str, object] = {"username": maker.username}
    if maker.uid:
        found["uid"] = maker.uid
    if groups := sorted(named.intersection(maker.groups)):
        found["groups"] = groups
    return found


def _groups_named(policy: Mapping[str, object]) -> set[str]:
    """Groups that some rule of the policy asks for; all others are nobody's business."""
    spec = policy.get("spec")
    rules = spec.get("rules") if isinstance(spec, dict) else None
    found: set[str] = set()
    for rule in rules if isinstance(rules, list) else ():
        approval = rule.get("approval") if isinstance(rule, dict) else None
        groups = approval.get("groups") if isinstance(approval, dict) else None
        listed = groups if isinstance(groups, list) else ()
        found.update(one for one in listed if isinstance(one, str))
    return found
