"""What each URL means: the guard first, then one door a kind of path.

Called synchronously for every request head. What follows from the bytes of a head alone is worked
out once and remembered with the head, because agents send the same head again and again.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from mesh7_core.policy.reasons import Reason
from mesh7_sidecar.doors.guard import Guard, Refused
from mesh7_sidecar.net.exchange import Exchange, RequestHead
from mesh7_sidecar.wire import answers, paths

R_contra = TypeVar("R_contra", contravariant=True)
P = TypeVar("P")


class Door(Protocol[R_contra, P]):
    """Opens for the requests of one kind of route."""

    def prepare(self, head: RequestHead, route: R_contra, /) -> P:
        """Work out what follows from the head alone; the value is remembered with the head."""

    def open(self, exchange: Exchange, prepared: P, /) -> None:
        """Take the exchange and answer it, now or later."""


AnyDoor = Door[Any, Any]
"""A door in the table of routes; each gets the routes of its own key and what it prepared."""


class _Known:
    """A head that was looked at before: which door opens, with what."""

    __slots__ = ("open", "prepared")

    def __init__(self, door: AnyDoor, prepared: object) -> None:
        self.open = door.open
        self.prepared = prepared


class App:
    """One listener's application.

    Args:
        guard: what every request must pass.
        doors: by the type of route; a route without a door is 404.
        refused: told of each request that the guard or the route table refused.
    """

    def __init__(
        self,
        guard: Guard,
        doors: Mapping[type, AnyDoor],
        refused: Callable[[Reason], None],
    ) -> None:
        self._guard = guard
        self._doors = doors
        self._refused = refused

    def __call__(self, exchange: Exchange) -> None:
        """Answer one request."""
        memo = exchange.head.memo
        if memo is None:
            memo = exchange.head.memo = self._look(exchange.head)
        if isinstance(memo, _Known):
            memo.open(exchange, memo.prepared)
        elif isinstance(memo, Refused):
            self._refused(memo.reason)
            fields, body = answers.plain_problem(memo.status, memo.reason, memo.message)
            exchange.respond(memo.status, fields, body)

    def _look(self, head: RequestHead) -> Refused | _Known:
        refusal = self._guard.refusal(dict(head.headers), head.headers)
        if refusal is not None:
            return refusal
        route = paths.route(head.target)
        door = self._doors.get(type(route))
        if route is None or door is None:
            return Refused(404, Reason.MALFORMED, "there is nothing at this path")
        return _Known(door, door.prepare(head, route))
