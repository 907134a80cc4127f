"""One status written, unless its object is gone; what was written counts on the board at once."""

from mesh7_operator.cluster import api_server, resources
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.controller.informer import seen
from mesh7_operator.controller.informer.board import Board
from mesh7_operator.reconciling.plan import StatusChange


async def write(api: ApiServer, board: Board, namespace: str, change: StatusChange) -> bool:
    """Whether it stands there now: not when the object is gone, or another of its name came.

    The watch will tell of that, or has told.

    Raises:
        ClusterError: it could not be written.
    """
    try:
        written = await api.set_status(
            resources.OURS[change.kind], namespace, change.name, change.uid, change.status
        )
    except (api_server.NotFound, api_server.Invalid) as error:
        if isinstance(error, api_server.Invalid) and not error.is_failed_test:
            raise
        return False
    board.wrote_status(change.uid, seen.revision(written), change.status)
    return True
