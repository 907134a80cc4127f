"""Many sidecars' reports of one source as one: what it offers, and how that drifted.

Pure: no clock, no network, no logging.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from mesh7_core.delivery import reports
from mesh7_core.delivery.reports import Drift

MOST_TOOLS: Final = 500
"""Named in a status; those that drifted come first."""
LONGEST_NAME: Final = 256
"""Characters; a tool with a longer one is counted and not named, for no status takes it."""

_SEVEREST: Final = (Drift.CHANGED, Drift.ADDED, Drift.REMOVED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """One source as all of its sidecars see it.

    Attributes:
        sidecars: how many report it, `ready` how many of them can read its list.
        error: what most of the others say, or empty.
        protocol: what most say; empty for plain HTTP.
        tool_count: the most that one of them lists.
        tools: by name, each once.
    """

    sidecars: int
    ready: int
    error: str
    protocol: str
    tool_count: int
    tools: tuple[reports.Tool, ...]
    drifted: Mapping[Drift, tuple[str, ...]] = field(default_factory=dict)


def merge(seen: Collection[reports.SourceReport], *, is_pinned: bool) -> Merged:
    """All reports of one source.

    Args:
        seen: what sidecars report of it.
        is_pinned: whether it matters that definitions differ; without it nothing drifts.
    """
    ready = [one for one in seen if one.is_ready]
    tools = _tools(ready, is_pinned=is_pinned)
    return Merged(
        sidecars=len(seen),
        ready=len(ready),
        error=_most_said(one.error for one in seen if not one.is_ready),
        protocol=_most_said(one.protocol for one in ready),
        tool_count=max((one.tool_count for one in ready), default=0),
        tools=tools,
        drifted={
            drift: tuple(one.name for one in tools if one.drift is drift) for drift in _SEVEREST
        },
    )


def named(tools: Iterable[reports.Tool]) -> tuple[reports.Tool, ...]:
    """Those that a status names: first those that drifted, then the others, each by name."""
    ordered = sorted(tools, key=lambda one: (one.drift is None, one.name))
    return tuple(one for one in ordered if 0 < len(one.name) <= LONGEST_NAME)[:MOST_TOOLS]


def _tools(ready: Iterable[reports.SourceReport], *, is_pinned: bool) -> tuple[reports.Tool, ...]:
    alike: dict[str, Counter[reports.Tool]] = {}
    for source in ready:
        for tool in source.tools:
            alike.setdefault(tool.name, Counter())[tool] += 1
    return tuple(_one(name, alike[name], is_pinned=is_pinned) for name in sorted(alike))


def _one(name: str, alike: Counter[reports.Tool], *, is_pinned: bool) -> reports.Tool:
    """The definition that most sidecars see; two of them are a change, whichever is the new one."""
    digests: Counter[str] = Counter()
    for tool, number in alike.items():
        digests[tool.digest] += number
    drift = _severest(alike) if is_pinned else None
    if is_pinned and len(digests) > 1:
        drift = Drift.CHANGED
    return reports.Tool(name=name, digest=_most(digests), drift=drift)


def _severest(alike: Iterable[reports.Tool]) -> Drift | None:
    seen = {one.drift for one in alike}
    return next((drift for drift in _SEVEREST if drift in seen), None)


def _most_said(texts: Iterable[str]) -> str:
    return _most(Counter(text for text in texts if text))


def _most(counted: Counter[str]) -> str:
    """The most frequent, the first by the alphabet of several."""
    return min(counted, key=lambda one: (-counted[one], one), default="")
