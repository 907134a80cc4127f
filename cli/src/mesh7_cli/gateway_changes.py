"""Changes of held calls as a gateway on a laptop tells them: `/control/watch`."""

import contextlib
from collections.abc import Iterator

from mesh7_cli import control, gateway, neutral, reading, spelled
from mesh7_cli.changes import Away, Changed, Event, Listed
from mesh7_core import errors

SILENCE_S = 40.0
"""The gateway says something each 15 s; a longer silence means that it is gone."""


class GatewayChanges:
    """One gateway, as `following.Source` wants it."""

    def __init__(self, running: gateway.Gateway) -> None:
        self._running = running
        self._response: gateway.Response | None = None
        self._is_over = False

    def told(self) -> Iterator[Event]:
        """See `following.Source.told`; a gateway ends a connection only by ending itself."""
        with self._running.exchange("GET", control.WATCH, {}, None, SILENCE_S) as response:
            self._response = response
            if self._is_over:
                return
            if response.status != gateway.OK:
                self._running.told(response, control.WATCH)
            for line in response.lines():
                yield from _understood(line)
        raise errors.Mesh7Error("the gateway stopped")

    def hang_up(self) -> None:
        """See `following.Source.hang_up`."""
        self._is_over = True
        if self._response is not None:
            self._response.hang_up()


def _understood(line: str) -> Iterator[Event]:
    value: object = None
    with contextlib.suppress(ValueError, RecursionError):
        value = spelled.read(line)
    if not isinstance(value, dict):
        return
    if "requests" in value:
        yield Listed(tuple(reading.objects(value, "requests")))
    elif "request" in value:
        yield Changed(reading.one(value, "request"))
    elif detail := reading.text(value, "detail"):
        # The gateway is there, and has lost its ledger for now.
        yield Away(neutral.line(detail))
