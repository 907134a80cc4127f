"""Turns: several namespaces at once, none twice, and a defect of one costs the others nothing."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from mesh7_operator.clock import Clock
from mesh7_operator.controller.turns import Again, Ended, Outcome, Turns
from tests.conftest import Eventually

CLOCK = Clock(wall_ns=time.monotonic_ns, monotonic_s=time.monotonic)


class _Taken:
    """Turns as they are taken; each waits until it may end."""

    def __init__(self, answers: Callable[[str], Awaitable[Again | None]], at_once: int) -> None:
        self.begun: list[str] = []
        self.ended: list[tuple[str, Outcome, bool]] = []
        self._answers = answers
        self.turns = Turns(
            self._turn, CLOCK, at_once=at_once, crashed="it crashed", ended=self._ended,
            spacing_s=0.0,
        )  # fmt: skip

    async def _turn(self, namespace: str) -> Again | None:
        self.begun.append(namespace)
        return await self._answers(namespace)

    def _ended(self, namespace: str, ended: Ended) -> None:
        self.ended.append((namespace, ended.outcome, ended.pause_s is None))


@asynccontextmanager
async def _taking(
    answers: Callable[[str], Awaitable[Again | None]], at_once: int = 2
) -> AsyncIterator[_Taken]:
    taken = _Taken(answers, at_once)
    running = asyncio.ensure_future(taken.turns.run())
    try:
        yield taken
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_defect_of_one_is_tried_again_and_costs_the_others_nothing(
    caplog: pytest.LogCaptureFixture, eventually: Eventually
) -> None:
    async def answer(namespace: str) -> None:
        if namespace == "poison":
            raise ZeroDivisionError

    async with _taking(answer) as taken:
        taken.turns.mark("poison")
        taken.turns.mark("shop")
        await eventually(lambda: taken.begun.count("poison") > 1)
    assert taken.ended[:2] == [
        ("poison", Outcome.CRASHED, False),
        ("shop", Outcome.DONE, True),
    ]
    assert caplog.messages[0] == "it crashed"
    assert caplog.records[0].exc_info is not None


async def test_what_was_not_all_done_is_tried_again_and_its_reason_logged(
    caplog: pytest.LogCaptureFixture, eventually: Eventually
) -> None:
    said = [Again(why="not yet", about={"errors": ["why"]}), Again()]

    async def answer(_: str) -> Again | None:
        return said.pop(0) if said else None

    async with _taking(answer) as taken:
        taken.turns.mark("shop")
        await eventually(lambda: len(taken.ended) == 3)
    assert [outcome for _, outcome, _ in taken.ended] == [
        Outcome.FAILED, Outcome.FAILED, Outcome.DONE,
    ]  # fmt: skip
    assert caplog.messages == ["not yet"]
    logged = vars(caplog.records[0])
    assert (logged["namespace"], logged["errors"]) == ("shop", ["why"])
    assert logged["again_in_s"] > 0


async def test_so_many_are_taken_at_once_and_none_twice(eventually: Eventually) -> None:
    goes = asyncio.Event()

    async def answer(_: str) -> None:
        await goes.wait()

    async with _taking(answer) as taken:
        taken.turns.mark("shop")
        await eventually(lambda: taken.begun == ["shop"])
        taken.turns.mark("shop")
        taken.turns.mark("bank")
        await eventually(lambda: taken.begun == ["shop", "bank"])
        assert taken.turns.is_wanted("shop")
        assert not taken.turns.is_wanted("bank")
        taken.turns.mark("zoo")
        assert taken.turns.is_wanted("bank")
        assert taken.begun == ["shop", "bank"]
        goes.set()
        await eventually(lambda: sorted(taken.begun) == ["bank", "shop", "shop", "zoo"])


async def test_one_that_threads_work_for_keeps_nobodys_place(eventually: Eventually) -> None:
    goes = asyncio.Event()

    async def answer(namespace: str) -> None:
        if namespace == "large":
            with taken.turns.aside():
                await goes.wait()

    async with _taking(answer, at_once=1) as taken:
        taken.turns.mark("large")
        await eventually(lambda: taken.begun == ["large"])
        taken.turns.mark("shop")
        await eventually(lambda: ("shop", Outcome.DONE, True) in taken.ended)
        assert len(taken.ended) == 1
        goes.set()
        await eventually(lambda: len(taken.ended) == 2)
