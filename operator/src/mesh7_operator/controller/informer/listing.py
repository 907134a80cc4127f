"""What is missing on the board, by lists of our own: at the start, and after each lost watch.

At the start nothing is reconciled before all that the API server lists is known: a bundle without
the baseline, or an overlay without a veto, must not exist for a moment. Later on, what the watch
did not tell is found (`comparing`).
"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mesh7_core import errors, names
from mesh7_operator.cluster import api_server, resources, shapes
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.cluster.resources import Resource
from mesh7_operator.controller.informer import seen, watching
from mesh7_operator.controller.informer.board import Board
from mesh7_operator.controller.informer.comparing import Comparison, Difference, StaleError

_LOG: Final = logging.getLogger(__name__)
_AGAIN_S: Final = 0.5
_RETRY_S: Final = 1.0
DOUBT_S: Final = 60.0
"""Far longer than a change is on its way, also when thousands are."""


async def require_kinds(api: ApiServer) -> None:
    """See that the API server serves all that is watched: what it does not serve looks empty.

    Raises:
        ClusterError: it does not, or does not let us look.
    """
    for resource in resources.WATCHED:
        try:
            await listed(api, resource)
        except api_server.NotFound as error:
            raise errors.ClusterError(
                f"kind {resource.kind} of {names.API_VERSION} – is not served; apply the "
                "manifests in crds/"
            ) from error


async def complete(api: ApiServer, board: Board) -> None:
    """Return once all that is there now is known, or gone by now.

    What comes later is not waited for: whoever makes objects all the time would be waited for
    for ever.

    Raises:
        ClusterError: it cannot be listed.
    """
    for resource in resources.WATCHED:
        unknown = await listed(api, resource)
        while unknown := unknown - board.told(resource.kind):
            await _pause()
            unknown &= await listed(api, resource)


async def listed(api: ApiServer, resource: Resource) -> frozenset[str]:
    """The uids of all objects of a kind, as the API server has them now.

    Raises:
        ClusterError: it cannot be listed.
    """
    pages = api.list_metadata(resource, fields=watching.field_selector(resource))
    return frozenset([shapes.text(item, "metadata", "uid") async for item in pages])


async def _pause() -> None:
    await asyncio.sleep(_AGAIN_S)


class Ear:
    """Listens to the watch: what it tells goes to the board, what it misses is looked for.

    Args:
        api: asked.
        board: told.
        doubt_s: what is listed and for so long not known will never be told.
    """

    def __init__(self, api: ApiServer, board: Board, doubt_s: float = DOUBT_S) -> None:
        self._board = board
        self._comparison = Comparison(api, board)
        self._doubt_s = doubt_s
        self._doubts: dict[str, _Doubt] = {}
        self._suspect: set[str] = set()
        self._since: dict[str, int] = {}
        self._vanished: deque[str] = deque()
        self._turn = asyncio.Event()

    def tell(self, snapshot: seen.Snapshot) -> None:
        """The watch saw something."""
        self._board.tell(snapshot)

    def listed_anew(self, resource: Resource) -> None:
        """The watch was blind for a while."""
        self._suspect.add(resource.kind)
        self._turn.set()

    def resumed(self, resource: Resource, since: int) -> None:
        """The watch goes on, if there is something that it can go on from."""
        self._since[resource.kind] = since
        self._turn.set()

    def vanished(self) -> Iterator[str]:
        """What was found to be gone, each once; all that another thread may ask."""
        while self._vanished:
            yield self._vanished.popleft()

    def look_everywhere(self) -> None:
        """Whatever was told or not."""
        for resource in resources.WATCHED:
            self.listed_anew(resource)

    async def run(self) -> None:
        """Look for what is missing, until it was looked for; until cancelled.

        Raises:
            StaleError: there is something that the watch will never tell.
        """
        while True:
            await self._turn.wait()
            self._turn.clear()
            for resource in resources.WATCHED:
                try:
                    await self._look(resource)
                except StaleError:
                    raise
                except errors.ClusterError as error:
                    _LOG.warning(
                        "what is gone is not known",
                        extra={"kind": resource.kind, "error": error.message},
                    )
                    self._turn.set()
                    await asyncio.sleep(_RETRY_S)

    async def _look(self, resource: Resource) -> None:
        kind = resource.kind
        if since := self._since.get(kind, 0):
            await self._comparison.require_forward(resource, since)
            if self._since.get(kind) == since:
                del self._since[kind]
        if kind not in self._suspect:
            return
        self._suspect.discard(kind)
        try:
            vanished, differences = await self._comparison.differences(resource)
        except errors.ClusterError:
            self._suspect.add(kind)
            raise
        if vanished:
            _LOG.warning("objects had gone unnoticed", extra={"kind": kind, "count": len(vanished)})
            self._board.vanished(vanished)
            self._vanished.extend(vanished)
        self._doubt(resource, differences)

    def _doubt(self, resource: Resource, differences: frozenset[Difference]) -> None:
        loop = asyncio.get_running_loop()
        before = self._doubts.pop(resource.kind, None)
        staying = before.differences & differences if before else frozenset()
        if before and staying and loop.time() - before.since_s >= self._doubt_s:
            raise StaleError(
                f"watch {resource.kind}: {len(staying)} objects are listed, and it does not tell "
                "of them; starting anew"
            )
        if differences:
            since_s = before.since_s if before and staying else loop.time()
            self._doubts[resource.kind] = _Doubt(since_s, staying or differences)
            loop.call_later(self._doubt_s / 2, self.listed_anew, resource)


@dataclass(frozen=True, slots=True)
class _Doubt:
    """What was listed and not known, all the time since then."""

    since_s: float
    differences: frozenset[Difference]
