"""From what is known to the world of one namespace: the board, the store, the keys, the time."""

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime

from mesh7_core.api.grants import parse_moment
from mesh7_core.policy import standing
from mesh7_operator.clock import Clock
from mesh7_operator.cluster import shapes
from mesh7_operator.controller.informer.board import Board
from mesh7_operator.controller.seams import KeySource, Store
from mesh7_operator.reconciling import bundling, compilation
from mesh7_operator.reconciling.world import Published, Release, World, Written


class Gatherer:
    """Makes worlds."""

    def __init__(
        self,
        board: Board,
        store: Store,
        keyrings: KeySource,
        release_namespace: str,
        clock: Clock,
        release: Callable[[], Release] = Release,
    ) -> None:
        self._board = board
        self._store = store
        self._keyrings = keyrings
        self._release_namespace = release_namespace
        self._clock = clock
        self._release = release

    def is_ending(self, namespace: str) -> bool:
        """Whether it is being deleted."""
        return self._board.is_ending(namespace)

    async def gather(self, namespace: str) -> World:
        """The world of this namespace, now."""
        found = await self._store.published({namespace: use_keys_of(self._board, namespace)})
        # The rest without a pause, so that it is of one moment.
        world = self._world(namespace, found.get(namespace) if found is not None else None)
        return await self._with_doubted(world)

    def _world(self, namespace: str, published: Published | None) -> World:
        known = self._board.known(namespace)
        there = known.namespace
        return World(
            namespace=namespace,
            release_namespace=self._release_namespace,
            labels=there.labels if there else {},
            annotations=there.annotations if there else {},
            is_enrolled=self._board.is_enrolled(namespace),
            policies=known.policies,
            baseline=self._board.known(self._release_namespace).policies,
            sources=known.sources,
            # Those that answer one held call are compiled by nobody (`approving`).
            grants=tuple(one for one in known.grants if not compilation.is_exact(one)),
            delivered=known.config_map.delivered if known.config_map else None,
            store=self._store.state,
            published=published,
            keys=self._keyrings.keys,
            now=self._clock.now(),
            sealed=known.sealed.delivered if known.sealed else None,
            network_policy=known.network_policy.found if known.network_policy else None,
            release=self._release(),
        )

    async def _with_doubted(self, world: World) -> World:
        """A version from the future is ours all the same if a leader with a fast clock made it."""
        if world.published is None or not (doubted := bundling.doubted(world)):
            return world
        found = {kind: await self._store.envelope(world.namespace, kind) for kind in doubted}
        envelopes = {kind: one for kind, one in found.items() if one is not None}
        return replace(world, published=replace(world.published, doubted=envelopes))


def use_keys_of(board: Board, namespace: str) -> tuple[str, ...]:
    """Under what the ledger counts the uses of a namespace's grants."""
    return use_keys(board.known(namespace).grants)


def use_keys(grants: Iterable[Written]) -> tuple[str, ...]:
    """Of those grants that may be used so and so often."""
    return tuple(
        standing.use_key(
            f"{grant.namespace}/{grant.name}",
            _moment(shapes.text(grant.value, "metadata", "creationTimestamp")),
            _moment(shapes.text(grant.value, "spec", "expiresAt")),
        )
        for grant in grants
        if shapes.number(grant.value, "spec", "maxUses")
    )


def _moment(text: str) -> datetime | None:
    # What the kind's schema forbids may stand there all the same: where it was loosened.
    with contextlib.suppress(ValueError, OverflowError):
        moment = parse_moment(text)
        moment.timestamp()
        return moment
    return None
