"""The gateway's changes as they come, through restarts of the gateway, read by a thread.

A thread and a pipe, so that whoever waits for a key can wait for changes with the same `select`.
"""

import contextlib
import os
import queue
import threading
from collections.abc import Iterator
from typing import Self

import click

from mesh7_cli import control, gateway, neutral, reading, spelled
from mesh7_cli.changes import Away, Changed, Ended, Event, Listed
from mesh7_core import errors

SILENCE_S = 40.0
"""The gateway says something each 15 s; a longer silence means that it is gone."""
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
ENDING_S = 2.0


class Follower:
    """Follows `/control/watch` from `start` to `close`."""

    def __init__(self, running: gateway.Gateway) -> None:
        self._running = running
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._awake, self._wake = os.pipe()
        self._is_closing = threading.Event()
        self._response: gateway.Response | None = None
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_closing.set()
        if self._response is not None:
            self._response.hang_up()
        self._thread.join(ENDING_S)
        if not self._thread.is_alive():
            os.close(self._awake)
            os.close(self._wake)

    def fileno(self) -> int:
        """Readable when there are events to take."""
        return self._awake

    def take(self) -> Iterator[Event]:
        """The events there are; waits for the first."""
        count = len(os.read(self._awake, 1024))
        for _ in range(count):
            yield self._events.get()

    def _tell(self, event: Event) -> None:
        self._events.put(event)
        os.write(self._wake, b".")

    def _follow(self) -> None:
        pause_s = FIRST_PAUSE_S
        was_there = False
        while not self._is_closing.is_set():
            try:
                for line in self._lines():
                    was_there = True
                    pause_s = FIRST_PAUSE_S
                    self._understand(line)
                gone: errors.Mesh7Error | click.ClickException = _ENDED
            except (errors.Mesh7Error, click.ClickException) as error:
                gone = error
            if self._is_closing.is_set():
                return
            if not was_there:
                self._tell(Ended(gone))
                return
            self._tell(Away(str(gone)))
            self._is_closing.wait(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _lines(self) -> Iterator[str]:
        with self._running.exchange("GET", control.WATCH, {}, None, SILENCE_S) as response:
            self._response = response
            if self._is_closing.is_set():
                return
            if response.status != gateway.OK:
                self._running.told(response, control.WATCH)
            yield from response.lines()

    def _understand(self, line: str) -> None:
        value: object = None
        with contextlib.suppress(ValueError, RecursionError):
            value = spelled.read(line)
        if not isinstance(value, dict):
            return
        if "requests" in value:
            self._tell(Listed(tuple(reading.objects(value, "requests"))))
        elif "request" in value:
            self._tell(Changed(reading.one(value, "request")))
        elif detail := reading.text(value, "detail"):
            # The gateway is there, and has lost its ledger for now.
            self._tell(Away(neutral.line(detail)))


_ENDED = errors.Mesh7Error("the gateway stopped")
