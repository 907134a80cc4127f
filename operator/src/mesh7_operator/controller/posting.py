"""Events for people (`kubectl describe`), each once in ten minutes; their loss is no failure."""

import logging
from collections import OrderedDict
from typing import Final

from mesh7_core import errors, names
from mesh7_operator.clock import Clock
from mesh7_operator.cluster import resources
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.reconciling.plan import Event

_LOG: Final = logging.getLogger(__name__)
_REPEATED_S: Final = 600.0
_REMEMBERED: Final = 4_096


class Poster:
    """Makes Events."""

    def __init__(self, api: ApiServer, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._posted: OrderedDict[Event, float] = OrderedDict()
        self._has_warned = False

    async def post(self, namespace: str, event: Event) -> None:
        """Say it, unless it was said lately."""
        now_s = self._clock.monotonic_s()
        if now_s - self._posted.get(event, float("-inf")) < _REPEATED_S:
            return
        self._posted[event] = now_s
        self._posted.move_to_end(event)
        if len(self._posted) > _REMEMBERED:
            self._posted.popitem(last=False)
        try:
            await self._api.create(resources.EVENTS, namespace, self._manifest(namespace, event))
        except errors.ClusterError as error:
            level = logging.INFO if self._has_warned else logging.WARNING
            self._has_warned = True
            about = {"namespace": namespace, "error": error.message}
            _LOG.log(level, "event not written", extra=about)

    def _manifest(self, namespace: str, event: Event) -> dict[str, object]:
        when = self._clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{event.name[:200]}.", "namespace": namespace},
            "involvedObject": {
                "apiVersion": event.api_version,
                "kind": event.kind,
                "namespace": namespace,
                "name": event.name,
                "uid": event.uid,
            },
            "type": event.type.value,
            "reason": event.reason,
            "message": event.message[:1024],
            "firstTimestamp": when,
            "lastTimestamp": when,
            "count": 1,
            "source": {"component": names.FIELD_MANAGER},
            "reportingComponent": names.FIELD_MANAGER,
        }
