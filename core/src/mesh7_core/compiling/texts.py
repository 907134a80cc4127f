"""Globs and conditions inside manifests: each parsed with its place, mistakes told.

Pure: no clock, no network, no logging.
"""

from dataclasses import dataclass, field

from mesh7_core.api.manifests import Document
from mesh7_core.api.places import Path
from mesh7_core.compiling.diagnostics import Findings
from mesh7_core.policy import conditions
from mesh7_core.policy.conditions import Condition
from mesh7_core.policy.globs import BadGlob, NameGlob, TextGlob


@dataclass(slots=True)
class Parser:
    """Parses the small languages of one document; a mistake is a finding and leaves a gap."""

    document: Document
    findings: Findings
    compiled: dict[str, Condition] = field(default_factory=dict)

    def name_globs(self, texts: tuple[str, ...], path: Path) -> tuple[NameGlob, ...]:
        """`<source glob>.<name glob>` each."""
        globs = []
        for index, text in enumerate(texts):
            try:
                globs.append(NameGlob.parse(text))
            except BadGlob as error:
                self.findings.error(self.document, (*path, index), error.message)
        return tuple(globs)

    def text_globs(self, texts: tuple[str, ...], path: Path) -> tuple[TextGlob, ...]:
        """Globs over one undivided text."""
        globs = []
        for index, text in enumerate(texts):
            glob = self.text_glob(text, (*path, index))
            if glob is not None:
                globs.append(glob)
        return tuple(globs)

    def text_glob(self, text: str, path: Path) -> TextGlob | None:
        """One glob over one undivided text; None when it is malformed."""
        try:
            return TextGlob.parse(text)
        except BadGlob as error:
            self.findings.error(self.document, path, error.message)
            return None

    def condition(self, text: str | None, path: Path) -> Condition | None:
        """A compiled `when`; None when there is none or it does not compile."""
        if text is None:
            return None
        known = self.compiled.get(text)
        if known is not None:
            return known
        try:
            condition = conditions.compile_condition(text)
        except conditions.BadCondition as error:
            place = f"column {error.column}"
            if "\n" in text.strip():
                place = f"line {error.line}, {place}"
            self.findings.error(self.document, path, f"{error.message} ({place} of the expression)")
            return None
        self.compiled[text] = condition
        return condition
