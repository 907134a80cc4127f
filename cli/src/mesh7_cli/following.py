"""Changes of held calls as they come, through every loss of whoever tells them, read by a thread.

A thread and a pipe, so that whoever waits for a key can wait for changes with the same `select`.
"""

import os
import queue
import select
import threading
from collections.abc import Iterator
from typing import Final, Protocol, Self

import click

from mesh7_cli.changes import Away, Ended, Event
from mesh7_core import errors

FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 5.0
AGAIN_S: Final = 1.0
"""Between two connections that ended as they should, and between two looks for a signal."""
ENDING_S: Final = 5.0
MOST: Final = 500
"""Events that wait to be taken; whoever tells more waits, or is asked anew."""


class Source(Protocol):
    """Whoever tells of held calls: a gateway, or a cluster."""

    def told(self) -> Iterator[Event]:
        """Everything that one connection tells, all that is open first.

        It ends when the connection has lived its time; then comes another.

        Raises:
            Mesh7Error, click.ClickException: the connection is lost, or was refused.
        """

    def hang_up(self) -> None:
        """End what is being told, from any thread; may come before it began."""


class Follower:
    """Follows a source from the beginning of a `with` block to its end."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._room = threading.Semaphore(MOST)
        self._awake, self._wake = os.pipe()
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_closing.set()
        self._room.release()
        self._source.hang_up()
        self._thread.join(ENDING_S)
        if not self._thread.is_alive():
            os.close(self._awake)
            os.close(self._wake)

    def fileno(self) -> int:
        """Readable when there are events to take."""
        return self._awake

    def take(self) -> Iterator[Event]:
        """The events there are; waits for the first."""
        # In turns: a signal that comes just before the wait does not end it.
        while not select.select([self._awake], [], [], AGAIN_S)[0]:
            pass
        count = len(os.read(self._awake, MOST))
        for _ in range(count):
            self._room.release()
            yield self._events.get()

    def _tell(self, event: Event) -> None:
        self._room.acquire()
        if not self._is_closing.is_set():
            self._events.put(event)
            os.write(self._wake, b".")

    def _follow(self) -> None:
        pause_s = FIRST_PAUSE_S
        was_there = False
        while not self._is_closing.is_set():
            gone: errors.Mesh7Error | click.ClickException | None = None
            try:
                for event in self._source.told():
                    was_there = True
                    pause_s = FIRST_PAUSE_S
                    self._tell(event)
                    if self._is_closing.is_set():
                        return
            except (errors.Mesh7Error, click.ClickException) as error:
                gone = error
            if gone is None:
                self._is_closing.wait(AGAIN_S)
                continue
            if self._is_closing.is_set():
                return
            if not was_there:
                self._tell(Ended(gone))
                return
            self._tell(Away(str(gone)))
            self._is_closing.wait(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
