"""Names in rules held against the sources there are: a misspelt one would match nothing.

Pure: no clock, no network, no logging.
"""

from collections.abc import Sequence

from mesh7_core.api.manifests import Document
from mesh7_core.api.suggestions import advice
from mesh7_core.compiling.diagnostics import Findings
from mesh7_core.policy.bundle import Source
from mesh7_core.policy.rules import Layer, Policy


def check_sources(
    policies: Sequence[tuple[Policy, Document]],
    sources: Sequence[tuple[Source, Document]],
    findings: Findings,
) -> None:
    """Warn of globs whose source part names no source of the set.

    A set without sources is checked on its own, and a baseline bears on namespaces of which this
    set knows nothing: both are left alone.
    """
    known = sorted({source.name for source, _ in sources})
    if not known:
        return
    for policy, document in policies:
        if policy.layer is Layer.BASELINE:
            continue
        for position, rule in enumerate(policy.rules):
            for index, glob in enumerate(rule.patterns):
                if not any(glob.source.matches(name) for name in known):
                    path = ("spec", "rules", position, rule.family.value, index)
                    findings.warning(document, path, f"glob `{glob.text}` matches no source, "
                                     f"{advice(glob.source.text, known)}")  # fmt: skip
