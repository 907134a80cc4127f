"""The compiler: a set of manifests → one frozen bundle, or everything that is wrong with it.

Never raises on what people write. One error keeps the whole set from being used.
Pure: no clock, no network, no logging.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeVar

from mesh7_core import names
from mesh7_core.api import grants as written_grants
from mesh7_core.api import manifests
from mesh7_core.api import policies as written_policies
from mesh7_core.api import sources as written_sources
from mesh7_core.api.manifests import Document
from mesh7_core.api.objects import Model
from mesh7_core.api.places import Path
from mesh7_core.compiling import (
    cluster,
    folder,
    layout,
    selectors,
)
from mesh7_core.compiling import (
    environment as variables,
)
from mesh7_core.compiling.credentials import Secrets, check_credentials, read_secret
from mesh7_core.compiling.diagnostics import Diagnostic, Findings, Severity
from mesh7_core.compiling.digest import digest
from mesh7_core.compiling.grants import check_place, compile_grant
from mesh7_core.compiling.policies import compile_policy
from mesh7_core.compiling.references import check_sources
from mesh7_core.compiling.sources import compile_source
from mesh7_core.compiling.texts import Parser
from mesh7_core.policy import rules, view
from mesh7_core.policy.bundle import Bundle, Grant, Source
from mesh7_core.policy.conditions import Condition

Kind = TypeVar("Kind", bound=Model)

_NOTHING = Diagnostic(
    severity=Severity.WARNING,
    file="",
    line=0,
    path="",
    message="no manifest found: every call is denied, write one that ends in `.yaml` or `.json`",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """What a set came to.

    Attributes:
        bundle: None when any diagnostic is an error.
        diagnostics: by file and line.
        credentials: values of the Secret `mesh7-tool-credentials` by key; not in any repr.
    """

    bundle: Bundle | None
    diagnostics: tuple[Diagnostic, ...]
    credentials: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)


def compile_files(
    files: Mapping[str, bytes],
    *,
    namespace: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Compiled:
    """Compile a folder.

    Args:
        files: content by path relative to the folder, with `/`; what is no manifest is left out.
        namespace: as for `compile_set`.
        environment: as for `compile_set`.
    """
    reading = folder.read(files)
    compiled = compile_set(reading.documents, namespace=namespace, environment=environment)
    findings = Findings(list(compiled.diagnostics))
    for problem in reading.problems:
        findings.problem(problem, Severity.ERROR)
    for note in reading.notes:
        findings.problem(note, Severity.NOTE)
    if not (reading.documents or reading.problems):
        findings.diagnostics.append(_NOTHING)
    return replace(
        compiled,
        bundle=None if reading.problems else compiled.bundle,
        diagnostics=findings.in_order(),
    )


def compile_set(
    documents: Iterable[Document],
    *,
    namespace: str | None = None,
    environment: Mapping[str, str] | None = None,
    namespace_labels: Mapping[str, str] | None = None,
    in_cluster: bool = False,
    release_namespace: str = names.RELEASE_NAMESPACE,
) -> Compiled:
    """Compile one namespace's documents together with the baseline's.

    Args:
        documents: in any order.
        namespace: whose agents the bundle is for; None = the one that the documents name, else
            `default`.
        environment: what `${NAME}` in a ToolSource is read from; None = such text is left as it
            stands (in a cluster).
        namespace_labels: what a baseline's `namespaceSelector` is matched against, beside the
            namespace's name.
        in_cluster: refuse what is served on a laptop only, with `Code.NOT_SERVED_IN_CLUSTER`,
            and believe `grantedBy` of Grants, which admission fills in.
        release_namespace: where the baseline is.
    """
    findings = Findings()
    # Cases lie beside policies as tests beside sources; they bear on nothing.
    meant = tuple(one for one in documents if one.kind != names.POLICY_CASES)
    chosen, kept = layout.choose(meant, namespace, release_namespace, findings)
    labels = {**(namespace_labels or {}), names.NAMESPACE_NAME_LABEL: chosen}
    run = _Run(
        namespace=chosen, labels=labels, environment=environment, findings=findings,
        in_cluster=in_cluster, release_namespace=release_namespace,
    )  # fmt: skip
    policies = run.policies(kept)
    sources = run.sources(kept)
    grants = run.grants(kept, policies)
    secrets = run.secrets(kept)
    check_sources(policies, sources, findings)
    if not in_cluster:
        # There the Secret is in no set, and no environment holds credentials.
        check_credentials(sources, secrets, findings)
    bundle = Bundle(
        namespace=chosen,
        digest=digest(chosen, kept),
        policies=tuple(sorted((one for one, _ in policies), key=lambda one: one.id)),
        sources=MappingProxyType({one.name: one for one, _ in _by_name(sources)}),
        grants=tuple(sorted(grants, key=lambda one: one.id)),
    )
    return Compiled(
        bundle=None if findings.has_errors() else bundle,
        diagnostics=findings.in_order(),
        credentials=MappingProxyType(dict(secrets.values)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """One compilation: what all kinds need."""

    namespace: str
    labels: Mapping[str, str]
    environment: Mapping[str, str] | None
    findings: Findings
    in_cluster: bool
    release_namespace: str

    def policies(self, documents: Iterable[Document]) -> list[tuple[rules.Policy, Document]]:
        found = []
        compiled_conditions: dict[str, Condition] = {}
        for document, policy in self._of(documents, written_policies.AgentPolicy):
            parser = Parser(document, self.findings, compiled_conditions)
            namespace = self.release_namespace if document.is_baseline else self.namespace
            compiled = compile_policy(policy, document, namespace, parser)
            if self._is_for_namespace(policy, document):
                found.append((compiled, document))
        return found

    def sources(self, documents: Iterable[Document]) -> list[tuple[Source, Document]]:
        found = []
        for document, source in self._of(documents, written_sources.ToolSource):
            if self.in_cluster and not cluster.is_served(source.spec, document, self.findings):
                continue
            compiled = compile_source(source, document, Parser(document, self.findings))
            if compiled is not None:
                found.append((compiled, document))
        return found

    def grants(
        self, documents: Iterable[Document], policies: Iterable[tuple[rules.Policy, Document]]
    ) -> list[Grant]:
        known = {policy.id: policy for policy, _ in policies}
        found = []
        for document, grant in self._of(documents, written_grants.Grant):
            parser = Parser(document, self.findings)
            if not self.in_cluster:
                check_place(grant.spec, document, self.findings)
            compiled = compile_grant(
                grant, document, self.namespace, known, parser, in_cluster=self.in_cluster
            )
            if compiled is not None:
                found.append(compiled)
        return found

    def secrets(self, documents: Iterable[Document]) -> Secrets:
        secrets = Secrets()
        for document, secret in self._of(documents, written_grants.CredentialsSecret):
            secrets = read_secret(secret, document, self.findings)
        return secrets

    def _of(
        self, documents: Iterable[Document], model: type[Kind]
    ) -> Iterable[tuple[Document, Kind]]:
        """The documents of a kind that are valid; the others' problems become findings."""
        kind = manifests.kind_of(model)
        for document in documents:
            if document.kind != kind:
                continue
            filled = self._filled(document)
            if filled is None:
                continue
            result = manifests.validate(document, model, filled)
            if isinstance(result, list):
                for problem in result:
                    self.findings.problem(problem, Severity.ERROR)
            else:
                yield document, result

    def _filled(self, document: Document) -> dict[str, object] | None:
        """The document with `${NAME}` filled in; None when that failed, which is then told."""
        if self.environment is None or document.kind != names.TOOL_SOURCE:
            return document.value
        refused: list[tuple[Path, str]] = []
        spec = variables.fill(
            document.value.get("spec"),
            self.environment,
            ("spec",),
            lambda path, message: refused.append((path, message)),
        )
        for path, message in refused:
            self.findings.error(document, path, message)
        if refused:
            return None
        return {**document.value, "spec": spec} if "spec" in document.value else document.value

    def _is_for_namespace(self, policy: written_policies.AgentPolicy, document: Document) -> bool:
        selector = policy.spec.namespace_selector
        if selector is None:
            return True
        place = ("spec", "namespaceSelector")
        compiled = selectors.compile_selector(selector, (), document, place, self.findings)
        if view.selects_labels(compiled, self.labels):
            return True
        self.findings.note(document, place, f"does not select namespace `{self.namespace}`, the "
                           "policy is left out")  # fmt: skip
        return False


def _by_name(sources: list[tuple[Source, Document]]) -> list[tuple[Source, Document]]:
    return sorted(sources, key=lambda pair: pair[0].name)
