"""Grant from written to meant. Grants are served together with approvals, and not before.

Pure: no clock, no network, no logging.
"""

from collections.abc import Collection

from mesh7_core.api import grants as written
from mesh7_core.api.manifests import Document
from mesh7_core.api.suggestions import advice
from mesh7_core.compiling.texts import Parser
from mesh7_core.policy import bundle


def compile_grant(
    grant: written.Grant, document: Document, namespace: str, policies: Collection[str],
    parser: Parser,
) -> bundle.Grant | None:  # fmt: skip
    """One standing grant; None for one that answers a held call, or when it cannot be served.

    Args:
        grant: as written.
        document: where it is written.
        namespace: the effective one.
        policies: ids of the set's policies.
        parser: of the same document; its findings are added to.
    """
    spec, findings = grant.spec, parser.findings
    if spec.effect == "Deny":
        # A veto that is read and not kept would let through what somebody stopped.
        findings.error(document, ("spec", "effect"), "effect `Deny` is not supported yet, write a "
                       "Deny rule into a policy")  # fmt: skip
        return None
    _check_shape(spec, document, parser)
    findings.warning(document, ("spec",), "grants are not served yet: until then nothing is "
                     "granted")  # fmt: skip
    policy = ""
    if spec.policy_ref is not None:
        policy = f"{spec.policy_ref.namespace}/{spec.policy_ref.name}"
        if policy not in policies:
            findings.warning(document, ("spec", "policyRef"), f"unknown policy `{policy}`, "
                             f"{advice(policy, policies)}")  # fmt: skip
    patterns = parser.name_globs(spec.tools or (), ("spec", "tools"))
    condition = parser.condition(spec.when, ("spec", "when"))
    if spec.request_ref is not None:
        return None
    return bundle.Grant(
        id=f"{namespace}/{grant.metadata.name}",
        effect=bundle.Effect(spec.effect),
        service_account=spec.subject.service_account or "",
        pod=spec.subject.pod or "",
        patterns=patterns,
        policy=policy,
        expires_at=spec.expires_at,
        maximum_uses=spec.max_uses,
        condition=condition,
    )


def _check_shape(spec: written.GrantSpec, document: Document, parser: Parser) -> None:
    findings = parser.findings
    subjects = [one for one in (spec.subject.service_account, spec.subject.pod) if one]
    if len(subjects) != 1:
        findings.error(document, ("spec", "subject"), "name exactly one of `serviceAccount` and "
                       "`pod`")  # fmt: skip
    is_exact = spec.request_ref is not None or spec.digest is not None
    if is_exact == (spec.tools is not None):
        findings.error(document, ("spec",), "name either `tools`, or `requestRef` with `digest`")
    elif is_exact and (spec.request_ref is None or spec.digest is None):
        findings.error(document, ("spec",), "`requestRef` and `digest` belong together, write both")
    for name, value in (("expiresAt", spec.expires_at), ("policyRef", spec.policy_ref)):
        if value is None:
            findings.error(document, ("spec",), f"`{name}` is missing, effect `Allow` needs it")
    if spec.granted_by is not None and spec.granted_by.stamp:
        findings.warning(document, ("spec", "grantedBy"), "`grantedBy` is filled in by a cluster's "
                         "admission, here it means nothing")  # fmt: skip
