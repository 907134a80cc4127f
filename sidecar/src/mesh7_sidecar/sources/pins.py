"""Holds the definitions that one source lists against what people accepted (promise M11).

Under `Enforce` what is not accepted is hidden; there is no trust on first use. Under `Warn` it is
served, and a change of what was accepted, or of what was listed first, is told once.
"""

import logging
from collections.abc import Iterable
from typing import Final

from mesh7_core.policy import bundle, definitions
from mesh7_core.policy.definitions import State
from mesh7_sidecar.sources.baselines import Baselines
from mesh7_sidecar.wire import lists, names

log = logging.getLogger("mesh7.pinning")

MAXIMUM_TOLD: Final = 20
"""Changes told one by one of one reading; a source must not write the log full."""
_ENFORCED = "it is hidden and refused"
_WARNED = "it is still served"


class Pins:
    """One source's pinning.

    Args:
        source: whose definitions.
        baselines: what is known of earlier ones.
    """

    def __init__(self, source: bundle.Source, baselines: Baselines) -> None:
        self.source = source
        self._baselines = baselines
        self._told: dict[str, str] = {}

    @property
    def is_enforced(self) -> bool:
        """Whether nothing unaccepted is served."""
        return self.source.pinning is bundle.Pinning.ENFORCE

    @property
    def is_on(self) -> bool:
        """Whether definitions matter at all."""
        return self.source.pinning is not bundle.Pinning.IGNORE

    def expected(self, name: str) -> str:
        """The digest that a tool is held against; empty when there is none."""
        return self.source.accepted.get(name, "") or ("" if self.is_enforced else self._seen(name))

    def state(self, tool: lists.ToolDefinition) -> State:
        """How a definition stands to what was accepted or listed first."""
        if not self.is_on:
            # Not even a digest is worked out for who did not ask for pinning.
            return State.UNPINNED
        accepted = self.source.accepted.get(tool.name, "")
        return definitions.state(self.source.pinning, accepted, self._seen(tool.name), tool.digest)

    def serves(self, tool: lists.ToolDefinition) -> bool:
        """Whether a tool that is defined like this may be listed and called."""
        return definitions.is_served(self.source.pinning, self.state(tool))

    def before(self, tool: lists.ToolDefinition) -> str:
        """The earlier definition in canonical spelling; empty when it is not known, or no other."""
        known = self._baselines.of(self.source.name).get(tool.name)
        return known.text if known is not None and known.digest != tool.digest else ""

    def learn(self, listed: Iterable[lists.ToolDefinition]) -> None:
        """Take note of what the source lists now: remember what is good, tell what changed."""
        if not self.is_on:
            return
        changed: list[lists.ToolDefinition] = []
        for tool in listed:
            state = self.state(tool)
            is_first = state is State.NEW and not self.is_enforced
            if state is State.ACCEPTED or is_first:
                if self._seen(tool.name) != tool.digest:
                    self._baselines.put(self.source.name, tool.name, tool.digest, tool.text)
                self._told.pop(tool.name, None)
            elif state is State.CHANGED and self._told.get(tool.name) != tool.digest:
                self._told[tool.name] = tool.digest
                changed.append(tool)
        self._baselines.save()
        self._tell(changed)

    def _seen(self, name: str) -> str:
        known = self._baselines.of(self.source.name).get(name)
        return known.digest if known is not None else ""

    def _tell(self, changed: list[lists.ToolDefinition]) -> None:
        source = self.source.name
        for tool in changed[:MAXIMUM_TOLD]:
            shown = names.shown(tool.name)
            log.warning(
                "source `%s`: the definition of tool `%s` changed from %s to %s, %s – look at it "
                "with `mesh7 tools accept --dry-run %s.%s`",
                source, shown, self.expected(tool.name), tool.digest,
                _ENFORCED if self.is_enforced else _WARNED, source, shown,
            )  # fmt: skip
        if len(changed) > MAXIMUM_TOLD:
            log.warning(
                "source `%s`: the definitions of %d more tools changed – see `mesh7 tools`",
                source, len(changed) - MAXIMUM_TOLD,
            )  # fmt: skip
