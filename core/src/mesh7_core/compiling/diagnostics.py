"""What the compiler says: one mistake, doubt or remark each, with its place in a file.

Pure: no clock, no network, no logging.
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum

from typing_extensions import override

from mesh7_core.api.manifests import Document
from mesh7_core.api.places import Path, Problem


class Severity(StrEnum):
    """An error keeps the set from being used; a warning says what may surprise."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Code(StrEnum):
    """What a reader that knows conditions tells apart; everything else is plainly invalid."""

    NOT_SERVED_IN_CLUSTER = "NotServedInCluster"
    UNKNOWN_POLICY = "UnknownPolicy"
    BEYOND_GRANTABLE = "BeyondGrantable"
    PLAIN_CREDENTIAL = "PlainCredential"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """One finding; its text is `file:line: severity: field path: message`.

    Attributes:
        file: as given to the compiler; empty when no file is meant.
        line: from 1; 0 = the file as a whole.
        path: of the field, such as `spec.rules[2].when`; empty for the whole document.
        message: what is wrong and what to do; what people wrote stands in backticks.
        code: a `Code`, where a condition has a reason of its own; else empty.
    """

    severity: Severity
    file: str
    line: int
    path: str
    message: str
    code: str = ""

    @override
    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        parts = (place, self.severity.value, self.path, self.message)
        return ": ".join(part for part in parts if part)

    def located_in(self, folder: str) -> "Diagnostic":
        """The same, told from where the folder is seen."""
        if not self.file or folder in ("", "."):
            return self
        return replace(self, file=f"{folder.rstrip('/')}/{self.file}")


def of_problem(problem: Problem, severity: Severity, code: str = "") -> Diagnostic:
    """A reader's problem as a diagnostic."""
    return Diagnostic(
        severity=severity,
        file=problem.file,
        line=problem.line,
        path=problem.path,
        message=problem.message,
        code=code,
    )


@dataclass(slots=True)
class Findings:
    """What was found so far in one set; each step of the compiler adds to it."""

    diagnostics: list[Diagnostic] = field(default_factory=list)

    def error(self, document: Document, path: Path, message: str, code: str = "") -> None:
        """The set cannot be used."""
        found = of_problem(document.problem(path, message), Severity.ERROR, code)
        self.diagnostics.append(found)

    def warning(self, document: Document, path: Path, message: str) -> None:
        """The set can be used, but perhaps not as it was meant."""
        self.problem(document.problem(path, message), Severity.WARNING)

    def note(self, document: Document, path: Path, message: str) -> None:
        """Something was left out on purpose."""
        self.problem(document.problem(path, message), Severity.NOTE)

    def problem(self, problem: Problem, severity: Severity) -> None:
        """A reader's problem."""
        self.diagnostics.append(of_problem(problem, severity))

    def has_errors(self) -> bool:
        """Whether anything found keeps the set from being used."""
        return any(one.severity is Severity.ERROR for one in self.diagnostics)

    def in_order(self) -> tuple[Diagnostic, ...]:
        """All, once each, by file and line."""
        unique = dict.fromkeys(self.diagnostics)
        return tuple(sorted(unique, key=lambda one: (one.file, one.line, one.path, one.message)))
