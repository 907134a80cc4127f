"""Single keys of a terminal, and the terminal left as it was found."""

import contextlib
import os
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from types import FrameType

import click

MOST = 64
LONGEST_LINE = 4096
"""What a terminal gives as one line."""


class Keys:
    """The keyboard while a program listens to single keys; made by `listening`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._before = termios.tcgetattr(descriptor)

    def fileno(self) -> int:
        """Readable when a key was pressed."""
        return self._descriptor

    def pressed(self) -> str | None:
        """What was pressed since; None when the terminal is gone."""
        try:
            found = os.read(self._descriptor, MOST)
        except OSError:
            return None
        return found.decode("utf-8", "replace") if found else None

    def forget(self) -> None:
        """Drop what was typed and not read yet."""
        termios.tcflush(self._descriptor, termios.TCIFLUSH)

    def listen(self) -> None:
        """Keys one by one, unseen; Ctrl-C still interrupts."""
        tty.setcbreak(self._descriptor, termios.TCSADRAIN)

    def rest(self) -> None:
        """The terminal as it was found."""
        termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)

    def ask(self, question: str) -> str | None:
        """A line of text; None when it was refused by Ctrl-C, or by Ctrl-D wherever it stood."""
        # What was typed for the card is no part of the answer.
        termios.tcsetattr(self._descriptor, termios.TCSAFLUSH, self._before)
        click.echo(question, nl=False)
        try:
            answer = os.read(self._descriptor, LONGEST_LINE)
        except (OSError, KeyboardInterrupt):
            return None
        finally:
            self.listen()
        return answer.decode("utf-8", "replace").strip() if answer.endswith(b"\n") else None


@contextlib.contextmanager
def listening() -> Iterator[Keys]:
    """Listen to the keys of stdin until the block ends, also by Ctrl-C or SIGTERM."""
    keys = Keys(sys.stdin.fileno())

    def resume(_number: int, _frame: FrameType | None) -> None:
        # A shell that stopped us has set the terminal its own way.
        keys.listen()

    before = (
        (signal.SIGCONT, signal.signal(signal.SIGCONT, resume)),
        (signal.SIGTERM, signal.signal(signal.SIGTERM, signal.default_int_handler)),
    )
    keys.listen()
    try:
        yield keys
    finally:
        for number, handler in before:
            signal.signal(number, handler)
        keys.rest()
