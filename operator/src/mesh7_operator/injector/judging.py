"""Is it right? One object, judged by the compiler that the sidecar trusts.

Pure: no clock, no network, no logging.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mesh7_core import names
from mesh7_core.api.manifests import Document
from mesh7_core.compiling import compiler
from mesh7_core.compiling.diagnostics import Code, Diagnostic, Severity
from mesh7_core.delivery import payloads
from mesh7_operator.injector import applied, reviews
from mesh7_operator.injector.reviews import Cause, Review, Verdict
from mesh7_operator.reconciling import bounds

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class PolicyRef:
    """Whose rules a Grant relaxes."""

    namespace: str
    name: str


def policy_of(review: Review, release_namespace: str) -> PolicyRef | None:
    """The policy that must be read before a Grant can be judged; None = none, or it may be none.

    A veto needs no policy: whoever stops something waits for nobody.
    """
    written = review.spec.get("policyRef")
    if review.kind != names.GRANT or not is_decision(review) or not isinstance(written, dict):
        return None
    namespace, name = written.get("namespace"), written.get("name")
    if namespace not in {review.namespace, release_namespace} or not isinstance(name, str):
        return None
    return PolicyRef(str(namespace), name) if _is_name(name) else None


def is_decision(review: Review) -> bool:
    """Whether only some people may make it: a permission, or an answer to a held call.

    A no counts, too: it ends what others may be saying yes to. So does what says neither Allow nor
    Deny; what is left is a veto.
    """
    return review.spec.get("effect") != "Deny" or is_answer(review)


def is_answer(review: Review) -> bool:
    """Whether it answers one held call."""
    return review.spec.get("requestRef") is not None or review.spec.get("digest") is not None


def is_unchanged(review: Review) -> bool:
    """Whether nothing that is compiled changes: labels, finalizers and the like do.

    What is being deleted, or was stored under older rules, must not be stuck as it is.
    """
    return review.before is not None and review.before.get("spec") == review.value.get("spec")


def judge(
    review: Review, release_namespace: str, policy: Mapping[str, object] | None = None
) -> Verdict:
    """Whether it may be stored.

    Args:
        review: the question.
        release_namespace: what is in it is the baseline.
        policy: the one that `policy_of` names; None = there is none.
    """
    unfinished = applied.unfinished(review)
    if unfinished:
        return reviews.invalid(*unfinished)
    if is_unchanged(review):
        return reviews.Allowed()
    excess = _excess(review)
    if excess:
        message = f"{excess}: a namespace may not have so many, all its objects together"
        return reviews.invalid(Cause(path="spec", message=message))
    is_baseline = review.namespace == release_namespace
    if is_baseline and review.kind != names.AGENT_POLICY:
        return reviews.invalid(
            Cause(
                path="metadata.namespace",
                message=f"`{release_namespace}` holds baseline policies and no {review.kind}, "
                "put it into the namespace of its agents",
            )
        )
    document = payloads.document_of(review.value, is_baseline=is_baseline)
    documents = [document]
    if policy is not None:
        documents.append(_policy_document(policy, review, release_namespace))
    compiled = compiler.compile_set(
        documents,
        namespace=names.DEFAULT_NAMESPACE if is_baseline else review.namespace,
        in_cluster=True,
        release_namespace=release_namespace,
    )
    return _verdict(document, compiled.diagnostics)


def _excess(review: Review) -> str:
    """What the controller would compile nothing of, either."""
    if review.kind == names.GRANT:
        return bounds.excess_of_grants([review.value])
    if review.kind == names.AGENT_POLICY:
        return bounds.excess_of_policies([review.value], [])
    return bounds.excess_of_policies([], [review.value])


def _policy_document(
    policy: Mapping[str, object], review: Review, release_namespace: str
) -> Document:
    read = payloads.document_of({**policy, "kind": names.AGENT_POLICY,
                                 "apiVersion": names.API_VERSION})  # fmt: skip
    is_baseline = read.namespace == release_namespace != review.namespace
    return payloads.document_of(read.value, is_baseline=is_baseline)


def _verdict(document: Document, diagnostics: tuple[Diagnostic, ...]) -> Verdict:
    # What is said of no file is said of the namespace, so of this object, too.
    own = [one for one in diagnostics if one.file in {document.file, ""}]
    causes = [
        Cause(path=one.path, message=one.message) for one in own if one.severity is Severity.ERROR
    ]
    warnings = tuple(
        ": ".join(filter(None, (one.path, one.message)))
        for one in own
        if one.severity is Severity.WARNING
    )
    if not causes:
        return reviews.Allowed(warnings=warnings)
    is_policy_unknown = any(one.code == Code.UNKNOWN_POLICY for one in own)
    broken = [one for one in diagnostics if one.severity is Severity.ERROR and one not in own]
    if is_policy_unknown and broken:
        said = f"the policy is there but does not compile: {broken[0].path}: {broken[0].message}"
        causes.append(Cause(path="spec.policyRef", message=said))
    return reviews.invalid(*causes, warnings=warnings)


def _is_name(name: str) -> bool:
    """Whether it can be an object's, and stand in a path of the API server."""
    return _NAME.fullmatch(name) is not None
