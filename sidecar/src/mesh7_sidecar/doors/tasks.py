"""Which agent was given which task id, so that nobody can ask after another's (X16).

A modern server may answer a call with a task; its id is bound to the agent and source that got it.
Pure: no clock, no network, no logging.
"""

from collections import OrderedDict

from mesh7_core.policy import calls

MAXIMUM_TASKS = 10_000
MAXIMUM_ID_CHARACTERS = 256


class Tasks:
    """Task ids that went by, oldest first, bounded."""

    def __init__(self) -> None:
        self._owners: OrderedDict[tuple[str, str], calls.Agent] = OrderedDict()

    def remember(self, agent: calls.Agent, source: str, identifier: str) -> None:
        """`source` gave `agent` this task; the oldest is forgotten beyond the bound.

        An id that is too long to be kept ten thousand times is not: nobody can ask after it.
        """
        if len(identifier) > MAXIMUM_ID_CHARACTERS:
            return
        if len(self._owners) >= MAXIMUM_TASKS:
            self._owners.popitem(last=False)
        self._owners.setdefault((source, identifier), agent)

    def belongs(self, agent: calls.Agent, source: str, identifier: str) -> bool:
        """Whether this agent was given this task."""
        return self._owners.get((source, identifier)) == agent
