"""What is known of all namespaces: what the watch told, and what we wrote ourselves since.

Our own writes count before the watch tells of them, so that nothing is written twice; and what is
found to be gone stays gone: kopf, when it lists anew after a lost watch, does not notice what is
missing from the new list, and would go on telling of a grant that was revoked meanwhile.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from mesh7_core.injection import enrolment
from mesh7_operator.cluster import resources, shapes
from mesh7_operator.controller.informer import seen
from mesh7_operator.controller.informer.own import OwnWrites
from mesh7_operator.reconciling import compilation, versions
from mesh7_operator.reconciling.world import Written

_OWN_STATUSES: Final = 20_000


def _nobody(_: str) -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One namespace as it stands now.

    Attributes:
        namespace: None = there is none of that name.
        requests: ApprovalRequests, without their arguments.
        queries: AuditQueries, without their answers.
        config_map: None = there is none.
        sealed: what we wrote as the ConfigMap last, whatever lies there now.
        network_policy: None = there is none.
    """

    namespace: seen.Namespace | None
    policies: tuple[Written, ...]
    sources: tuple[Written, ...]
    grants: tuple[Written, ...]
    requests: tuple[Written, ...]
    config_map: seen.ConfigMap | None
    sealed: seen.ConfigMap | None
    network_policy: seen.NetworkPolicy | None = None
    queries: tuple[Written, ...] = ()


class Board:
    """All namespaces; used on one event loop alone.

    Args:
        release_namespace: its policies are a part of every bundle.
        mark: told which namespace has changed.
        asked: told where held calls have: ApprovalRequests, and the Grants that answer them. Those
            are no business of `mark`.
        inquired: told where AuditQueries have; those are nobody else's business.
    """

    def __init__(
        self,
        release_namespace: str,
        mark: Callable[[str], None],
        asked: Callable[[str], None] = _nobody,
        inquired: Callable[[str], None] = _nobody,
    ) -> None:
        self._release_namespace = release_namespace
        self._mark = mark
        self._asked = asked
        self._inquired = inquired
        self._snapshots: dict[str, seen.Snapshot] = {}
        self._own_maps = OwnWrites[seen.ConfigMap]()
        self._own_networks = OwnWrites[seen.NetworkPolicy]()
        self._sealed: dict[str, seen.ConfigMap] = {}
        self._own_statuses: dict[str, tuple[int, shapes.Object]] = {}
        self._gone: set[str] = set()

    def tell(self, snapshot: seen.Snapshot) -> None:
        """The watch saw something in a namespace."""
        before = self._snapshots.get(snapshot.name)
        self._snapshots[snapshot.name] = snapshot
        self._own_maps.deleted(snapshot.name, snapshot.deleted_revision)
        self._own_networks.deleted(snapshot.name, snapshot.deleted_network_revision)
        if before is None or before.queries != snapshot.queries:
            self._inquired(snapshot.name)
            if before is not None and replace(before, queries=snapshot.queries) == snapshot:
                return
        if before is None or _answers(before) != _answers(snapshot):
            self._asked(snapshot.name)
            if before is not None and _rest(before) == _rest(snapshot):
                return
        if before is None or not _is_raised(before, snapshot):
            self._changed(snapshot.name)

    def wrote_config_map(self, namespace: str, found: seen.ConfigMap) -> None:
        """We did; it counts until the watch shows something newer."""
        self._own_maps.wrote(namespace, found)
        self._sealed[namespace] = found

    def deleted_config_map(self, namespace: str) -> None:
        """We did; what was known of it is gone."""
        found = self.known(namespace).config_map
        self._own_maps.forget(namespace)
        self._sealed.pop(namespace, None)
        if found is not None:
            self._gone.add(found.uid)

    def wrote_network_policy(self, namespace: str, found: seen.NetworkPolicy) -> None:
        """We did; it counts until the watch shows something newer."""
        self._own_networks.wrote(namespace, found)

    def deleted_network_policy(self, namespace: str) -> None:
        """We did; what was known of it is gone."""
        found = self.known(namespace).network_policy
        self._own_networks.forget(namespace)
        if found is not None:
            self._gone.add(found.uid)

    def deleted_request(self, uid: str) -> None:
        """We did; an AuditQuery, too."""
        self._gone.add(uid)

    def wrote_status(self, uid: str, revision: int, status: shapes.Object) -> None:
        """We did; it counts until the watch shows something newer."""
        self._own_statuses[uid] = (revision, status)
        if len(self._own_statuses) > _OWN_STATUSES:
            del self._own_statuses[next(iter(self._own_statuses))]

    def uids(self, kind: str) -> frozenset[str]:
        """Of all objects of a kind that are believed to be there."""
        own: set[str] = set()
        if kind == resources.CONFIG_MAPS.kind:
            own = self._own_maps.uids()
        elif kind == resources.NETWORK_POLICIES.kind:
            own = self._own_networks.uids()
        return (self.told(kind) | own) - self._gone

    def revisions(self, kind: str) -> dict[str, int]:
        """By uid, of all objects of a kind that are believed because the watch told of them."""
        return {
            one.uid: one.revision
            for snapshot in self._snapshots.values()
            for one_kind, one in _all(snapshot)
            if one_kind == kind and one.uid not in self._gone
        }

    def told(self, kind: str) -> frozenset[str]:
        """Uids of all objects of a kind that the watch has told of."""
        return frozenset(
            one.uid
            for snapshot in self._snapshots.values()
            for one_kind, one in _all(snapshot)
            if one_kind == kind
        )

    def vanished(self, uids: Collection[str]) -> None:
        """They are gone, and the watch did not say so."""
        self._gone.update(uids)
        own = self._own_maps.vanished(uids) | self._own_networks.vanished(uids)
        for name, snapshot in list(self._snapshots.items()):
            if name in own or any(one.uid in uids for _, one in _all(snapshot)):
                self._changed(name)
                self._asked(name)

    def prune(self) -> None:
        """Forget what was remembered of objects that the watch tells of no more."""
        there = frozenset[str]().union(*(self.told(one.kind) for one in resources.WATCHED))
        self._gone &= there
        for uid in self._own_statuses.keys() - there:
            del self._own_statuses[uid]

    def forget(self, namespace: str) -> None:
        """Drop a namespace that is gone with all that was in it."""
        snapshot = self._snapshots.get(namespace)
        if snapshot is not None and all(one.uid in self._gone for _, one in _all(snapshot)):
            del self._snapshots[namespace]
            self._own_maps.forget(namespace)
            self._own_networks.forget(namespace)
            self._sealed.pop(namespace, None)

    def names(self) -> list[str]:
        """Of all namespaces of which anything is known."""
        return list(self._snapshots)

    def enrolled(self) -> list[str]:
        """Of those whose sidecars are served."""
        return [name for name in self._snapshots if self.is_enrolled(name)]

    def is_enrolled(self, namespace: str) -> bool:
        """Whether its sidecars are served."""
        there = self._namespace(self._snapshot(namespace))
        return there is not None and enrolment.is_enrolled(
            namespace, there.labels, self._release_namespace
        )

    def is_ending(self, namespace: str) -> bool:
        """Whether it is being deleted.

        Nothing can be made in it then, and its last bundle is to hold to the end: policies and
        vetoes may be deleted before the pods that they stop.
        """
        there = self._namespace(self._snapshot(namespace))
        return there is not None and there.is_ending

    def known(self, namespace: str) -> Known:
        """How a namespace stands now."""
        snapshot = self._snapshot(namespace)
        return Known(
            namespace=self._namespace(snapshot),
            policies=self._written(snapshot.policies),
            sources=self._written(snapshot.sources),
            grants=self._written(snapshot.grants),
            requests=self._written(snapshot.requests),
            queries=self._written(snapshot.queries),
            config_map=self._own_maps.newest(namespace, snapshot.config_maps, self._gone),
            sealed=self._sealed.get(namespace),
            network_policy=self._own_networks.newest(
                namespace, snapshot.network_policies, self._gone
            ),
        )

    def _changed(self, namespace: str) -> None:
        if namespace == self._release_namespace:
            # Its policies are the second layer of every bundle.
            for name in self.enrolled():
                self._mark(name)
        self._mark(namespace)

    def _snapshot(self, namespace: str) -> seen.Snapshot:
        return self._snapshots.get(namespace, seen.Snapshot(name=namespace))

    def _namespace(self, snapshot: seen.Snapshot) -> seen.Namespace | None:
        there = [one for one in snapshot.namespaces if one.uid not in self._gone]
        return max(there, key=lambda one: one.revision, default=None)

    def _written(self, objects: Iterable[seen.Object]) -> tuple[Written, ...]:
        newest: dict[str, seen.Object] = {}
        for one in objects:
            # Two of a name: the watch has not told yet that the older one is gone.
            other = newest.get(one.written.name)
            if one.uid not in self._gone and (other is None or other.revision < one.revision):
                newest[one.written.name] = one
        return tuple(self._with_own_status(newest[name]) for name in sorted(newest))

    def _with_own_status(self, one: seen.Object) -> Written:
        revision, status = self._own_statuses.get(one.uid, (0, {}))
        if revision <= one.revision:
            self._own_statuses.pop(one.uid, None)
            return one.written
        return replace(one.written, status=status)


