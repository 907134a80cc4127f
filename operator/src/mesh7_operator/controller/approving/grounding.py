"""From what is known to the ground of one namespace: board, ledger, pods, policies, keys, time."""

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from mesh7_operator.approving import mirrored, replying
from mesh7_operator.approving.ground import Ground
from mesh7_operator.clock import Clock
from mesh7_operator.cluster import shapes
from mesh7_operator.controller.approving.compiled import CompiledPolicies
from mesh7_operator.controller.approving.living import Pods
from mesh7_operator.controller.informer.board import Board
from mesh7_operator.controller.seams import KeySource, Store
from mesh7_operator.reconciling import compilation
from mesh7_operator.reconciling.world import StoreState, Written
from mesh7_operator.store.requests import Held


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """The part of a ground that the flood guard knows (`Ground`)."""

    room: int
    most_bytes: int
    gone: Collection[str]


class Grounds:
    """Makes grounds."""

    def __init__(
        self,
        *,
        board: Board,
        store: Store,
        keyrings: KeySource,
        pods: Pods,
        policies: CompiledPolicies,
        clock: Clock,
    ) -> None:
        self._board = board
        self._store = store
        self._keyrings = keyrings
        self._pods = pods
        self._policies = policies
        self._clock = clock

    async def gather(
        self, namespace: str, told: Collection[str], allowed: Allowed
    ) -> Ground | None:
        """The ground of this namespace, now; None = there is nothing to be done in it.

        Args:
            namespace: whose.
            told: ids of requests that something was heard of.
            allowed: what the flood guard says of it now.
        """
        if self._board.is_ending(namespace):
            return None
        # First what is written, then the ledger: what is mirrored meanwhile is then made twice, and
        # refused; the other way round it would look as if the ledger had forgotten it.
        mirrors, grants = self._known(namespace)
        is_enrolled = self._board.is_enrolled(namespace)
        if not (is_enrolled or mirrors or grants):
            return None
        waiting = _open(mirrors)
        held = await self._held(namespace, {one.name for one in waiting}, told)
        asked = [one.request for one in held.requests.values()] if held else []
        if not (asked or mirrors or grants):
            return None
        compiled = await self._policies.of(namespace) if is_enrolled else None
        # A decision hangs on what nobody has been told of yet; half of one is not asked for again.
        unheard = (one for one in grants if not replying.is_final(one))
        answered = {shapes.text(one.value, "spec", "requestRef", "name") for one in unheard}
        pods = await self._pods.uids(
            namespace,
            _by_name(itertools.chain(_pods(waiting), ((one.pod, one.uid) for one in asked))),
            {name for name, _ in _pods(one for one in waiting if one.name in answered)},
        )
        keys = self._keyrings.keys
        return Ground(
            namespace=namespace,
            ledger=held.requests if held else None,
            left_out=held.left_out if held else (),
            store_ms=held.store_ms if held else 0,
            mirrors=mirrors,
            grants=grants,
            policies=compiled.policies if compiled else None,
            sources=compiled.sources if compiled else {},
            pods=pods,
            stamps=keys.stamps,
            signer=keys.signer,
            now=self._clock.now(),
            room=allowed.room,
            most_bytes=allowed.most_bytes,
            gone=allowed.gone,
        )

    def open(self, namespace: str) -> tuple[Written, ...]:
        """ApprovalRequests that wait or can be used."""
        return _open(self._known(namespace)[0])

    def forget(self, namespace: str) -> None:
        """There is no such namespace any more."""
        self._pods.forget(namespace)

    def _known(self, namespace: str) -> tuple[tuple[Written, ...], tuple[Written, ...]]:
        known = self._board.known(namespace)
        return known.requests, exact(known.grants)

    async def _held(
        self, namespace: str, mirrored: Collection[str], told: Collection[str]
    ) -> Held | None:
        if self._store.state is StoreState.NONE:
            # Nobody can ask any more: what was asked is forgotten.
            return Held(store_ms=self._clock.wall_ns() // 10**6, requests={})
        return await self._store.held(namespace, mirrored, told)


def exact(grants: Iterable[Written]) -> tuple[Written, ...]:
    """Those that answer one held call."""
    return tuple(one for one in grants if compilation.is_exact(one))


def _open(mirrors: Iterable[Written]) -> tuple[Written, ...]:
    return tuple(one for one in mirrors if mirrored.state_of(one) in mirrored.OPEN)


def _pods(mirrors: Iterable[Written]) -> Iterator[tuple[str, str]]:
    for one in mirrors:
        pod: Mapping[str, object] = shapes.mapping(one.value, "spec", "pod")
        yield shapes.text(pod, "name"), shapes.text(pod, "uid")


def _by_name(pods: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, uid in pods:
        found.setdefault(name, set()).add(uid)
    return found
