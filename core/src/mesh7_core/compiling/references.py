"""Names in rules held against the sources there are: a misspelt one would match nothing.

Pure: no clock, no network, no logging.
"""

from collections.abc import Collection, Sequence
from typing import Final

from mesh7_core.api.manifests import Document
from mesh7_core.api.suggestions import advice
from mesh7_core.compiling.diagnostics import Findings
from mesh7_core.policy.bundle import Source
from mesh7_core.policy.globs import TextGlob
from mesh7_core.policy.rules import Layer, Policy

MOST_LOOKED_AT: Final = 50_000
"""Names held against globs of one set; globs beyond that are not looked at: it is a warning."""
MOST_ADVISED: Final = 10
"""Misspelt globs of one set for which is looked what was meant."""


def check_sources(
    policies: Sequence[tuple[Policy, Document]],
    sources: Sequence[tuple[Source, Document]],
    findings: Findings,
) -> None:
    """Warn of globs whose source part names no source of the set.

    A set without sources is checked on its own, and a baseline bears on namespaces of which this
    set knows nothing: both are left alone.
    """
    known = _Known({source.name for source, _ in sources})
    if not known.names:
        return
    for policy, document in policies:
        if policy.layer is Layer.BASELINE:
            continue
        for position, rule in enumerate(policy.rules):
            for index, glob in enumerate(rule.patterns):
                if not known.is_matched(glob.source):
                    path = ("spec", "rules", position, rule.family.value, index)
                    findings.warning(document, path, f"glob `{glob.text}` matches no source, "
                                     f"{known.advice(glob.source.text)}")  # fmt: skip


class _Known:
    """Names of sources; a glob's source part is looked up once, however often it is written."""

    def __init__(self, found: Collection[str]) -> None:
        self.names = frozenset(found)
        self._in_order = sorted(found)
        self._matched: dict[str, bool] = {}
        self._advised: dict[str, str] = {}
        self._looked_at = 0

    def is_matched(self, glob: TextGlob) -> bool:
        """Whether it stands for a source, or may."""
        if glob.is_exact:
            return glob.text in self.names
        if glob.text not in self._matched:
            self._looked_at += len(self.names)
            self._matched[glob.text] = self._looked_at > MOST_LOOKED_AT or any(
                glob.matches(name) for name in self._in_order
            )
        return self._matched[glob.text]

    def advice(self, text: str) -> str:
        """What may have been meant."""
        if text not in self._advised:
            if len(self._advised) == MOST_ADVISED:
                return "see the names of the sources"
            self._advised[text] = advice(text, self._in_order)
        return self._advised[text]