def _answers(snapshot: seen.Snapshot) -> tuple[object, ...]:
    """What held calls wait for."""
    exact = [one for one in snapshot.grants if compilation.is_exact(one.written)]
    return snapshot.requests, exact


def _rest(snapshot: seen.Snapshot) -> seen.Snapshot:
    """All the rest; which deletion brought it is told by what is missing."""
    others = tuple(one for one in snapshot.grants if not compilation.is_exact(one.written))
    return replace(
        snapshot, grants=others, requests=(), queries=(), deleted_revision=0,
        deleted_network_revision=0,
    )  # fmt: skip


def _is_raised(before: seen.Snapshot, after: seen.Snapshot) -> bool:
    """Whether nothing happened but that floors rose, as they do when we write them.

    A namespace that cannot be written to would else be tried again at once, for ever.
    """
    if len(before.namespaces) != 1 or len(after.namespaces) != 1:
        return False
    old, new = before.namespaces[0], after.namespaces[0]
    as_before = replace(new, revision=old.revision, annotations=old.annotations)
    if replace(after, namespaces=(as_before,)) != before or old.revision == new.revision:
        return False
    floors = versions.FLOOR_ANNOTATIONS.values()
    others = [{k: v for k, v in one.annotations.items() if k not in floors} for one in (old, new)]
    return others[0] == others[1] and all(
        versions.read_floor(old.annotations.get(key))
        <= versions.read_floor(new.annotations.get(key))
        for key in floors
    )


def _all(
    snapshot: seen.Snapshot,
) -> Iterator[tuple[str, seen.Object | seen.Namespace | seen.ConfigMap | seen.NetworkPolicy]]:
    ours = (
        snapshot.policies, snapshot.sources, snapshot.grants, snapshot.requests, snapshot.queries,
    )  # fmt: skip
    for objects in ours:
        for one in objects:
            yield one.written.kind, one
    for namespace in snapshot.namespaces:
        yield resources.NAMESPACES.kind, namespace
    for config_map in snapshot.config_maps:
        yield resources.CONFIG_MAPS.kind, config_map
    for network_policy in snapshot.network_policies:
        yield resources.NETWORK_POLICIES.kind, network_policy
