"""A program on a real terminal of its own: what it draws, which keys it is given."""

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

PATIENCE_S = 30.0
STEP_S = 0.05
AGAIN_S = 1.0
# The child opens the terminal itself, so that it becomes its controlling terminal.
SHELL = 'exec "$@" <"$0" >"$0" 2>&1'


class Terminal:
    """The far end of a pseudo-terminal, and the program at the near end."""

    def __init__(self, master: int, process: "subprocess.Popen[bytes]") -> None:
        self._master = master
        self._process = process
        self.text = ""

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._master, keys.encode())

    def until(self, text: str, *, pressing: str = "") -> str:
        """Wait until `text` is drawn; what was drawn up to its end since the last wait.

        A key that counts only from some moment on is pressed again and again until then.
        """
        deadline = time.monotonic() + PATIENCE_S
        while text not in self.text:
            has_ended = self._process.poll() is not None
            if time.monotonic() > deadline or (has_ended and not self._read()):
                pytest.fail(f"`{text}` was not drawn, but {self.text[-2000:]!r}")
            if pressing:
                self.press(pressing)
            self._read()
        drawn, _, self.text = self.text.partition(text)
        return drawn + text

    def end(self, *, pressing: str = "") -> int:
        """Wait for the program's end; what it drew last is in `text`."""
        deadline = time.monotonic() + PATIENCE_S
        pressed_at = 0.0
        while self._process.poll() is None:
            now = time.monotonic()
            if now > deadline:
                pytest.fail(f"it did not end, but drew {self.text[-2000:]!r}")
            # Not at every turn: a second Ctrl-C would interrupt the ending itself.
            if pressing and now - pressed_at > AGAIN_S:
                self.press(pressing)
                pressed_at = now
            self._read()
        while self._read():
            pass
        return self._process.returncode

    def modes(self) -> list[int]:
        """The terminal's modes, as `termios` gives them."""
        return [mode for mode in termios.tcgetattr(self._master) if isinstance(mode, int)]

    def signal(self, number: signal.Signals) -> None:
        """Send the program a signal."""
        self._process.send_signal(number)

    def _read(self) -> bool:
        """Take what was drawn, waiting a moment for it; whether there was something."""
        ready, _, _ = select.select([self._master], [], [], STEP_S)
        if ready:
            drawn = os.read(self._master, 65536)
            self.text += drawn.decode("utf-8", "replace").replace("\r\n", "\n")
        return bool(ready)


@contextmanager
def running(
    arguments: Sequence[str],
    program: Sequence[str] = ("-m", "mesh7_cli"),
    columns: int | None = None,
) -> Iterator[Terminal]:
    """`mesh7` with these arguments on a terminal; killed at the end if it is still there.

    Args:
        program: another one, as the interpreter is given it.
        columns: of the terminal; None = it does not say, as some do not.
    """
    master, slave = pty.openpty()
    given = os.environ | {"NO_COLOR": "1", "TERM": "xterm"}
    if columns is not None:
        termios.tcsetwinsize(slave, (24, columns))
        given.pop("COLUMNS", None)
    command = ["/bin/sh", "-c", SHELL, os.ttyname(slave), sys.executable, *program]
    process = subprocess.Popen(
        [*command, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=given,
    )
    try:
        yield Terminal(master, process)
    finally:
        process.kill()
        process.wait()
        os.close(slave)
        os.close(master)
