"""Each pod of each document, judged; and the documents with what becomes of them.

Pure: no clock, no network, no logging.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mesh7_cli import reading
from mesh7_cli.injecting import documents, templates
from mesh7_cli.injecting.documents import Document
from mesh7_cli.injecting.surroundings import Surroundings
from mesh7_cli.injecting.templates import Template
from mesh7_core.injection.inject import inject
from mesh7_core.injection.outcomes import Injected, Outcome, Refused, Skipped


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One pod.

    Attributes:
        namespace: where it would be made.
    """

    document: Document
    template: Template
    namespace: str
    outcome: Outcome

    @property
    def place(self) -> str:
        """`web.yaml:12: deployment/web`, as compilers say it."""
        return f"{self.document.file}:{self.document.line}: {self.template.shown}"


def namespaces_of(found: Iterable[Document], default: str) -> list[str]:
    """Every namespace that gets a pod, in order."""
    return list(
        dict.fromkeys(
            one.namespace or default
            for document in found
            for one in templates.templates(document.value)
        )
    )


def judge(found: Iterable[Document], surroundings: Surroundings, default: str) -> list[Judged]:
    """What becomes of each pod.

    Args:
        default: the namespace of what names none.
    """
    judged = []
    for document in found:
        for template in templates.templates(document.value):
            name = template.namespace or default
            outcome = inject(
                template.pod,
                surroundings.namespaces[name],
                surroundings.settings,
                surroundings.clusters[name],
            )
            judged.append(
                Judged(document=document, template=template, namespace=name, outcome=outcome)
            )
    return judged


def values(found: Sequence[Document], judged: Sequence[Judged]) -> list[object]:
    """The documents with guarded pods."""
    return [_value(document, judged) for document in found]


def texts(found: Sequence[Document], judged: Sequence[Judged]) -> str:
    """The same as YAML; documents in which nothing changed are as they were written."""
    parts = []
    for document in found:
        value = _value(document, judged)
        parts.append(document.text if value == document.value else documents.written(value))
    return documents.joined(parts)


def rows(judged: Iterable[Judged]) -> list[list[str]]:
    """Of a table: namespace, object, outcome, level, reason."""
    return [[one.namespace, one.template.shown, *_cells(one.outcome)] for one in judged]


def lines(judged: Iterable[Judged]) -> list[str]:
    """What people should read: refusals first of all, then warnings, each with its place."""
    refusals: list[str] = []
    warnings: list[str] = []
    for one in judged:
        if isinstance(one.outcome, Refused):
            for problem in one.outcome.problems:
                field = one.template.field(problem.path)
                where = f"{one.place}: {field}" if field else one.place
                refusals.append(f"{where}: {problem.message} ({problem.reason.value})")
        else:
            warnings.extend(f"{one.place}: warning: {text}" for text in one.outcome.warnings)
    return [*refusals, *warnings]


def objects(judged: Iterable[Judged]) -> list[dict[str, object]]:
    """For programs."""
    return [
        {
            "file": one.document.file,
            "line": one.document.line,
            "kind": one.template.kind,
            "name": one.template.name,
            "namespace": one.namespace,
            **_fields(one),
        }
        for one in judged
    ]


def is_refused(judged: Iterable[Judged]) -> bool:
    """Whether any pod may not be."""
    return any(isinstance(one.outcome, Refused) for one in judged)


def _value(document: Document, judged: Iterable[Judged]) -> object:
    value = document.value
    for one in judged:
        if one.document is document and isinstance(one.outcome, Injected):
            value = templates.replaced(value, one.template, one.outcome.pod)
    return value


def _cells(outcome: Outcome) -> tuple[str, str, str]:
    match outcome:
        case Injected(level=level):
            return "guarded", level.value, "-"
        case Skipped(reason=skip):
            return "left alone", "-", skip.value
        case Refused():
            return (
                "refused",
                "-",
                ", ".join(dict.fromkeys(problem.reason.value for problem in outcome.problems)),
            )


def _fields(judged: Judged) -> dict[str, object]:
    outcome = judged.outcome
    match outcome:
        case Injected():
            return {
                "outcome": "guarded",
                "level": outcome.level.value,
                "warnings": list(outcome.warnings),
            }
        case Skipped():
            return {
                "outcome": "left alone",
                "reason": outcome.reason.value,
                "warnings": list(outcome.warnings),
            }
        case Refused():
            problems: list[object] = [
                {
                    "reason": one.reason.value,
                    "path": judged.template.field(one.path),
                    "message": one.message,
                }
                for one in outcome.problems
            ]
            return {"outcome": "refused", "reason": outcome.reason.value, "problems": problems}


def listed(found: Sequence[object]) -> object:
    """Documents as one value of JSON: the one there is, or a List of their objects."""
    if len(found) == 1:
        return found[0]
    items: list[object] = []
    for one in found:
        is_list = isinstance(one, dict) and reading.text(one, "kind") == "List"
        items.extend(reading.objects(one, "items") if is_list and isinstance(one, dict) else [one])
    return {"apiVersion": "v1", "kind": "List", "items": items}
