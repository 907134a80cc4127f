"""Which documents belong to the bundle: one namespace and the baseline, each name once.

Pure: no clock, no network, no logging.
"""

import re
import unicodedata
from collections.abc import Sequence

from mesh7_core import names
from mesh7_core.api.manifests import Document
from mesh7_core.api.objects import DNS_LABEL
from mesh7_core.compiling.diagnostics import Diagnostic, Findings, Severity

_NAMESPACE = re.compile(DNS_LABEL)
_PATH = ("metadata", "namespace")


def choose(
    documents: Sequence[Document], namespace: str | None, release: str, findings: Findings
) -> tuple[str, tuple[Document, ...]]:
    """The namespace that is meant, and the documents that bear on it.

    Args:
        documents: in any order.
        namespace: asked for; None = the only one that the documents name, else `default`.
        release: the release namespace, where the baseline is.
        findings: told of what does not fit.
    """
    if namespace is not None and not _NAMESPACE.fullmatch(namespace):
        findings.diagnostics.append(Diagnostic(
            severity=Severity.ERROR, file="", line=0, path="",
            message=f"namespace `{namespace}` is no DNS label, write lower-case letters, digits "
            "and inner dashes",
        ))  # fmt: skip
    _check_baseline(documents, release, findings)
    chosen = namespace if namespace is not None else _named(documents, findings)
    kept = []
    for document in documents:
        is_elsewhere = document.namespace not in (None, chosen) and not document.is_baseline
        if is_elsewhere and namespace is not None:
            message = f"namespace `{document.namespace}` is not `{chosen}`, left out"
            findings.note(document, _PATH, message)
        else:
            kept.append(document)
    _check_names(kept, findings)
    return chosen, tuple(kept)


def _named(documents: Sequence[Document], findings: Findings) -> str:
    """The namespace that the documents outside the baseline name; two are an error."""
    chosen: str | None = None
    for document in documents:
        if document.is_baseline or document.namespace is None:
            continue
        if chosen is None:
            chosen = document.namespace
        elif document.namespace != chosen:
            findings.error(document, _PATH, f"namespaces `{chosen}` and `{document.namespace}` in "
                           "one set, choose one with `--namespace`")  # fmt: skip
    return chosen if chosen is not None else names.DEFAULT_NAMESPACE


def _check_baseline(documents: Sequence[Document], release: str, findings: Findings) -> None:
    for document in documents:
        if not document.is_baseline:
            if document.namespace == release:
                findings.error(document, _PATH, f"what is in `{release}` is the "
                               f"baseline, move it to `{names.BASELINE_FOLDER}/`")  # fmt: skip
            continue
        if document.namespace not in (None, release):
            findings.error(document, _PATH, f"the baseline is in namespace "
                           f"`{release}`, remove `namespace` or move the "
                           f"file")  # fmt: skip
        if document.kind != names.AGENT_POLICY:
            findings.error(document, ("kind",), f"the baseline holds `{names.AGENT_POLICY}` only, "
                           "move the file")  # fmt: skip


def _check_names(documents: Sequence[Document], findings: Findings) -> None:
    """Two objects of a kind and layer with one name, however it is spelled."""
    first: dict[tuple[str, bool, str], Document] = {}
    for document in documents:
        if not document.name:
            continue
        folded = unicodedata.normalize("NFKC", document.name).casefold()
        other = first.setdefault((document.kind, document.is_baseline, folded), document)
        if other is document:
            continue
        line = other.line("metadata", "name")
        place = f"line {line}" if other.file == document.file else f"{other.file}:{line}"
        place = place if line else f"`{other.file}`"
        how = "has the same name as" if other.name == document.name else "reads like"
        findings.error(document, ("metadata", "name"), f"{document.kind} `{document.name}` {how} "
                       f"`{other.name}` in {place}, rename one")  # fmt: skip
