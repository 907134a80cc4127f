"""What is missing on the board, by lists of our own: at the start, and after each lost watch.

At the start nothing is reconciled before all that the API server lists is known: a bundle without
the baseline, or an overlay without a veto, must not exist for a moment. Later on, what kopf did
not notice to be gone is found: when it lists anew, it looks at what is there alone.
"""

import asyncio
import logging
from typing import Final

from mesh7_core import errors, names
from mesh7_operator.cluster import api_server, resources, shapes
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.cluster.resources import Resource
from mesh7_operator.controller import seen, watching
from mesh7_operator.controller.board import Board

_LOG: Final = logging.getLogger(__name__)
_AGAIN_S: Final = 0.5
_RETRY_S: Final = 1.0


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


async def sweep(api: ApiServer, board: Board, resource: Resource) -> None:
    """Find what is gone and was never told to be.

    Raises:
        ClusterError: the kind cannot be listed.
    """
    # First what is believed, then the list: what is in the one and not in the other is gone,
    # for no uid comes back.
    believed = board.uids(resource.kind)
    vanished = believed - await listed(api, resource)
    if vanished:
        _LOG.warning(
            "objects had gone unnoticed", extra={"kind": resource.kind, "count": len(vanished)}
        )
        board.vanished(vanished)


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
    """Listens to the watch: what it tells goes to the board, what it misses is looked for."""

    def __init__(self, api: ApiServer, board: Board) -> None:
        self._api = api
        self._board = board
        self._suspect: set[str] = set()
        self._turn = asyncio.Event()

    def tell(self, snapshot: seen.Snapshot) -> None:
        """The watch saw something."""
        self._board.tell(snapshot)

    def listed_anew(self, resource: Resource) -> None:
        """The watch was blind for a while."""
        self._suspect.add(resource.kind)
        self._turn.set()

    async def run(self) -> None:
        """Look for what is missing, until it was looked for; until cancelled."""
        while True:
            await self._turn.wait()
            self._turn.clear()
            for resource in resources.WATCHED:
                if resource.kind in self._suspect:
                    await self._look(resource)

    async def _look(self, resource: Resource) -> None:
        self._suspect.discard(resource.kind)
        try:
            await sweep(self._api, self._board, resource)
        except errors.ClusterError as error:
            _LOG.warning(
                "what is gone is not known", extra={"kind": resource.kind, "error": error.message}
            )
            self._suspect.add(resource.kind)
            self._turn.set()
            await asyncio.sleep(_RETRY_S)
