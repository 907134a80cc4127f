"""How far a long work is, told on stderr once it takes longer than people wait without asking."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

import click

QUIET_S: Final = 1.0
_EVERY_S: Final = 0.2
_CLEARED: Final = "\r\x1b[K"

Tell = Callable[[int, int], None]
"""Is told how much of how much is done."""


@contextlib.contextmanager
def shown(what: str, quiet_s: float = QUIET_S) -> Iterator[Tell]:
    """Tell of `what` until the block ends: on a terminal as it goes, elsewhere in one line.

    Args:
        what: is done (`indexing the audit`).
        quiet_s: how long nothing is said.
    """
    told = _Told(what, quiet_s)
    try:
        yield told.tell
    finally:
        told.clear()


class _Told:
    """What was said so far, and when."""

    def __init__(self, what: str, quiet_s: float) -> None:
        self._what = what
        self._next_s = time.monotonic() + quiet_s
        self._is_drawn = False
        self._is_live = sys.stderr.isatty()

    def tell(self, done: int, whole: int) -> None:
        now_s = time.monotonic()
        if now_s < self._next_s or (self._is_drawn and not self._is_live):
            return
        self._next_s = now_s + _EVERY_S
        self._is_drawn = True
        text = f"mesh7: {self._what}, {100 * done // max(1, whole)} %"
        if self._is_live:
            click.echo(f"{_CLEARED}{text}", err=True, nl=False)
        else:
            click.echo(f"{text} done", err=True)

    def clear(self) -> None:
        if self._is_drawn and self._is_live:
            click.echo(_CLEARED, err=True, nl=False)
            self._is_drawn = False
