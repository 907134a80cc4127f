"""The board against a list of our own: what is gone unnoticed, and what the watch will never tell.

After a lost watch kopf does not notice what is missing from its new list. And an API server that
was restored from a backup counts its versions from an earlier one on: a watch goes on from a
version that is yet to come, and tells nothing. Then all that is known is of another past, also
what we wrote ourselves; the only way out is to begin anew.
"""

import logging
from dataclasses import dataclass
from typing import Final

from mesh7_core import errors
from mesh7_operator.cluster import shapes
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.cluster.resources import Resource
from mesh7_operator.controller.informer import seen, watching
from mesh7_operator.controller.informer.board import Board

_LOG: Final = logging.getLogger(__name__)


class StaleError(errors.ClusterError):
    """What is known is not what the API server has, and will not become so."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One object that is listed, and is not known as it is listed.

    Attributes:
        known: 0 = it is not known at all.
    """

    uid: str
    listed: int
    known: int


class Comparison:
    """Compares, and remembers what it has seen.

    Args:
        api: asked.
        board: corrected where something is gone.
    """

    def __init__(self, api: ApiServer, board: Board) -> None:
        self._api = api
        self._board = board
        self._newest: dict[str, int] = {}

    async def require_forward(self, resource: Resource, since: int = 0) -> None:
        """See that the API server is no younger than what was read of it.

        Args:
            resource: kinds may lie in different stores.
            since: a version that was read.

        Raises:
            StaleError: it is.
            ClusterError: it does not answer.
        """
        newest = max(since, self._newest.get(resource.kind, 0))
        now = await self._api.revision(resource, fields=watching.field_selector(resource))
        self._newest[resource.kind] = max(newest, now)
        if now < newest:
            raise StaleError(
                f"{resource.kind} at the API server – is at version {now}, and was at {newest} "
                "before; it was restored from a backup, starting anew"
            )

    async def differences(self, resource: Resource) -> tuple[frozenset[str], frozenset[Difference]]:
        """What is gone and was never told to be; and what is listed, and not known as it is.

        The latter may be on its way: it is a difference that stays which is told by nobody.

        Raises:
            StaleError, ClusterError: as `require_forward`.
        """
        # First what is believed, then the list: what is in the one and not in the other is gone,
        # for no uid comes back.
        believed = self._board.uids(resource.kind)
        await self.require_forward(resource)
        fields = watching.field_selector(resource)
        pages = self._api.list_metadata(resource, fields=fields)
        listed = {shapes.text(one, "metadata", "uid"): one async for one in pages}
        known = self._board.revisions(resource.kind)
        return believed - listed.keys(), frozenset(
            Difference(uid, seen.revision(one), known.get(uid, 0))
            for uid, one in listed.items()
            # One that we deleted may be held by somebody's finalizer.
            if uid in known or not shapes.text(one, "metadata", "deletionTimestamp")
            if known.get(uid, 0) != seen.revision(one)
        )
