"""Threads of the compiler: none is taken from others, and none keeps the process."""

import asyncio
import subprocess
import sys
import threading

import pytest

from mesh7_core import errors
from mesh7_operator.injector import turns
from mesh7_operator.injector.turns import Turns


async def test_a_namespace_that_keeps_its_thread_takes_none_of_the_others() -> None:
    """Found by an adversarial review: four requests took the injector out for the cluster."""
    may_end = threading.Event()
    now_s = [0.0]
    there = Turns(lambda: now_s[0], threads=2)
    for _ in range(4):
        with pytest.raises(errors.ClusterError, match="took more than"):
            await there.run("evil", may_end.wait, 0.01)
    assert await there.run("shop", lambda: 7, 5) == 7
    states = [there.is_stuck]
    now_s[0] = turns.STUCK_S + 1
    states.append(there.is_stuck)
    may_end.set()
    assert await there.run("evil", lambda: 8, 5) == 8
    assert [*states, there.is_stuck] == [False, True, False]


async def test_what_is_raised_in_a_thread_is_raised_where_it_is_awaited() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    there = Turns(asyncio.get_running_loop().time)
    with pytest.raises(ZeroDivisionError):
        await there.run("shop", fail, 5)
    assert await there.run("shop", lambda: 1, 5) == 1


async def test_who_waits_for_a_thread_in_vain_keeps_no_turn() -> None:
    may_end = threading.Event()
    there = Turns(asyncio.get_running_loop().time, threads=1)
    for namespace in ("evil", "shop", "shop"):
        with pytest.raises(errors.ClusterError):
            await there.run(namespace, may_end.wait, 0.01)
    may_end.set()
    assert await there.run("shop", lambda: 1, 5) == 1


_ENDING = """
import asyncio, threading
from mesh7_core import errors
from mesh7_operator.injector.turns import Turns
async def main():
    try:
        await Turns(lambda: 0.0).run("evil", threading.Event().wait, 0.01)
    except errors.ClusterError:
        print("ends")
asyncio.run(main())
"""


def test_a_stuck_thread_does_not_keep_the_process() -> None:
    """SIGTERM ended an injector that compiled only when it was done."""
    done = subprocess.run(
        [sys.executable, "-c", _ENDING], check=True, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("ends\n", "")
