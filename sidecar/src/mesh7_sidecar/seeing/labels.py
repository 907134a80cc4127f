"""Which names metrics may carry: a bounded few of the tools, rules and sources in force.

Callers invent names, and policies come and go; a label that took either as it comes would grow
without end. All names that are too many, or nobody's, are `other`.
Pure: no clock, no network, no logging.
"""

from collections.abc import Callable
from typing import Final

from mesh7_core.policy import bundle, calls
from mesh7_core.telemetry.instruments import OTHER
from mesh7_core.telemetry.sidecar_instruments import MOST_RULES, MOST_TOOLS
from mesh7_sidecar.bundles.current import Current

MOST_WORDS: Final = 50
"""Of a set that should be closed: kinds of errors."""

Listed = Callable[[str, calls.SourceKind, str], bool]
"""Whether a source of that name and kind lists a tool of that name."""


class Labels:
    """One gateway's.

    Args:
        current: the bundle in force.
        listed: whose tools count as known.
    """

    def __init__(self, current: Current, listed: Listed) -> None:
        self._current = current
        self._listed = listed
        self._tools: dict[tuple[str, str], calls.SourceKind] = {}
        self._rules: set[str] = set()
        self._words: set[str] = set()
        self._of: tuple[object, object] = (None, None)

    def source(self, name: str) -> str:
        """A source's name."""
        loaded = self._current.bundle
        return name if loaded is not None and name in loaded.sources else OTHER

    def tool(self, call: calls.Call) -> str:
        """A tool's own name; empty for what is not a tool."""
        if call.family is not calls.Family.TOOLS:
            return ""
        known = (call.source, call.name)
        if known in self._tools:
            return call.name
        if not self._listed(call.source, call.source_kind, call.name):
            return OTHER
        if len(self._tools) >= MOST_TOOLS:
            return OTHER
        self._tools[known] = call.source_kind
        return call.name

    def rule(self, rules: tuple[str, ...]) -> str:
        """The first that spoke; empty when none did."""
        if not rules:
            return ""
        first = rules[0]
        if first in self._rules:
            return first
        if len(self._rules) >= MOST_RULES:
            return OTHER
        self._rules.add(first)
        return first

    def word(self, word: str) -> str:
        """A word of a set that is small as far as we know."""
        if word not in self._words:
            if len(self._words) >= MOST_WORDS:
                return OTHER
            self._words.add(word)
        return word

    def gone(self) -> tuple[frozenset[tuple[str, str]], frozenset[str]]:
        """Tools (source and name) and rules that are no longer there; they are forgotten here."""
        tools = frozenset(
            known
            for known, kind in self._tools.items()
            if not self._listed(known[0], kind, known[1])
        )
        for each in tools:
            del self._tools[each]
        loaded, overlay = self._current.bundle, self._current.overlay
        if not self.is_changed():
            return tools, frozenset()
        self._of = (loaded, overlay)
        known = rules_of(loaded, overlay) if loaded is not None else frozenset()
        rules = frozenset(self._rules - known)
        self._rules -= rules
        return tools, rules

    def is_changed(self) -> bool:
        """Whether another bundle or overlay is in force than when `gone` was last asked."""
        return self._of[0] is not self._current.bundle or self._of[1] is not self._current.overlay


def rules_of(loaded: bundle.Bundle, overlay: tuple[bundle.Grant, ...]) -> frozenset[str]:
    """All ids that a decision may name: of rules, defaults, loops and vetoes."""
    found = {rule.id for policy in loaded.policies for rule in policy.rules}
    return frozenset(
        found
        | {f"{policy.id}/default" for policy in loaded.policies}
        | {policy.loop.id for policy in loaded.policies if policy.loop is not None}
        | {grant.id for grant in (*loaded.grants, *overlay)}
    )
