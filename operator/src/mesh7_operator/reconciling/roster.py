"""The roster: how many sidecars divide a limit among them while the store is lost.

It rises at once, for too few would let each spend too much. It falls slowly, by half every ten
minutes at most: a store that was just emptied knows nobody. Pure: no clock, no network, no logging.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from mesh7_core.api.manifests import Document
from mesh7_core.api.places import value_at
from mesh7_core.delivery import payloads
from mesh7_operator.reconciling import versions
from mesh7_operator.reconciling.sidecars import Sidecars
from mesh7_operator.reconciling.world import StoreState

REST: Final = timedelta(minutes=10)
"""A number stands at least as long before it falls."""
MAXIMUM_AGENTS: Final = 200
"""Made-up ones must not fill a bundle; whoever has no entry gets no share, the safe side."""


def is_needed(documents: Iterable[Document]) -> bool:
    """Whether some limit says `onStoreLoss: Local`."""
    return any(
        isinstance(limit, dict) and limit.get("onStoreLoss") == "Local"
        for document in documents
        for limit in _limits(document)
    )


def next_roster(
    last: payloads.Roster, version: int, sidecars: Sidecars, now: datetime
) -> payloads.Roster:
    """The roster to deliver.

    Args:
        last: what the bundle in force says.
        version: of that bundle, in Unix milliseconds; 0 = there is none.
        sidecars: who reports.
        now: aware.
    """
    if sidecars.store is StoreState.NONE:
        return payloads.Roster()
    if not sidecars.reports:
        return last
    may_fall = now >= falls_at(version)
    counted = Counter(one.agent for one in sidecars.reports)
    agents = {
        name: _next(last.agents.get(name, 0), counted[name], may_fall=may_fall)
        for name in {*last.agents, *counted}
    }
    kept = sorted(agents.items(), key=lambda one: (-one[1], one[0]))[:MAXIMUM_AGENTS]
    return payloads.Roster(
        sidecars=_next(last.sidecars, len(sidecars.reports), may_fall=may_fall),
        agents={name: number for name, number in sorted(kept) if number},
    )


def falls_at(version: int) -> datetime:
    """When numbers of the bundle with this version may fall."""
    return versions.moment(version) + REST


def is_falling(roster: payloads.Roster, sidecars: Sidecars) -> bool:
    """Whether fewer report than it says, so that time alone will change it."""
    if sidecars.store is not StoreState.CONNECTED or not sidecars.reports:
        return False
    counted = Counter(one.agent for one in sidecars.reports)
    return roster.sidecars > len(sidecars.reports) or any(
        number > counted[name] for name, number in roster.agents.items()
    )


def _next(last: int, counted: int, *, may_fall: bool) -> int:
    if counted >= last:
        return counted
    half = (last + 1) // 2 if last > 1 else 0
    return max(counted, half) if may_fall else last


def _limits(document: Document) -> list[object]:
    limits = value_at(document.value, ("spec", "limits"))
    return limits if isinstance(limits, list) else []
