"""A namespace's set with whatever is broken in it fenced off, so that the rest stays in force.

A policy that does not compile denies what it selects, a veto that does not compile stops its
subject, a source or permission that does not compile is left out: what is broken never allows more.
Pure: no clock, no network, no logging.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from mesh7_core import names
from mesh7_core.api.manifests import Document
from mesh7_core.api.places import value_at
from mesh7_core.compiling import compiler, fences, standing
from mesh7_core.compiling.diagnostics import Code, Diagnostic, Severity
from mesh7_core.policy.bundle import Bundle

MOST_PASSES: Final = 4
"""The first finds what is broken, the second the permissions that hung on it; then nothing is."""

_NAMING_A_POLICY: Final = (Code.UNKNOWN_POLICY, Code.BEYOND_GRANTABLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fenced:
    """A set that compiles.

    Attributes:
        documents: what is in force, fences among it. Baseline policies that do not select the
            namespace and grants that answer one held call are left out.
        diagnostics: all that the compiler says of what was written, by `Document.file`; under an
            empty name what is said of no file.
        refused: files of what was fenced or left out because of an error.
    """

    documents: tuple[Document, ...]
    diagnostics: Mapping[str, tuple[Diagnostic, ...]]
    refused: frozenset[str]


def fence(
    documents: Sequence[Document],
    namespace: str,
    namespace_labels: Mapping[str, str],
    release_namespace: str = names.RELEASE_NAMESPACE,
) -> Fenced:
    """Compile, fence off what is broken, and again, until nothing is.

    An error that is nobody's, and one that comes back, end in a policy that denies everything.

    Args:
        documents: policies of both layers, sources and standing grants, each with a `file` of its
            own; what is of another namespace is left out.
        namespace: whose sidecars it is for.
        namespace_labels: of the Namespace.
        release_namespace: where the baseline is.
    """
    current = tuple(
        one for one in documents if one.is_baseline or one.namespace in (None, namespace)
    )
    told: list[Diagnostic] = []
    refused: set[str] = set()
    for _ in range(MOST_PASSES):
        compiled = compiler.compile_set(
            current, namespace=namespace, namespace_labels=namespace_labels, in_cluster=True,
            release_namespace=release_namespace,
        )  # fmt: skip
        errors = [one for one in compiled.diagnostics if one.severity is Severity.ERROR]
        # Later passes are about fences too, which nobody wrote.
        told += [one for one in errors if one.file not in refused] if refused else (
            compiled.diagnostics
        )  # fmt: skip
        if compiled.bundle is not None:
            in_force = _bearing(current, compiled.bundle, release_namespace)
            return _fenced(in_force, _explained(told, documents, refused), refused)
        wrong = {one.file for one in errors}
        if not wrong <= {one.file for one in current} - refused:
            break
        stand_ins = (one if one.file not in wrong else _stand_in(one) for one in current)
        current = tuple(one for one in stand_ins if one is not None)
        refused |= wrong
    return _fenced((fences.of_everything(namespace),), told, refused)


def _stand_in(broken: Document) -> Document | None:
    """None = it is left out."""
    if broken.kind == names.AGENT_POLICY:
        return fences.of_policy(broken)
    if broken.kind == names.GRANT and not standing.is_permission(broken.value):
        return fences.of_veto(broken)
    return None


def _bearing(documents: Iterable[Document], bundle: Bundle, release: str) -> tuple[Document, ...]:
    """Without what compiled to nothing."""
    policies = {one.id for one in bundle.policies}
    grants = {one.id for one in bundle.grants}
    return tuple(
        one
        for one in documents
        if not (one.is_baseline and f"{release}/{one.name}" not in policies)
        and not (one.kind == names.GRANT and f"{bundle.namespace}/{one.name}" not in grants)
    )


def _explained(
    told: Iterable[Diagnostic], documents: Iterable[Document], refused: Collection[str]
) -> list[Diagnostic]:
    """A grant's error about a policy that is refused itself says so."""
    policies = {
        (one.namespace, one.name)
        for one in documents
        if one.kind == names.AGENT_POLICY and one.file in refused
    }
    hanging = {
        one.file: f"policy `{namespace}/{name}` is refused itself, mend it first"
        for one in documents
        if one.kind == names.GRANT
        for namespace, name in [_policy_of(one)]
        if (namespace, name) in policies
    }
    return [
        replace(one, message=hanging[one.file], code=Code.UNKNOWN_POLICY)
        if one.file in hanging and one.code in _NAMING_A_POLICY
        else one
        for one in told
    ]


def _policy_of(grant: Document) -> tuple[object, object]:
    reference = value_at(grant.value, ("spec", "policyRef"))
    return value_at(reference, ("namespace",)), value_at(reference, ("name",))


def _fenced(
    documents: tuple[Document, ...], told: Iterable[Diagnostic], refused: Collection[str]
) -> Fenced:
    by_file: dict[str, list[Diagnostic]] = {}
    for one in told:
        by_file.setdefault(one.file, []).append(one)
    return Fenced(
        documents=documents,
        diagnostics={file: tuple(found) for file, found in by_file.items()},
        refused=frozenset(refused),
    )
