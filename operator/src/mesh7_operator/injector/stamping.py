"""Who made it? `grantedBy` of a new Grant as the API server knows it, and our stamp on it.

A stamp means: admission saw it, and whoever made it had the verb `approve` on its policy.

Pure: no clock, no network, no logging.
"""

from collections.abc import Mapping
from typing import Final

from mesh7_core import errors, names
from mesh7_core.delivery import keys, stamps
from mesh7_operator.injector import judging, reviews
from mesh7_operator.injector.judging import PolicyRef
from mesh7_operator.injector.reviews import Cause, Review, Verdict

_SERVICE_ACCOUNT: Final = "system:serviceaccount:"
_PLACE: Final = "/spec/grantedBy"
_OWNERS: Final = "/metadata/ownerReferences"


def account_namespace(review: Review) -> str:
    """The namespace of the service account that decides something; empty = a person, or a veto."""
    username = review.maker.username
    if not judging.is_decision(review) or not username.startswith(_SERVICE_ACCOUNT):
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


def refuse_maker(review: Review, ref: PolicyRef) -> Verdict:
    """The cluster does not let its maker approve anything of that policy."""
    return reviews.forbidden(
        f"spec.policyRef: `{review.maker.username}` has no verb `approve` on agentpolicy "
        f"`{ref.name}` in namespace `{ref.namespace}` (ClusterRole mesh7-approver); ask somebody "
        "who has, see docs/administrator/approvers.md"
    )


def without_policy(review: Review, release_namespace: str) -> Verdict:
    """It names no policy that could be meant, so there is nobody who may make it: no stamp."""
    if not isinstance(review.spec.get("policyRef"), dict):
        # The schema refuses it with better words.
        return stamp(review, None, None)
    message = (
        f"names no agentpolicy of namespace `{review.namespace}` or of `{release_namespace}`, "
        "write the namespace and name of the policy that asks"
    )
    return reviews.invalid(Cause(path="spec.policyRef", message=message))


def stamp(
    review: Review, policy: Mapping[str, object] | None, key: keys.SigningKey | None
) -> Verdict:
    """Fill in `grantedBy`, over anything that was written there; an answer goes with its request.

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
    filled: dict[str, object] = {"op": "add", "path": _PLACE, "value": granted_by}
    return reviews.Allowed(patch=(filled, *_owned(review, spec)))


_NAMELESS: Final = Cause(
    path="metadata.name",
    message="is missing, and what is to be stamped needs a name of its own; write one instead of "
    "`generateName`",
)


def _owned(review: Review, spec: Mapping[str, object]) -> tuple[dict[str, object], ...]:
    """What makes an answer go with its ApprovalRequest; nothing when it does already."""
    ref = spec.get("requestRef")
    name, uid = (ref.get("name"), ref.get("uid")) if isinstance(ref, dict) else (None, None)
    if not (isinstance(name, str) and isinstance(uid, str)):
        return ()
    owner = {
        "apiVersion": names.API_VERSION, "kind": names.APPROVAL_REQUEST, "name": name, "uid": uid,
    }  # fmt: skip
    metadata = review.value["metadata"]
    owners = metadata.get("ownerReferences") if isinstance(metadata, dict) else None
    if not isinstance(owners, list):
        return ({"op": "add", "path": _OWNERS, "value": [owner]},)
    if any(isinstance(one, dict) and owner.items() <= one.items() for one in owners):
        return ()
    return ({"op": "add", "path": f"{_OWNERS}/-", "value": owner},)


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
