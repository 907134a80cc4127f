"""What a namespace's sidecars say, as far as it can be believed.

Whoever may write to the store may have written a report, so nothing here widens anything.
Pure: no clock, no network, no logging.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mesh7_core.delivery import reports
from mesh7_core.delivery.reports import SourceReport
from mesh7_core.policy import calls, rules, view
from mesh7_operator.reconciling.world import StoreState, World

MOST_KINDS: Final = 1_000
"""Of sidecars in one namespace: each is held against each policy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecars:
    """Reports of the last 90 s.

    Attributes:
        store: LOST also when it answers, but not about this namespace.
        reports: by pod uid, in order; empty while the store is not connected.
        alike: of sidecars that no selector and no version tells apart: how many there are; the
            `MOST_KINDS` that are most frequent.
        of_sources: what they say of each source, by its name.
    """

    store: StoreState
    reports: tuple[reports.Report, ...]
    alike: Mapping[tuple[str, frozenset[tuple[str, str]], int], int]
    of_sources: Mapping[str, tuple[SourceReport, ...]]


def store_of(world: World) -> StoreState:
    """How it stands with the store, as far as this namespace goes."""
    is_silent = world.store is StoreState.CONNECTED and world.published is None
    return StoreState.LOST if is_silent else world.store


def sidecars_of(world: World) -> Sidecars:
    """The world's sidecars; a report under another pod's uid is nobody's."""
    store = store_of(world)
    found = () if world.published is None or store is not StoreState.CONNECTED else tuple(
        report
        for uid, report in sorted(world.published.reports.items())
        if report.uid == uid
    )  # fmt: skip
    alike = Counter((one.agent, frozenset(one.labels.items()), one.bundle) for one in found)
    of_sources: dict[str, list[SourceReport]] = {}
    for report in found:
        for source in report.sources:
            of_sources.setdefault(source.name, []).append(source)
    return Sidecars(
        store=store,
        reports=found,
        alike=dict(alike.most_common(MOST_KINDS)),
        of_sources={name: tuple(said) for name, said in of_sources.items()},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pods:
    """How many sidecars a policy selects, and how many of them obey the bundle in force."""

    matched: int
    current: int


def count(sidecars: Sidecars, selector: rules.Selector, namespace: str, version: int) -> Pods:
    """Count by the bundle's version: a higher one than ours is a lie, nobody has sealed it."""
    matched = current = 0
    for (agent, labels, bundle), number in sidecars.alike.items():
        pod = calls.Agent(namespace=namespace, service_account=agent, pod="", labels=dict(labels))
        if view.selects(selector, pod):
            matched += number
            current += number if bundle == version else 0
    return Pods(matched=matched, current=current)
