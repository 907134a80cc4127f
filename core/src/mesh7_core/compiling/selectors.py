"""Label selectors from written to meant.

Pure: no clock, no network, no logging.
"""

from mesh7_core.api import objects
from mesh7_core.api.manifests import Document
from mesh7_core.api.places import Path
from mesh7_core.compiling.diagnostics import Findings
from mesh7_core.policy import rules
from mesh7_core.policy.globs import TextGlob

_WITH_VALUES = ("In", "NotIn")


def compile_selector(
    written: objects.LabelSelector,
    service_accounts: tuple[TextGlob, ...],
    document: Document,
    path: Path,
    findings: Findings,
) -> rules.Selector:
    """A selector; requirements that mean nothing are errors."""
    for index, expression in enumerate(written.match_expressions):
        place = (*path, "matchExpressions", index, "values")
        if expression.operator in _WITH_VALUES and not expression.values:
            findings.error(document, place, f"`{expression.operator}` needs at least one value")
        if expression.operator not in _WITH_VALUES and expression.values:
            findings.error(document, place, f"`{expression.operator}` takes no values, remove them")
    return rules.Selector(
        match_labels=tuple(sorted(written.match_labels.items())),
        match_expressions=tuple(
            rules.LabelRequirement(
                key=expression.key, operator=expression.operator, values=expression.values
            )
            for expression in written.match_expressions
        ),
        service_accounts=service_accounts,
    )
