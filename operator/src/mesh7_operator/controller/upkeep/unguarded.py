"""Pods of enrolled namespaces, again and again: counted, and those that slipped through named.

They were made before their namespace was enrolled, or while admission was off. Nothing is done to
them: to end a pod is its owners' business.
"""

import logging
from collections.abc import AsyncIterator
from typing import Final

from mesh7_core import errors
from mesh7_core.injection.known import Namespace
from mesh7_operator.cluster import resources, shapes
from mesh7_operator.cluster.api_server import PAGE, ApiServer
from mesh7_operator.controller.informer.board import Board
from mesh7_operator.controller.posting import Poster
from mesh7_operator.metrics import ControllerMetrics
from mesh7_operator.reconciling import guarding, network_policy
from mesh7_operator.reconciling.guarding import Rules
from mesh7_operator.reconciling.plan import Event, EventType

_LOG: Final = logging.getLogger(__name__)
REASON: Final = "Unguarded"
MOST_EVENTS: Final = 100
"""In one round; the others are told of in those that follow."""
_MOST_NAMED: Final = 5
_MESSAGE: Final = (
    "it runs without a sidecar of ours, so nothing it calls is judged: it is older than its "
    "namespace's enrolment, or admission was off; delete it, so that it is made anew and guarded"
)


class Auditor:
    """Counts, and remembers of which pods it has told."""

    def __init__(
        self, api: ApiServer, board: Board, poster: Poster, metrics: ControllerMetrics, rules: Rules
    ) -> None:
        self._api = api
        self._board = board
        self._poster = poster
        self._metrics = metrics
        self._rules = rules
        self._told: dict[str, set[str]] = {}
        self._named: dict[str, int] = {}
        self._sizes: dict[str, int] = {}

    async def look(self) -> None:
        """One round; a namespace whose pods cannot be listed keeps what was counted before.

        Raises:
            ClusterError: there are such namespaces; the others are counted.
        """
        left, failed = MOST_EVENTS, dict[str, errors.ClusterError]()
        for namespace in self._board.enrolled():
            try:
                unguarded = await self._count(namespace)
            except errors.ClusterError as error:
                failed[namespace] = error
                continue
            left -= await self._post(namespace, unguarded, left)
            self._tell(namespace, unguarded)
        # Who is gone is forgotten, so that this does not grow.
        enrolled = set(self._board.enrolled())
        self._told = {name: told for name, told in self._told.items() if name in enrolled}
        self._sizes = {name: size for name, size in self._sizes.items() if name in enrolled}
        self._named = {name: count for name, count in self._named.items() if name in enrolled}
        self._count_policies()
        if failed:
            raise _not_counted(failed)

    async def _post(self, namespace: str, unguarded: list[Event], most: int) -> int:
        """Tell of those that are new, and say of how many."""
        before = self._told.get(namespace, set())
        fresh = [event for event in unguarded if event.uid not in before][:most]
        for event in fresh:
            await self._poster.post(namespace, event)
        there = {event.uid for event in unguarded}
        self._told[namespace] = (before & there) | {event.uid for event in fresh}
        return len(fresh)

    async def _count(self, namespace: str) -> list[Event]:
        there = self._board.known(namespace).namespace
        labels = there.labels if there else {}
        where = Namespace(name=namespace, labels=labels, annotations={})
        unguarded, pods, guarded, outdated, unready = list[Event](), 0, 0, 0, 0
        async for pod in self._pods(namespace):
            pods += 1
            stands = guarding.standing(pod, where, self._rules)
            guarded += stands.is_guarded
            outdated += stands.is_outdated
            unready += stands.is_unready
            if stands.is_unguarded:
                unguarded.append(_event(pod))
        self._sizes[namespace] = pods
        if self._board.is_enrolled(namespace):  # else it left meanwhile, and its series with it
            self._metrics.guarded_pods.labels(namespace).set(guarded)
            self._metrics.unguarded_pods.labels(namespace).set(len(unguarded))
            self._metrics.outdated_pods.labels(namespace).set(outdated)
            self._metrics.unready_sidecars.labels(namespace).set(unready)
        return unguarded

    def _pods(self, namespace: str) -> AsyncIterator[shapes.Object]:
        # What was made a moment ago may wait for the next round, so no newest state is asked for.
        # But what is remembered comes as a whole, and thousands of pods would take our memory.
        if self._sizes.get(namespace, PAGE + 1) > PAGE:
            return self._api.list(resources.PODS, namespace)
        return self._api.list_remembered(resources.PODS, namespace)

    def _tell(self, namespace: str, unguarded: list[Event]) -> None:
        """A line whenever the number changes."""
        if len(unguarded) == self._named.get(namespace, 0):
            return
        self._named[namespace] = len(unguarded)
        _LOG.log(
            logging.WARNING if unguarded else logging.INFO,
            "unguarded pods",
            extra={
                "namespace": namespace,
                "count": len(unguarded),
                "pods": [one.name for one in unguarded[:_MOST_NAMED]],
            },
        )

    def _count_policies(self) -> None:
        counts = {"open": 0, "closed": 0}
        for namespace in self._board.enrolled():
            there = self._board.known(namespace).network_policy
            egress = there.found.annotations.get(network_policy.EGRESS_ANNOTATION) if there else ""
            if isinstance(egress, str) and egress in counts:
                counts[egress] += 1
        for egress, count in counts.items():
            self._metrics.network_policies.labels(egress).set(count)


def _not_counted(failed: dict[str, errors.ClusterError]) -> errors.ClusterError:
    named = ", ".join(f"`{name}`" for name in list(failed)[:_MOST_NAMED])
    first = next(iter(failed.values()))
    return errors.ClusterError(
        f"pods of {len(failed)} namespaces are not counted, first {named}: {first.message}"
    )


def _event(pod: shapes.Object) -> Event:
    return Event(
        kind=resources.PODS.kind,
        name=shapes.text(pod, "metadata", "name"),
        uid=shapes.text(pod, "metadata", "uid"),
        type=EventType.WARNING,
        reason=REASON,
        message=_MESSAGE,
        api_version=resources.PODS.api_version,
    )
