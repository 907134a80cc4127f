"""Changes of held calls as a cluster tells them: ApprovalRequests listed, then watched from there.

One kubectl lists and one watches, so that every login works and no change falls between the two.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import quote

from mesh7_cli import cards, reading
from mesh7_cli.approving import paths, records
from mesh7_cli.backend import Object
from mesh7_cli.changes import Changed, Event, Listed
from mesh7_cli.cluster.kubectl import Kubectl
from mesh7_core import errors

GONE: Final = "gone"
"""State of a request whose object is no more, perhaps with its namespace."""
LASTS_S: Final = 300
"""Of one watch; then all is listed anew, so that nothing can be wrong for longer."""
_EXPIRED: Final = 410


class ClusterChanges:
    """The requests of one namespace or of all, as `following.Source` wants them.

    Args:
        kubectl: the person's; nobody else may use this one, for `hang_up` closes it.
        namespace: None = all; ids are `<namespace>/<name>` then.
    """

    def __init__(self, kubectl: Kubectl, namespace: str | None) -> None:
        self._kubectl = kubectl
        self._namespace = namespace
        self._open: set[str] = set()

    def told(self) -> Iterator[Event]:
        """See `following.Source.told`."""
        found, version = paths.listed_at(self._kubectl, paths.REQUESTS, self._namespace)
        listed = [self._named(one) for one in records.requests(found)]
        waiting = tuple(one for one in listed if one["state"] in records.OPEN)
        self._open = {str(one["id"]) for one in waiting}
        yield Listed(waiting)
        query = f"watch=1&allowWatchBookmarks=true&timeoutSeconds={LASTS_S}"
        where = paths.path(paths.REQUESTS, self._namespace)
        full = f"{where}?{query}&resourceVersion={quote(version, '')}"
        with contextlib.closing(self._kubectl.lines("get", "--raw", full)) as lines:
            for line in lines:
                change = _read(line)
                if reading.text(change, "type") == "ERROR":
                    _check(reading.one(change, "object"))
                    return
                yield from self._understood(change)

    def hang_up(self) -> None:
        """See `following.Source.hang_up`."""
        self._kubectl.close()

    def _understood(self, change: Mapping[str, object]) -> Iterator[Event]:
        kind = reading.text(change, "type")
        if kind not in {"ADDED", "MODIFIED", "DELETED"}:
            return
        request = self._named(records.request(reading.one(change, "object")))
        identifier, was_open = str(request["id"]), str(request["id"]) in self._open
        if kind == "DELETED":
            self._open.discard(identifier)
            # What was closed before had its word already.
            if was_open and request["state"] == cards.PENDING:
                yield Changed(request | {"state": GONE})
            return
        if request["state"] in records.OPEN:
            self._open.add(identifier)
        else:
            self._open.discard(identifier)
        yield Changed(request)

    def _named(self, request: Object) -> Object:
        if self._namespace is not None:
            return request
        return request | {"id": f"{request['namespace']}/{request['id']}"}


def _read(line: str) -> Mapping[str, object]:
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _check(status: Mapping[str, object]) -> None:
    """Nothing where a watch is only too old to go on; else what the API server complains of."""
    if reading.number(status, "code") != _EXPIRED:
        said = reading.text(status, "message") or "the API server ended the watch"
        raise errors.ClusterError(said)
