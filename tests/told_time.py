"""Loop time that passes by a test's word only."""

import asyncio
import selectors

from typing_extensions import override


class ToldTime(asyncio.SelectorEventLoop):
    """An event loop whose time passes only when a test says so."""

    def __init__(self) -> None:
        super().__init__(_Brisk())
        self._told_s = 1000.0

    @override
    def time(self) -> float:
        return self._told_s

    def pass_by(self, seconds: float) -> None:
        self._told_s += seconds


class _Brisk(selectors.DefaultSelector):
    """Looks often: nobody wakes it when time is told."""

    @override
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(0.001 if timeout is None else min(timeout, 0.001))
